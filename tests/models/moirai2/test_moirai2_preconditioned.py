"""Moirai2's modes of preconditioning: without effect where the filter is zero, and right where it is not."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.models.moirai2.batch import ModelBatch
from specseq.models.moirai2.model import PreconditionedMoirai2
from specseq.models.moirai2.training import model_of
from specseq.settings import read
from specseq.training.checkpoint import load_weights, save_weights
from specseq.training.initial import Start
from specseq.training.optimiser import Optimiser
from specseq.training.settings import TrainingSettings
from specseq.training.task import Task
from tests.models.moirai2.small import (
    LYAPUNOV,
    MODEL,
    MODES,
    NOTHING,
    built,
    drawn,
    pack,
    params,
    prepared,
)


def step_of(model: PreconditionedMoirai2, batch: ModelBatch) -> tuple[float, dict[str, Tensor]]:
    loss, _ = model(batch)
    loss.backward()
    grads = {
        name: p.grad
        for name, p in model.named_parameters()
        if name.startswith("backbone.") and p.grad is not None
    }
    return float(loss.detach()), grads


@pytest.mark.parametrize("mode", MODES, ids=json.dumps)
def test_filter_of_zeros_is_the_baseline_to_the_bit(mode: dict[str, Any]) -> None:
    baseline, model = built(), built(filter=NOTHING, preconditioning=mode)
    expected, theirs = step_of(baseline, prepared())
    loss, grads = step_of(model, prepared())
    assert loss == expected
    assert all(torch.equal(grads[name], theirs[name]) for name in theirs)
    extra = [g for name, g in grads.items() if name not in theirs]
    assert not any(g.any() for g in extra)


def trained(model: PreconditionedMoirai2, steps: int = 3) -> dict[str, Tensor]:
    """Backbone weights after a few steps of the study's own optimiser, each on a batch of its own."""
    spec = read(TrainingSettings, {"steps": steps, "lr": 0.01}, "training")
    optimiser = Optimiser(Task(model, iter(()), lambda module, batch: module(batch)), spec)
    for step in range(steps):
        model(drawn(pack([[9, 7, 3], [14, 2], [20]], 24, seed=step)).prepare())[0].backward()
        optimiser.clip()
        optimiser.step(step)
    return {name: p.detach() for name, p in model.backbone.named_parameters() if "hint" not in name}


@pytest.mark.parametrize("mode", [mode for mode in MODES if "learnable" not in mode], ids=json.dumps)
def test_training_with_a_filter_of_zeros_is_the_baselines_to_the_bit(mode: dict[str, Any]) -> None:
    expected = trained(built())
    found = trained(built(filter=NOTHING, preconditioning=mode))
    assert all(torch.equal(found[name], weights) for name, weights in expected.items())


def test_dual_head_with_a_filter_of_zeros_adds_its_loss_to_the_baseline() -> None:
    expected, _ = built()(prepared())
    model = built(filter=NOTHING, preconditioning={"dual_head": True})
    _, metrics = model(prepared())
    assert metrics["quantile_loss"] == float(expected.detach())
    model.raw_head.load_state_dict(model.backbone.head.state_dict())  # type: ignore[union-attr]
    assert model(prepared())[1]["raw_loss"] == float(expected.detach())


def test_stride_and_filter_act_on_points_within_segments() -> None:
    spec = {"family": "literal", "taps": [-0.5, 0.25], "stride": 3}
    model, batch = built(filter=spec), prepared()
    ids = batch.layout.segment_T.repeat_interleave(4)
    points, observed = batch.values_TP.flatten(), batch.observed_TP.flatten()
    found = model.filtered(points, observed, ids)
    for t in range(len(points)):
        whole = t >= 6 and all(observed[t - lag] and ids[t - lag] == ids[t] for lag in (0, 3, 6))
        expected = points[t] + (-0.5 * points[t - 3] + 0.25 * points[t - 6] if whole else 0.0)
        assert float(found[t]) == pytest.approx(float(expected), abs=1e-6)


def test_loss_is_taken_in_filtered_space() -> None:
    model, batch = built(filter=LYAPUNOV), prepared()
    ids = batch.layout.segment_T.repeat_interleave(4)
    filtered = model.filtered(batch.values_TP.flatten(), batch.observed_TP.flatten(), ids).view(-1, 4)
    plain = built()
    same = ModelBatch(**{**vars(batch), "values_TP": filtered})
    assert float(model(batch)[0]) == float(plain(same)[0])


