"""Moirai2: its size, what it may see, its loss, its modes of preconditioning, and its forecasts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specseq.errors import InputError
from specseq.forecasters.layout import power_of_two
from specseq.forecasters.moirai2.batch import Drawn, Prepared, context_tokens, location_and_scale
from specseq.forecasters.moirai2.config import Moirai2Config
from specseq.forecasters.moirai2.forecaster import Moirai2Forecaster, load
from specseq.forecasters.moirai2.loss import pinball
from specseq.forecasters.moirai2.model import Moirai2
from specseq.forecasters.moirai2.preconditioned import PreconditionedMoirai2
from specseq.forecasters.moirai2.pretraining import model_of
from specseq.forecasters.protocol import Query
from specseq.series.anomaly import context_tokens as context_tokens_of
from specseq.series.batch import PackedBatch, Segments
from specseq.training.checkpoint import save_weights
from specseq.training.optimiser import Optimiser
from specseq.training.spec import TrainingSpec
from specseq.training.task import Task

MODEL = {"kind": "moirai2", "d_model": 32, "layers": 2, "heads": 2, "d_ff": 48, "patch": 4, "tokens": 24}
LYAPUNOV = {"family": "literal", "taps": [0.0, -0.2, 0.0, -0.3]}
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def params(**more: Any) -> dict[str, Any]:
    return {
        "study": "preconditioning",
        "seed": 1,
        "model": MODEL,
        "training": {"steps": 4, "batch": 2},
        **more,
    }


def pack(rows: list[list[int]], length: int, seed: int = 0, patch: int = 4) -> PackedBatch:
    """Random walks of the given numbers of tokens; a tenth of the points is missing."""
    draw = np.random.default_rng(seed)
    shape = (len(rows), length)
    sample, time = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    target = np.zeros((*shape, patch), np.float32)
    observed = np.zeros((*shape, patch), bool)
    runs = []
    for row, sizes in enumerate(rows):
        at = 0
        for number, size in enumerate(sizes, 1):
            sample[row, at : at + size], time[row, at : at + size] = number, np.arange(size)
            target[row, at : at + size] = 5 + draw.standard_normal(size * patch).cumsum().reshape(size, patch)
            observed[row, at : at + size] = draw.random((size, patch)) > 0.1
            runs.append((row, at, size))
            at += size
    target[~observed] = 0
    table = Segments(*torch.tensor(runs).T)
    ids = {
        "sample_id": sample,
        "time_id": time,
        "variate_id": np.zeros_like(time),
        "patch_size": patch * (sample > 0),
    }
    masks = {"prediction_mask": np.zeros(shape, bool), "loss_mask": sample > 0}
    arrays = {name: torch.from_numpy(array) for name, array in {**ids, **masks}.items()}
    return PackedBatch(
        target=torch.from_numpy(target), observed=torch.from_numpy(observed), **arrays,
        samples=table, variates=table, seed=7,
    )  # fmt: skip


def drawn(batch: PackedBatch, hidden: float = 0.3) -> Drawn:
    draw = np.random.default_rng(5)
    shape = tuple(batch.sample_id.shape)
    masks = (torch.from_numpy(draw.random(shape) >= share) for share in (hidden, 0.1))
    return Drawn(batch, *masks, predicted=4)


def prepared(rows: list[list[int]] | None = None, length: int = 24, hidden: float = 0.3) -> Prepared:
    return drawn(pack(rows or [[9, 7, 3], [14, 2], [20]], length), hidden).prepare()


def built(**more: Any) -> PreconditionedMoirai2:
    return model_of(params(**more))


def test_published_size() -> None:
    with torch.device("meta"):
        model = Moirai2(Moirai2Config())
    assert sum(p.numel() for p in model.parameters()) == 11_387_208


# What it may see


def hidden_states(model: PreconditionedMoirai2, batch: Prepared) -> Tensor:
    shown = batch.observed_TP & batch.shown_T[:, None]
    inputs = torch.where(shown, batch.values_TP, 0.0)
    tokens = model.backbone.tokens(inputs, shown)
    states: Tensor = model.backbone(tokens, model.backbone.context(batch.layout, batch.time_T))
    return states


@pytest.mark.parametrize("changed", [3, 11, 19])
def test_causality_is_exact(changed: int) -> None:
    model, batch = built(), prepared([[20]], hidden=0.0)
    before = hidden_states(model, batch)
    batch.values_TP[changed] += 3.0
    after = hidden_states(model, batch)
    assert torch.equal(before[:changed], after[:changed])
    assert not torch.equal(before[changed], after[changed])


def test_samples_of_a_row_do_not_see_each_other() -> None:
    model, batch = built(), prepared([[9, 7, 3]])
    before = hidden_states(model, batch)
    other = batch.layout.segment_T == batch.layout.segment_T[0]
    batch.values_TP[other] += 3.0
    after = hidden_states(model, batch)
    assert torch.equal(before[~other], after[~other])
    assert not torch.equal(before[other], after[other])


def test_alone_packed_and_padded_are_the_same() -> None:
    model = built()
    packed = pack([[9, 7, 3], [14, 2]], 24)
    whole = drawn(packed, hidden=0.0).prepare()
    states = whole.layout.unflatten(hidden_states(model, whole))
    for row, start, size in zip(*(column.tolist() for column in vars(packed.samples).values()), strict=True):
        for length in (size, size + 5):
            alone = pack([[size]], length)
            alone.target[0, :size] = packed.target[row, start : start + size]
            alone.observed[0, :size] = packed.observed[row, start : start + size]
            one = drawn(alone, hidden=0.0).prepare(power_of_two)
            found = one.layout.unflatten(hidden_states(model, one))[0, :size]
            torch.testing.assert_close(found, states[row, start : start + size], atol=1e-5, rtol=1e-5)


def test_hidden_patches_have_no_effect() -> None:
    model, batch = built(), prepared()
    before = hidden_states(model, batch)
    batch.values_TP[~batch.shown_T] += 100.0
    assert (~batch.shown_T).any()
    assert torch.equal(hidden_states(model, batch), before)


# Scaling and targets


def test_context_is_the_first_third_or_so_as_the_anomaly_rule_has_it() -> None:
    sizes = torch.arange(1, 600)
    assert context_tokens(sizes).tolist() == [context_tokens_of(size) for size in sizes.tolist()]


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_location_and_scale(sizes: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    segment = np.repeat(np.arange(len(sizes)), sizes)
    values = 1e6 + draw.standard_normal((len(segment), 3)).astype(np.float32)
    known = draw.random(values.shape) < 0.6
    loc, scale = location_and_scale(*map(torch.from_numpy, (values, known, segment)))
    for number in range(len(sizes)):
        points = values[segment == number][known[segment == number]].astype(np.float64)
        assert loc[number] == pytest.approx(points.mean() if len(points) else 0, rel=1e-12)
        variance = points.var(ddof=1) if len(points) > 1 else 0.0
        assert scale[number] == pytest.approx(np.sqrt(variance + 1e-5), rel=1e-9)


def test_only_later_observed_points_of_the_same_sample_are_targets() -> None:
    batch = prepared([[9, 7, 3], [14, 2], [20]])
    segment, time = batch.layout.segment_T, batch.time_T
    sizes = torch.bincount(segment)
    pairs = {
        (int(query), int(target))
        for query, targets, wanted in zip(batch.query_K, batch.target_KF, batch.wanted_KF, strict=True)
        for target in targets[wanted]
    }
    expected = {
        (q, q + ahead)
        for q in range(len(time))
        for ahead in range(1, 5)
        if q + ahead < len(time)
        and segment[q + ahead] == segment[q]
        and time[q + ahead] >= max(1, int(0.3 * sizes[segment[q]] + 1e-9))
    }
    assert pairs == expected
    assert torch.equal(batch.wanted_KFP, batch.observed_TP[batch.target_KF] & batch.wanted_KF[..., None])


def test_what_the_anomaly_rule_keeps_from_the_loss_is_no_target() -> None:
    packed = pack([[9, 7]], 24)
    packed.loss_mask[packed.sample_id == 2] = False
    batch = drawn(packed).prepare()
    tokens_of_second = torch.nonzero(batch.layout.flatten(packed.sample_id) == 2).flatten()
    assert not torch.isin(batch.query_K, tokens_of_second).any()


def test_pinball_against_its_definition() -> None:
    draw = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, 2, 9, 4, generator=draw)
    target = torch.randn(3, 2, 4, generator=draw)
    wanted = torch.rand(3, 2, 4, generator=draw) < 0.7
    losses = [
        max(level * error, (level - 1) * error)
        for k in range(3) for f in range(2) for q, level in enumerate(LEVELS) for p in range(4)
        if wanted[k, f, p]
        for error in [float(target[k, f, p] - predicted[k, f, q, p])]
    ]  # fmt: skip
    assert float(pinball(predicted, target, wanted, LEVELS)) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(pinball(predicted, target, wanted & False, LEVELS)) == 0


def test_shards_draw_the_masks_of_the_whole() -> None:
    whole = drawn(pack([[9, 7, 3], [14, 2], [20], [5]], 24))
    parts = [whole.shard(number, 2) for number in (0, 1)]
    assert torch.equal(torch.cat([part.shown_BL for part in parts]), whole.shown_BL)
    model = built()
    loss, metrics = model(whole.prepare())
    found = [model(part.prepare()) for part in parts]
    weights = [metrics_of["weight"] for _, metrics_of in found]
    assert sum(weights) == metrics["weight"]
    combined = sum(float(part.detach()) * weight for (part, _), weight in zip(found, weights, strict=True))
    assert combined / sum(weights) == pytest.approx(float(loss.detach()), rel=1e-5)


# Modes of preconditioning


def step_of(model: PreconditionedMoirai2, batch: Prepared) -> tuple[float, dict[str, Tensor]]:
    loss, _ = model(batch)
    loss.backward()
    grads = {
        name: p.grad
        for name, p in model.named_parameters()
        if name.startswith("backbone.") and p.grad is not None
    }
    return float(loss.detach()), grads


NOTHING = {"family": "literal", "taps": [0.0, 0.0]}


MODES: list[dict[str, Any]] = [
    {},
    {"missing": "zero"},
    {"learnable": True},
    {"learnable": True, "l2": 50.0},
    {"fir": {"weight": 0.5, "length": 8}},
    {"learnable": True, "fir": {"weight": 0.1, "length": 8, "stride": 2}},
    {"reversal_loss": {}},
    {"reversal_loss": {"filtered": 1.0, "reversed": 0.0}},
    {"learnable": True, "reversal_loss": {}},
    {"hint": {}},
    {"hint": {"control": "zero"}},
    {"hint": {"filters": [NOTHING, {"family": "identity", "degree": 3, "stride": 4}], "dropout": 0.1}},
]


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
    spec = TrainingSpec.of({"training": {"steps": steps, "lr": 0.01}})
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
    same = Prepared(**{**vars(batch), "values_TP": filtered})
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
    batch = Prepared(**{**vars(batch), "values_TP": batch.values_TP.double()})
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
    batch = Prepared(**{**vars(batch), "values_TP": batch.values_TP.double()})
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


def test_noise_is_drawn_afresh_for_every_batch() -> None:
    model = built(filter=LYAPUNOV, preconditioning={"hint": {"control": "noise"}})
    batch = prepared()
    other = Prepared(**{**vars(batch), "seed": batch.seed + 1})
    losses = [float(model(one)[0].detach()) for one in (batch, batch, other)]
    assert losses[0] == losses[1] != losses[2]


def test_hidden_hints_have_no_effect() -> None:
    model = built(filter=LYAPUNOV, preconditioning={"hint": {"dropout": 0.5}})
    batch = prepared()
    none = Prepared(**{**vars(batch), "hint_shown_T": torch.zeros_like(batch.hint_shown_T)})
    assert float(model(none)[0]) == float(built()(batch)[0])
    assert float(model(batch)[0]) != float(built()(batch)[0])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"preconditioning": {"learnabel": True}}, "preconditioning.learnabel: no such setting"),
        ({"preconditioning": {"learnable": True}}, "preconditioning.learnable: there is no filter"),
        ({"filter": LYAPUNOV, "preconditioning": {"fir": {}, "reversal_loss": {}}}, "excludes reversal_loss"),
        ({"filter": LYAPUNOV, "preconditioning": {"l2": 1.0}}, "set learnable"),
        (
            {"filter": LYAPUNOV, "preconditioning": {"hint": {}, "fir": {}}},
            "hints leave the series unfiltered",
        ),
        ({"preconditioning": {"hint": {}}}, "no filter to take hints from"),
        ({"filter": {"family": "nothing"}}, "unknown family"),
        ({"model": {**MODEL, "d_model": 30}}, "model.heads"),
        ({"model": {**MODEL, "quantile_levels": [0.5, 0.1]}}, "increasing"),
        ({"model": {**MODEL, "width": 3}}, "model.width: no such setting"),
        ({"model": {**MODEL, "layers": 0}}, "model.layers: 0"),
    ],
)
def test_wrong_settings_are_named(more: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_of(params(**more))


def test_fine_tuning_begins_from_a_baseline(tmp_path: Path) -> None:
    from specseq.forecasters.moirai2.pretraining import _begin_from

    baseline = built()
    with torch.no_grad():
        for parameter in baseline.parameters():
            parameter.add_(0.01)
    save_weights(tmp_path / "weights.safetensors", baseline, params())
    model = built(filter=LYAPUNOV, preconditioning={"learnable": True, "hint": None})
    _begin_from(model, tmp_path / "weights.safetensors")
    for name, parameter in baseline.backbone.named_parameters():
        assert torch.equal(model.backbone.get_parameter(name), parameter)
    assert model.taps is not None
    assert model.taps.tolist() == pytest.approx(LYAPUNOV["taps"])
    nothing = built(filter=NOTHING, preconditioning={"learnable": True})
    _begin_from(nothing, tmp_path / "weights.safetensors")
    assert float(nothing(prepared())[0]) == float(baseline(prepared())[0])
    other = model_of(params(model={**MODEL, "layers": 1}))
    with pytest.raises(InputError, match="does not fit the model"):
        _begin_from(other, tmp_path / "weights.safetensors")


# Forecasts


def series(count: int = 3, seed: int = 3) -> list[np.ndarray]:
    draw = np.random.default_rng(seed)
    lengths = draw.integers(5, 90, count)
    return [100 + draw.standard_normal(n).cumsum().astype(np.float32) for n in lengths]


def reference(model: PreconditionedMoirai2, context: np.ndarray, horizon: int) -> np.ndarray:
    """Forecast by whole passes over context and path, one path at a time: no cache, no batches."""
    patch, levels = model.config.patch, torch.tensor(model.config.quantile_levels)
    lead = -len(context) % patch
    raw = torch.cat((torch.full((lead,), float("nan")), torch.from_numpy(context)))
    observed = torch.isfinite(raw)
    known = raw[observed].double()
    loc, scale = known.mean(), (known.var() + 1e-5).sqrt()
    scaled = torch.where(observed, (raw.double() - loc) / scale, 0.0).float()
    scaled = model.filtered(scaled, observed)

    def predict(path: Tensor) -> Tensor:
        points = torch.cat((scaled, path)).view(-1, patch)
        there = torch.cat((observed, torch.ones(len(path), dtype=torch.bool))).view(-1, patch)
        tokens = len(points)
        batch = drawn(pack([[tokens]], tokens), 0.0).prepare()
        state = model.backbone(
            model.backbone.tokens(points, there), model.backbone.context(batch.layout, batch.time_T)
        )[-1:]
        return model.backbone.quantiles(state)[0].transpose(0, 1).flatten(1)

    paths = predict(torch.zeros(0))
    while paths.shape[1] < horizon:
        values = torch.cat([predict(path) for path in paths])
        assert values.shape[0] == 81
        paths = torch.cat((paths, torch.quantile(values, levels, dim=0)), dim=1)
    return (paths[:, :horizon].double().sort(dim=0).values * scale + loc).detach().numpy()


@pytest.mark.parametrize("horizon", [3, 16, 17, 50])
def test_forecast_is_the_plain_81_path_reduction(horizon: int) -> None:
    model = built()
    contexts = series()
    contexts[1][3:6] = np.nan
    found = Moirai2Forecaster(model).forecast(contexts, Query(horizon, LEVELS))
    assert found.shape == (3, 9, horizon)
    for context, quantiles in zip(contexts, found, strict=True):
        limit = (24 - 4) * 4
        np.testing.assert_allclose(
            quantiles, reference(model, context[-limit:], horizon), rtol=2e-5, atol=2e-4
        )


def test_filtered_forecasts_and_their_reversal() -> None:
    model = built(filter={"family": "literal", "taps": [-0.3, -0.2]})
    contexts = [context[-40:] for context in series(8) if len(context) > 20][:3]
    forecaster = Moirai2Forecaster(model)
    filtered, quantiles = forecaster.forecast_filtered(contexts, Query(20, LEVELS))
    assert filtered is not None
    for context, one in zip(contexts, quantiles, strict=True):
        np.testing.assert_allclose(one, reference(model, context, 20), rtol=2e-5, atol=2e-4)
    found = forecaster.forecast(contexts, Query(20, LEVELS))
    mean = np.array([context.astype(np.float64).mean() for context in contexts])
    for row, context in enumerate(contexts):
        past = list(context.astype(np.float64) - mean[row])
        for step in range(20):
            shift = -0.3 * past[-1] - 0.2 * past[-2]
            past.append(quantiles[row, 4, step] - mean[row] - shift)
            np.testing.assert_allclose(
                found[row, :, step], quantiles[row, :, step] - shift, rtol=1e-4, atol=1e-3
            )
    truth = np.random.default_rng(0).standard_normal((len(contexts), 20)) + mean[:, None]
    oracle = filtered.reverse(quantiles, LEVELS, "oracle", path_BH=truth)
    assert not np.allclose(oracle, found)


def test_learned_inverse_reverses_too() -> None:
    spec = {"family": "literal", "taps": [-0.3, -0.2], "stride": 2}
    model = built(filter=spec, preconditioning={"fir": {"length": 5, "stride": 2}})
    with torch.no_grad():
        model.inverse_taps.copy_(torch.tensor([0.3, 0.29, 0.147, 0.1021, 0.06003]))  # type: ignore[union-attr]
    forecaster, contexts = (
        Moirai2Forecaster(model),
        [context[-60:] for context in series(9) if len(context) > 60],
    )
    filtered, quantiles = forecaster.forecast_filtered(contexts, Query(12, LEVELS))
    assert filtered is not None
    assert forecaster.inverse is not None
    taps, stride = forecaster.inverse
    found = filtered.reverse(quantiles, LEVELS, "fir", inverse_taps=-taps, inverse_stride=stride)
    path = np.concatenate([filtered.filtered_tail, quantiles[:, 4] - filtered.location_B[:, None]], axis=1)
    for step in range(12):
        lags = path[:, [path.shape[1] - 12 + step - 2 * lag for lag in range(1, 6)]]
        shift = np.nan_to_num(lags) @ -taps
        np.testing.assert_allclose(
            found[:, :, step], quantiles[:, :, step] - shift[:, None], rtol=1e-4, atol=1e-3
        )


@pytest.mark.parametrize("mode", [*MODES, {"dual_head": True}], ids=json.dumps)
def test_zero_taps_forecast_as_the_baseline_to_the_bit(mode: dict[str, Any]) -> None:
    model = built(filter=NOTHING, preconditioning=mode)
    if model.raw_head is not None:
        model.raw_head.load_state_dict(model.backbone.head.state_dict())
    query, contexts = Query(40, LEVELS), series()
    contexts[1][3:6] = np.nan
    expected = Moirai2Forecaster(built()).forecast(contexts, query)
    forecaster = Moirai2Forecaster(model)
    assert np.array_equal(forecaster.forecast(contexts, query), expected)
    filtered, quantiles = forecaster.forecast_filtered(contexts, query)
    if filtered is not None:
        truth = np.random.default_rng(0).standard_normal((len(contexts), 40))
        assert np.array_equal(filtered.reverse(quantiles, LEVELS, "oracle", path_BH=truth), expected)
        taps, stride = forecaster.inverse or (None, None)
        inverse = filtered.reverse(quantiles, LEVELS, "fir", inverse_taps=taps, inverse_stride=stride)
        assert np.array_equal(inverse, expected)


@pytest.mark.parametrize("mode", [{"dual_head": True}, {"hint": {}}], ids=json.dumps)
def test_fed_back_points_are_filtered_and_hinted(mode: dict[str, Any]) -> None:
    """The second round sees filtered points of the first, so it changes with the filter."""
    query, contexts = Query(32, LEVELS), [context for context in series(8) if len(context) > 40][:2]
    weak, strong = (
        built(filter={"family": "literal", "taps": [tap]}, preconditioning=mode) for tap in (-0.1, -0.9)
    )
    first, second = (Moirai2Forecaster(model).forecast(contexts, query) for model in (weak, strong))
    assert first.shape == (len(contexts), 9, 32)
    assert not np.allclose(first[:, :, 16:], second[:, :, 16:], rtol=1e-4)


WILD = st.lists(
    st.sampled_from([0.0, 1.0, -1.0, 1e30, -1e30, 1e-30, float("nan"), float("inf"), -float("inf"), 3e38]),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(contexts=st.lists(WILD, min_size=1, max_size=3), horizon=st.integers(1, 20))
def test_wild_contexts_give_finite_ordered_quantiles(contexts: list[list[float]], horizon: int) -> None:
    arrays = [np.array(context, np.float32) for context in contexts]
    found = Moirai2Forecaster(built()).forecast(arrays, Query(horizon, (0.05, 0.1, 0.35, 0.5, 0.95)))
    assert found.shape == (len(contexts), 5, horizon)
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=1) >= 0).all()


def test_forecaster_from_its_weights_file(tmp_path: Path) -> None:
    given = params(filter=LYAPUNOV, preconditioning={"learnable": True})
    model = model_of(given)
    with torch.no_grad():
        assert model.taps is not None
        model.taps.add_(0.05)
    path = tmp_path / "some_run" / "weights.safetensors"
    save_weights(path, model, given)
    forecaster = load(path, batch_size=2)
    assert forecaster.name == "some_run"
    query, contexts = Query(9, LEVELS), series()
    assert np.array_equal(
        forecaster.forecast(contexts, query), Moirai2Forecaster(model).forecast(contexts, query)
    )
    save_weights(path, model_of(params()), given)
    with pytest.raises(InputError, match="do not fit"):
        load(path)
    with torch.no_grad():
        model.taps.fill_(float("nan"))
    save_weights(path, model, given)
    with pytest.raises(InputError, match="diverged"):
        load(path)
