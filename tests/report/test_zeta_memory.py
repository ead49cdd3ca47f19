"""Table and figure of memory in rollouts, from planted results."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from specseq.report.style import styled
from specseq.studies.zeta.memory import MEASURES, memory
from specseq.studies.zeta.memory import figure as draw
from specseq.tables import Provenance, write_parquet


def made(tmp_path: Path, rows: list[dict[str, Any]]) -> pd.DataFrame:
    common = {"benchmark": "rollout", "task": "real/test", "context": 8, "step": 100, "seed": 0}
    path = tmp_path / "long.parquet"
    write_parquet(path, pd.DataFrame([{**common, **row} for row in rows]), Provenance("test"))
    return memory({"long": [path]}, {"scale": "smoke"})


def test_modes_stand_side_by_side_and_seeds_are_pooled(tmp_path: Path) -> None:
    kept, zeroed = ("err_mean", 3.0), ("err_mean_zeroed", 1.0)
    drift = ("drift_distance_true", 1.1)
    rows = [
        *(
            {"group": "zeta/models/memory", "seed": seed, "metric": metric, "value": value + seed}
            for metric, value in (kept, zeroed, drift)
            for seed in (0, 1)
        ),
        {"group": "zeta/models/memory", "metric": "err_mean_zeroed", "value": 0.5, "step": 1},
        {"group": "zeta/models/memory", "metric": "err_mean_zeroed", "value": 9.0, "task": "shuffled/test"},
        {"group": "zeta/models/memory", "metric": "nll", "value": 9.0},
        {"group": "zeta/models/baseline", "metric": "err_mean", "value": 2.0},
    ]
    table = made(tmp_path, rows)
    assert list(table.columns) == ["group", "set", "context", "step", "seeds", *MEASURES, "scale"]
    assert table[["set", "step", "seeds"]].to_numpy().tolist() == [
        ["real", 1, 1],
        ["real", 100, 2],
        ["shuffled", 100, 1],
    ]
    row = table.iloc[1]
    assert (row["err"], row["err_zeroed"], row["distance_true"]) == pytest.approx((3.5, 1.5, 1.6))
    assert row[["err_faded", "attention"]].isna().all()


def test_without_such_measurements_it_is_empty(tmp_path: Path) -> None:
    table = made(tmp_path, [{"group": "zeta/models/baseline", "metric": "err_mean", "value": 2.0}])
    assert table.empty
    assert list(table.columns)[:5] == ["group", "set", "context", "step", "seeds"]
    assert made(tmp_path, [{"group": "zeta/models/baseline", "metric": "nll", "value": 2.0}]).empty


def test_the_figure_shows_each_mode_beside_the_baseline(tmp_path: Path) -> None:
    curves = [
        {"group": group, "metric": metric, "step": step, "value": value * step}
        for group, metrics in (
            ("zeta/models/memory_causal", ("err_mean", "err_mean_zeroed", "err_mean_faded")),
            ("zeta/models/baseline", ("err_mean", "drift_distance_true")),
        )
        for value, metric in enumerate(metrics, 1)
        for step in (1, 10, 100)
    ]
    path = tmp_path / "memory.parquet"
    write_parquet(path, made(tmp_path, curves), Provenance("test"))
    with styled():
        figure = draw({"memory": [path]}, {})
        (panel,) = figure.axes
        assert panel.get_title(loc="left") == "memory (causal mask)"
        drawn = {line.get_label(): line.get_ydata().tolist() for line in panel.get_lines()}
        assert drawn == {
            "memory kept": [1, 10, 100],
            "memory zeroed": [2, 20, 200],
            "memory faded": [3, 30, 300],
            "baseline without memory": [1, 10, 100],
        }
        write_parquet(
            path, made(tmp_path, [{"group": "a", "metric": "nll", "value": 1.0}]), Provenance("test")
        )
        assert "no model" in draw({"memory": [path]}, {}).axes[0].get_title(loc="left")
    plt.close("all")
