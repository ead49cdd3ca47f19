"""Validation in training: the loss of the raw series, the same windows for all runs, no weight moved."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from specseq.models.moirai2.model import pinball
from specseq.models.moirai2.training import build
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.prepare import prepare_store
from specseq.training.loop import train
from tests.models.moirai2.small import LYAPUNOV, MODES, NOTHING, built, params, prepared


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("validation")
    draw, start = np.random.default_rng(0), np.datetime64("2020-01-01T00:00:00")
    items = [Item(f"i{n}", start, "H", draw.normal(size=300).cumsum().astype(np.float32)) for n in range(5)]
    write_folder(folder / "corpus" / "walks", items, licence="CC0", source="tests")
    prepare_store(folder / "corpus", folder / "store", min_length=16)
    return folder / "store"


@pytest.mark.parametrize("mode", [*MODES, {"dual_head": True}], ids=json.dumps)
def test_a_filter_of_zeros_has_the_baselines_loss(mode: dict[str, Any]) -> None:
    batch = prepared()
    expected, _ = built()(batch)
    model = built(filter=NOTHING, preconditioning=mode)
    if mode.get("dual_head"):
        assert model.raw_head is not None
        model.raw_head.load_state_dict(model.backbone.head.state_dict())
    with torch.no_grad():
        assert float(model.raw_loss(batch)) == float(expected.detach())


def test_it_is_the_loss_after_reversal() -> None:
    batch = prepared()
    model = built(filter=LYAPUNOV, preconditioning={"reversal_loss": {}})
    reversed_, metrics = model(batch)
    with torch.no_grad():
        assert float(model.raw_loss(batch)) == pytest.approx(metrics["reversed_loss"])
        filtered = built(filter=LYAPUNOV)
        loss, _ = filtered(batch)
        assert float(filtered.raw_loss(batch)) == pytest.approx(metrics["reversed_loss"])
        assert float(loss) != pytest.approx(metrics["reversed_loss"])
    assert float(reversed_.detach()) == pytest.approx(metrics["reversed_loss"])


def trained(store: Path, folder: Path, **sections: Any) -> tuple[Tensor, list[tuple[int, str, float]]]:
    given = params(training={"steps": 4, "batch": 2, "evaluate_every": 2, "tensorboard": False}, **sections)
    task = build(given, {"store": store})
    record = list(train(task, given, folder, "digest").record)
    return torch.cat([p.detach().flatten() for p in task.model.parameters()]), record


def test_validation_moves_no_weight_and_is_the_same_for_all_runs(store: Path, tmp_path: Path) -> None:
    plain, record = trained(store, tmp_path / "plain")
    validated, more = trained(store, tmp_path / "validated", data={"validation": 2})
    assert torch.equal(plain, validated)
    assert [row for row in more if not row[1].startswith("valid/")] == record
    losses = [(step, name) for step, name, _ in more if name.startswith("valid/")]
    assert losses == [(2, "valid/raw_loss"), (4, "valid/raw_loss")]
    first = []
    for seed in (1, 2):
        given = {**params(data={"validation": 2}), "seed": seed}
        task = build(given, {"store": store})
        shared = built()
        first.append(task.evaluate(shared)["raw_loss"])
    assert first[0] == first[1]


def test_the_mean_is_over_points(store: Path) -> None:
    task = build(params(data={"validation": 3}), {"store": store})
    model = built()
    found = task.evaluate(model)["raw_loss"]
    alone = build(params(data={"validation": 1}), {"store": store})
    assert alone.evaluate(model)["raw_loss"] != found
    batch = prepared()
    with torch.no_grad():
        predicted = model.backbone.quantiles(model._read(batch)[1])
        expected = pinball(
            predicted, batch.values_TP[batch.target_KF], batch.wanted_KFP, model.config.quantile_levels
        )
        assert torch.equal(model.raw_loss(batch), expected)
