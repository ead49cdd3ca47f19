"""What is computed together changes no number: the parts of a training batch, the contexts of a forecast."""

import json
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from specseq.models.moirai2.batch import ModelBatch, Moirai2Stream, Preconditioner, RawBatch
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.forecaster import Moirai2Forecaster
from specseq.models.moirai2.model import PreconditionedMoirai2
from specseq.models.protocol import Query
from specseq.series.stream import PackedStream
from specseq.settings import read
from tests.models.moirai2.small import LEVELS, LYAPUNOV, MODES, built, pack, params

CONTROLS: list[dict[str, Any]] = [
    {"hint": {"control": control}} for control in ("none", "zero", "duplicate", "noise")
]
ALL_MODES = [*MODES, {"dual_head": True}, {"learnable": True, "dual_head": True}, *CONTROLS[2:]]
ROWS = [[9, 7, 3], [14, 2], [20], [5, 4], [3, 3, 3, 3]]


def batch_of(seed: int = 7, **more: Any) -> RawBatch:
    """A batch as a run with these parameters draws it."""
    packed = pack(ROWS, 24)
    object.__setattr__(packed, "seed", seed)
    given = params(**more)
    stream = cast(PackedStream, iter([packed]))
    return next(Moirai2Stream(stream, read(Moirai2Config, given["model"], "model"), Preconditioner.of(given)))


def gradients(
    model: PreconditionedMoirai2, parts: list[ModelBatch]
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Those of the mean over all parts, and the means of the metrics, as the training loop takes them."""
    model.zero_grad()
    total, sums = 0.0, dict[str, float]()
    for part in parts:
        loss, metrics = model(part)
        weight = metrics.pop("weight")
        (loss * weight).backward()
        total += weight
        for name, value in metrics.items():
            sums[name] = sums.get(name, 0.0) + weight * value
    found = {name: p.grad / total for name, p in model.named_parameters() if p.grad is not None}
    return found, {name: value / total for name, value in sums.items()}


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("mode", ALL_MODES, ids=json.dumps)
def test_parts_have_the_gradients_of_the_whole_batch(mode: dict[str, Any], parts: int) -> None:
    given: dict[str, Any] = {"filter": {**LYAPUNOV, "stride": 4}, "preconditioning": mode}
    model, whole = built(**given), batch_of(**given)
    if model.inverse_taps is not None:
        with torch.no_grad():
            model.inverse_taps += 0.1
    expected, metrics = gradients(model, [whole.prepare()])
    found, of_parts = gradients(model, [whole.shard(number, parts).prepare() for number in range(parts)])
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=2e-6, msg=name)
    assert of_parts == pytest.approx(metrics, rel=1e-5)


def test_parts_of_parts_know_the_whole_batch() -> None:
    given: dict[str, Any] = {"filter": LYAPUNOV, "preconditioning": {"fir": {"length": 8}}}
    whole = batch_of(**given)
    part, smaller = whole.shard(0, 2).prepare(), whole.shard(0, 2).shard(0, 2).prepare()
    assert part.filtered_share is not None
    assert smaller.filtered_share is not None
    assert 0 < float(smaller.filtered_share) == float(part.filtered_share) < 1
    assert whole.prepare().filtered_share is None


NOISE: dict[str, Any] = {"filter": LYAPUNOV, "preconditioning": {"hint": {"control": "noise"}}}


def test_noise_is_drawn_afresh_for_every_batch() -> None:
    model = built(**NOISE)
    losses = [float(model(batch_of(seed, **NOISE).prepare())[0].detach()) for seed in (7, 7, 8)]
    assert losses[0] == losses[1] != losses[2]


def test_noise_is_another_in_every_part() -> None:
    first, second = (batch_of(**NOISE).shard(number, 2).noise_BLCP for number in (0, 1))
    assert first is not None
    assert second is not None
    together = torch.stack((first.flatten(), second[: len(first)].flatten()))
    assert abs(float(torch.corrcoef(together)[0, 1])) < 0.2


def test_the_size_of_noise_does_not_tell_of_what_is_predicted() -> None:
    model, batch = built(**NOISE), batch_of(**NOISE).prepare()
    later_TP = batch.values_TP * torch.where(batch.known_TP, 1.0, 9.0)

    def noise(values_TP: Tensor) -> Tensor:
        known_N, observed_N = batch.known_TP.flatten(), batch.observed_TP.flatten()
        hints = model.hints(values_TP.flatten(), observed_N, batch.ids_N, known_N, batch.noise_CN)
        assert hints is not None
        return hints

    assert noise(batch.values_TP).any()
    assert torch.equal(noise(later_TP), noise(batch.values_TP))
    assert not torch.equal(noise(2 * batch.values_TP), noise(batch.values_TP))


@pytest.mark.parametrize("mode", [{}, {"dual_head": True}, *CONTROLS], ids=json.dumps)
def test_a_forecast_depends_on_its_context_alone(mode: dict[str, Any]) -> None:
    """Its place in the batch, its neighbours and the horizon asked for change nothing."""
    draw = np.random.default_rng(3)
    small, large = (size * draw.standard_normal(50).cumsum().astype(np.float32) for size in (1, 100))
    small[20:25] = np.nan
    forecaster = Moirai2Forecaster(built(filter=LYAPUNOV, preconditioning=mode))
    query = Query(40, LEVELS)
    alone = forecaster.forecast([small], query)[0]
    np.testing.assert_allclose(
        forecaster.forecast([large, small, large], query)[1], alone, rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(
        forecaster.forecast([small], Query(20, LEVELS))[0], alone[:, :20], rtol=1e-4, atol=1e-4
    )
