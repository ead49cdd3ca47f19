"""MOIRAI and its hybrids on samples whose past features end where the part to predict begins."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from specseq.models.measurement import alone_error, causality_errors, packing_error
from specseq.models.moirai.model import Moirai, packed_loss
from specseq.models.moirai.training import build as build_task
from specseq.models.moirai.training import loss
from specseq.series.batch import PackedBatch, Segments
from specseq.series.store import Store
from specseq.series.stream import moirai_stream
from specseq.training.loop import train
from tests.models.moirai.test_moirai_pretraining import params as run_of
from tests.series.past_features import PAST, coded_store

Build = Callable[..., Moirai]
VARIANTS = [
    {},
    {"pattern": "parallel"},
    {"pattern": "stu_only", "mode": "shared"},
    {"pattern": "stu_only", "runs": "variate"},
    {"pattern": "alternating", "mode": "full", "filters": 2},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    shapes = [(2, 3, 500), (1, 4, 700), (3, 1, 400), (1, 0, 600)]
    return coded_store(tmp_path_factory.mktemp("past"), shapes)


def past_tokens(batch: PackedBatch) -> torch.Tensor:
    """``bool [B, L]``, the tokens of past features: coded values tell them."""
    return batch.target.amax(-1) >= PAST


@pytest.fixture(scope="module")
def batch(store: Store) -> PackedBatch:
    """Rows in which past features are about a third of the tokens, on the scale of the targets."""
    drawn = next(moirai_stream(store, 8, 0, 40, 24, patch_sizes=(8, 16, 32), past_features=True))
    share = past_tokens(drawn).sum() / (drawn.sample_id > 0).sum()
    assert 0.2 < share < 0.7
    noise = torch.randn(drawn.target.shape, generator=torch.Generator().manual_seed(0))
    return replace(drawn, target=torch.where(drawn.observed, noise.cumsum(-1), 0.0))


@pytest.fixture(scope="module")
def is_past(store: Store) -> torch.Tensor:
    return past_tokens(next(moirai_stream(store, 8, 0, 40, 24, patch_sizes=(8, 16, 32), past_features=True)))


def runs(table: Segments) -> Iterator[tuple[int, slice]]:
    for row, start, length in zip(table.rows, table.starts, table.lengths, strict=True):
        yield int(row), slice(int(start), int(start + length))


@pytest.mark.parametrize("stu", VARIANTS)
def test_nothing_crosses_samples_and_alone_is_as_packed(stu: dict, build: Build, batch: PackedBatch) -> None:
    model = build(stu)
    assert packing_error(model, batch) == 0
    assert alone_error(model, batch) < 1e-10
    errors = causality_errors(model, batch)
    assert errors.get("causality_error", 0.0) < 1e-10
    assert bool(errors) == bool(stu)


@pytest.mark.parametrize("stu", VARIANTS)
def test_past_features_are_seen_and_never_predicted(
    stu: dict, build: Build, batch: PackedBatch, is_past: torch.Tensor
) -> None:
    model = build(stu)
    prediction = model(batch)
    tables = prediction.tables
    slots = tables.layout.tokens[tables.predicted_K]
    assert not is_past.flatten()[slots].any()
    assert batch.prediction_mask.flatten()[slots].all()
    targets = sum(not is_past[row, run].any() for row, run in runs(batch.variates))
    assert targets < len(batch.variates.rows)
    value, metrics = packed_loss(prediction, batch)
    assert metrics["groups"] == targets, "the loss is a mean over targets"
    value.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    other = replace(
        batch, target=torch.where(is_past[..., None] & batch.observed, -batch.target, batch.target)
    )
    changed = model(other).raw_12Q
    if stu.get("pattern") == "stu_only":
        # Units are causal, and past features follow the targets.
        torch.testing.assert_close(changed, prediction.raw_12Q, rtol=1e-10, atol=1e-10)
    else:
        assert (changed - prediction.raw_12Q).abs().max() > 1e-3
    assert packed_loss(model(other), other)[1]["groups"] == targets


def test_past_features_have_a_location_and_scale_of_their_own(
    build: Build, batch: PackedBatch, is_past: torch.Tensor
) -> None:
    """Shifted and scaled past features change no prediction but by the floor of the variance."""
    model, moved = build(), batch.target.double()
    moved = torch.where(is_past[..., None] & batch.observed, 1e4 + 1e3 * moved, moved)
    wide = replace(batch, target=batch.target.double())
    torch.testing.assert_close(
        model(replace(wide, target=moved)).raw_12Q, model(wide).raw_12Q, rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    "stu", [{}, {"pattern": "alternating"}, {"pattern": "alternating", "runs": "variate"}]
)
def test_a_run_is_trained_with_them(stu: dict, store: Store, tmp_path: Path) -> None:
    """Off is the default and leaves the run as it is; parts of a batch have the gradient of the whole."""

    def params(**data: bool) -> dict:
        run = run_of(stu, steps=3)
        return {**run, "data": {**run["data"], **data}}

    inputs, losses = {"store": store.folder}, {}
    for name, data in {"default": {}, "off": {"past_features": False}, "on": {"past_features": True}}.items():
        task = build_task(params(**data), inputs)
        outcome = train(task, params(**data), tmp_path / name, "d")
        losses[name] = [value for _, metric, value in outcome.record if metric == "loss"]
        assert np.isfinite(losses[name]).all()
    assert losses["default"] == losses["off"] != losses["on"]
    task = build_task(params(past_features=True), inputs)
    drawn, cpu = next(task.batches), torch.device("cpu")
    assert past_tokens(drawn.packed).any()
    whole, metrics = loss(task.model, drawn.to(cpu))
    parts = [loss(task.model, drawn.shard(number, 2).to(cpu)) for number in range(2)]
    assert sum(part["weight"] for _, part in parts) == metrics["weight"]
    together = sum(value.item() * part["weight"] for value, part in parts) / metrics["weight"]
    assert together == pytest.approx(whole.item(), rel=1e-4)


def test_batches_of_several_processes_are_those_of_one(store: Store) -> None:
    """Skipped batches cost none of the draws: what several loaders rest on."""
    whole = moirai_stream(store, 4, 3, 32, 16, past_features=True)
    half = moirai_stream(store, 4, 3, 32, 16, past_features=True)
    for number, expected in enumerate(islice(whole, 6)):
        if number % 2:
            half.skip()
        else:
            assert torch.equal(next(half).target, expected.target)