def test_reversed_loss_is_that_of_the_recursion() -> None:
    model = built(filter=LYAPUNOV, preconditioning={"reversal_loss": {"filtered": 0.25, "reversed": 0.5}})
    batch = prepared()
    loss, metrics = model(batch)
    parts = 0.25 * metrics["quantile_loss"] + 0.5 * metrics["reversed_loss"]
    assert float(loss) == pytest.approx(parts, rel=1e-6)
    predicted = torch.randn(len(batch.query_K), 4, 9, 4, generator=torch.Generator().manual_seed(0))
    found = model._reversed(batch, predicted)
    taps, points, observed = LYAPUNOV["taps"], batch.values_TP.flatten(), batch.observed_TP.flatten()
    for k in (0, 7, len(batch.query_K) - 1):
        query = int(batch.query_K[k])
        first, end = (query - int(batch.time_T[query])) * 4, (query + 1) * 4
        path = [float(points[t]) if observed[t] else None for t in range(first, end)]
        for step, z in enumerate(predicted[k, :, 4].flatten().tolist()):
            lags = [path[-lag] if lag <= len(path) else None for lag in range(1, 5)]
            shift = 0.0 if None in lags else sum(c * y for c, y in zip(taps, lags, strict=True))  # type: ignore[misc,operator]
            path.append(z - shift)
            moved = predicted[k, step // 4, :, step % 4] - found[k, step // 4, :, step % 4]
            torch.testing.assert_close(moved, torch.full((9,), shift), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "mode",
    [
        {"learnable": True, "l2": 0.3},
        {"learnable": True, "fir": {"weight": 0.5, "length": 6}},
        {"learnable": True, "reversal_loss": {"filtered": 0.5, "reversed": 1.0}},
        {"learnable": True, "dual_head": True},
    ],
    ids=json.dumps,
)
def test_gradients_of_taps_are_those_of_finite_differences(mode: dict[str, Any]) -> None:
    model = built(filter={"family": "literal", "taps": [0.3, -0.4]}, preconditioning=mode).double()
    assert isinstance(model.taps, torch.nn.Parameter)
    if model.inverse_taps is not None:
        model.inverse_taps.data += 0.1
    batch = prepared()
    batch = ModelBatch(**{**vars(batch), "values_TP": batch.values_TP.double()})
    model(batch)[0].backward()
    for number in range(2):
        ends = []
        for change in (1e-6, -1e-6):
            model.taps.data[number] += change
            ends.append(float(model(batch)[0]))
            model.taps.data[number] -= change
        assert float(model.taps.grad[number]) == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-7)  # type: ignore[index]


@pytest.mark.parametrize(
    "mode", [*MODES, {"dual_head": True}, {"learnable": True, "dual_head": True}], ids=json.dumps
)
def test_gradients_of_all_weights_are_those_of_finite_differences(mode: dict[str, Any]) -> None:
    """Along a direction that moves every parameter of the mode at once, at a stride that is not one."""
    spec = {"family": "literal", "taps": [0.3, -0.4], "stride": 3}
    model = built(filter=spec, preconditioning=mode).double()
    batch = prepared()
    batch = ModelBatch(**{**vars(batch), "values_TP": batch.values_TP.double()})
    draw = torch.Generator().manual_seed(0)
    moved = [p for p in model.parameters() if p.requires_grad]
    towards = [torch.randn(p.shape, generator=draw, dtype=p.dtype) for p in moved]
    with torch.no_grad():
        for parameter in moved:
            parameter.add_(0.01 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))
    model(batch)[0].backward()
    slope = sum(float((p.grad * d).sum()) for p, d in zip(moved, towards, strict=True) if p.grad is not None)
    ends = []
    for change in (1e-6, -2e-6):
        with torch.no_grad():
            for parameter, direction in zip(moved, towards, strict=True):
                parameter.add_(direction, alpha=change)
        ends.append(float(model(batch)[0].detach()))
    assert slope == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


