"""The table of steps to a given validation loss, from planted curves."""

from pathlib import Path

import pandas as pd
import pytest

from specseq.studies.preconditioning.tables.convergence import COLUMNS, convergence
from specseq.tables import Provenance, write_parquet


def written(folder: Path, run: str, losses: dict[int, float]) -> Path:
    path = folder / f"{run.replace('/', '_')}.parquet"
    seed = int(run[-1])
    rows = [
        {"run": run, "seed": seed, "step": step, "metric": metric, "value": value}
        for step, value in losses.items()
        for metric, value in (("valid/raw_loss", value), ("loss", 9.0))
    ]
    write_parquet(path, pd.DataFrame(rows), Provenance("test"))
    return path


def test_steps_are_the_first_at_the_baselines_loss(tmp_path: Path) -> None:
    curves = {
        "preconditioning/baseline/seed0": {50: 2.0, 100: 1.04, 150: 1.2, 200: 1.0},
        "preconditioning/finetune/stride16_seed0": {50: 1.05, 100: 0.9, 150: 0.95},
        "preconditioning/learnable/stride16_seed0": {50: 3.0, 100: 1.3},
        "preconditioning/finetune/stride16_seed1": {50: 1.0},
    }
    paths = [written(tmp_path, run, losses) for run, losses in curves.items()]
    table = convergence({"runs": paths}, {"scale": "smoke"})
    assert list(table.columns) == [*COLUMNS, "scale"]
    rows = table.set_index(["group", "seed"])
    tuned = rows.loc[("preconditioning/finetune/stride16", 0)]
    assert (tuned["target"], tuned["steps"], tuned["share"]) == (pytest.approx(1.05), 50, pytest.approx(0.5))
    assert (tuned["best_loss"], tuned["end_loss"], tuned["end_steps"]) == (0.9, 0.95, 150)
    never = rows.loc[("preconditioning/learnable/stride16", 0)]
    assert not never["reached"]
    assert pd.isna(never["steps"])
    baseline = rows.loc[("preconditioning/baseline", 0)]
    assert (baseline["steps"], baseline["files"]) == (
        100,
        "runs/preconditioning/baseline/seed0/pretrain.parquet",
    )
    # A seed without its baseline has no target.
    assert pd.isna(rows.loc[("preconditioning/finetune/stride16", 1), "target"])


def test_runs_without_validation_have_no_row(tmp_path: Path) -> None:
    path = tmp_path / "plain.parquet"
    row = {"run": "preconditioning/baseline/seed0", "seed": 0, "step": 1, "metric": "loss", "value": 1.0}
    write_parquet(path, pd.DataFrame([row]), Provenance("test"))
    table = convergence({"runs": [path]}, {"scale": "smoke"})
    assert table.empty
    assert list(table.columns) == [*COLUMNS, "scale"]
