"""Seasonal Naive and Naive equal their published rows on the benchmarks' own data."""

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from specseq.models.registry import load_forecaster
from specseq.scoring.evaluate import score
from specseq.scoring.fev import fev_evaluations
from specseq.scoring.fev_tasks import METRICS, official_tasks, read_tasks
from specseq.scoring.gift_eval import gift_evaluations

DATA = os.environ.get("SPECSEQ_DATA", "")
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not DATA, reason="SPECSEQ_DATA names no folder of benchmark data"),
]


def published(benchmark: str, name: str) -> dict[str, dict[str, str]]:
    with (Path(DATA) / "published" / benchmark / f"{name}.csv").open() as handle:
        return {
            row["dataset" if benchmark == "gift_eval" else "task_name"]: row for row in csv.DictReader(handle)
        }


@pytest.mark.parametrize("name", ["seasonal_naive", "naive"])
def test_gift_eval(name: str) -> None:
    rows = published("gift_eval", name)
    evaluations = gift_evaluations(Path(DATA) / "gift_eval")
    assert len(evaluations) >= 24
    for evaluation in evaluations:
        scores = score(evaluation, load_forecaster(name))
        assert len(scores) == 11
        for metric, value in scores.items():
            wanted = float(rows[evaluation.name][metric])
            assert value == pytest.approx(wanted, rel=1e-6), (evaluation.name, metric)


@pytest.mark.parametrize("name", ["seasonal_naive", "naive"])
def test_fev(name: str) -> None:
    rows = published("fev", name)
    evaluations = fev_evaluations(Path(DATA) / "fev")
    assert len(evaluations) >= 10
    for evaluation in evaluations:
        scores = score(evaluation, load_forecaster(name, "fev"))
        for metric in METRICS:
            wanted = float(rows[evaluation.name][metric])
            assert scores[metric] == pytest.approx(wanted, rel=1e-7), (evaluation.name, metric)


def coarser(source: Path, target: Path, rule: str) -> None:
    """FEV-Bench's coarser data sets: means of the hourly values over whole days or weeks."""
    items = []
    for row in pq.read_table(source).to_pylist():
        columns = {name: values for name, values in row.items() if name not in ("id", "timestamp")}
        hourly = pd.DataFrame(columns, index=pd.DatetimeIndex(row["timestamp"]), dtype=np.float32)
        means = hourly.resample(rule).mean().iloc[1:-1].astype(np.float32)
        items.append({"id": row["id"], "timestamp": list(means.index), **means.to_dict("list")})
    target.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(items), target)


@pytest.mark.parametrize("name", ["seasonal_naive", "naive"])
def test_fev_weekly_data_and_daily_data_with_missing_days(name: str, tmp_path: Path) -> None:
    rows, root = published("fev", name), Path(DATA) / "fev"
    for source, task, rule in (("ETT_1H", "ETT_1W", "W"), ("uci_air_quality_1H", "uci_air_quality_1D", "D")):
        coarser(root / source / "data.parquet", tmp_path / task / "data.parquet", rule)
        (evaluation,) = fev_evaluations(tmp_path, only=[task])
        scores = score(evaluation, load_forecaster(name, "fev"))
        wanted = {metric: float(rows[task][metric]) for metric in METRICS}
        assert scores == pytest.approx(wanted, rel=1e-7), task


def test_the_table_of_tasks_is_the_official_one() -> None:
    assert read_tasks(Path(DATA) / "published" / "fev" / "tasks.yaml") == official_tasks()