def test_finite_inverse_learns_the_impulse_response() -> None:
    model = built(filter=LYAPUNOV, preconditioning={"fir": {"weight": 1.0, "length": 6}})
    batch = prepared([[20], [22]])
    filtered = model.filtered(
        batch.values_TP.flatten(), batch.observed_TP.flatten(), batch.layout.segment_T.repeat_interleave(4)
    )
    targets = filtered.view(-1, 4)[batch.target_KF]
    perfect = targets[:, :, None].expand(-1, -1, 9, -1)
    raw = batch.values_TP[batch.target_KF]
    errors = []
    for ideal in (False, True):
        with torch.no_grad():
            # -h of 1/(1 - 0.2 L² - 0.3 L⁴)
            taps = [0.0, -0.2, 0.0, -(0.04 + 0.3), 0.0, -(0.2 * 0.34 + 0.3 * 0.2)]
            model.inverse_taps.copy_(torch.tensor(taps) if ideal else torch.zeros(6))  # type: ignore[union-attr]
        errors.append(float(model._inverse_error(batch, perfect, filtered, raw, targets).detach()))
    assert errors[1] < 0.2 * errors[0]


def test_hints_and_their_controls() -> None:
    batch = prepared()
    losses = {}
    for control in ("none", "zero", "duplicate", "noise"):
        model = built(filter=LYAPUNOV, preconditioning={"hint": {"control": control}})
        loss, _ = model(batch)
        loss.backward()
        losses[control] = float(loss.detach())
        grad = model.backbone.hint_hidden.weight.grad  # type: ignore[union-attr]
        assert bool(grad.any()) == (control != "zero")  # type: ignore[union-attr]
    assert len(set(losses.values())) == 4
    assert losses["zero"] == float(built()(batch)[0])


def test_hidden_hints_have_no_effect() -> None:
    model = built(filter=LYAPUNOV, preconditioning={"hint": {"dropout": 0.5}})
    batch = prepared()
    none = ModelBatch(**{**vars(batch), "hint_shown_T": torch.zeros_like(batch.hint_shown_T)})
    assert float(model(none)[0]) == float(built()(batch)[0])
    assert float(model(batch)[0]) != float(built()(batch)[0])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"preconditioning": {"learnabel": True}},
            "preconditioning.learnabel: unknown key; did you",
        ),
        ({"preconditioning": {"learnable": True}}, "preconditioning.learnable: there is no filter"),
        ({"filter": LYAPUNOV, "preconditioning": {"fir": {}, "reversal_loss": {}}}, "excludes reversal_loss"),
        ({"filter": LYAPUNOV, "preconditioning": {"l2": 1.0}}, "set learnable"),
        (
            {"filter": LYAPUNOV, "preconditioning": {"hint": {}, "fir": {}}},
            "hints leave the series unfiltered",
        ),
        ({"preconditioning": {"hint": {}}}, "no filter to take hints from"),
        ({"filter": {"family": "nothing"}}, "filter.family: 'nothing' is unknown"),
        ({"model": {**MODEL, "d_model": 30}}, "model.heads: 2 heads of width 15"),
        ({"model": {**MODEL, "quantile_levels": [0.5, 0.1]}}, "increasing"),
        ({"model": {**MODEL, "width": 3}}, "model.width: unknown key"),
        ({"model": {**MODEL, "layers": 0}}, "model.layers: 0"),
    ],
)
def test_wrong_settings_are_named(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_of(params(**more))


def test_fine_tuning_begins_from_a_baseline(tmp_path: Path) -> None:
    from specseq.models.moirai2.training import _begin_from

    baseline = built()
    with torch.no_grad():
        for parameter in baseline.parameters():
            parameter.add_(0.01)
    save_weights(tmp_path / "weights.safetensors", baseline, params())
    start = Start("weights", *load_weights(tmp_path / "weights.safetensors"))
    model = built(filter=LYAPUNOV, preconditioning={"learnable": True, "hint": None})
    _begin_from(model, start)
    for name, parameter in baseline.backbone.named_parameters():
        assert torch.equal(model.backbone.get_parameter(name), parameter)
    assert model.taps is not None
    assert model.taps.tolist() == pytest.approx(LYAPUNOV["taps"])
    nothing = built(filter=NOTHING, preconditioning={"learnable": True})
    _begin_from(nothing, start)
    assert float(nothing(prepared())[0]) == float(baseline(prepared())[0])
    other = model_of(params(model={**MODEL, "layers": 1}))
    with pytest.raises(InputError, match="does not fit the model"):
        _begin_from(other, start)
