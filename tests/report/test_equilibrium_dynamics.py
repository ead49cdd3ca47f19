"""Tables of controllers, ε-sweeps and widths, from results whose answers are planted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from specseq.report.tidy import make as make_long
from specseq.studies.equilibrium import dynamics_tables, tables
from specseq.tables import Provenance, long_table, write_parquet


def rows_of(
    group: str, seed: int, benchmark: str, *values: tuple[str, int, str, float]
) -> list[dict[str, Any]]:
    run = {
        "study": "equilibrium",
        "run": f"equilibrium/{group}_seed{seed}",
        "seed": seed,
        "benchmark": benchmark,
    }
    return [
        {**run, "task": task, "step": step, "metric": metric, "value": value}
        for task, step, metric, value in values
    ]


def long(folder: Path, rows: list[dict[str, Any]]) -> dict[str, list[Path]]:
    write_parquet(folder / "a.parquet", long_table(rows), Provenance("pretrain"))
    frame = make_long({"training": [folder / "a.parquet"]}, {})
    write_parquet(folder / "long.parquet", frame, Provenance("table"))
    return {"long": [folder / "long.parquet"]}


def test_controllers_are_followed_along_training(tmp_path: Path) -> None:
    rows = rows_of("wall/euler", 0, "pretrain", ("train", 1, "loss", 3.0))
    for seed, last in enumerate((0.02, 0.04)):
        for step, size in ((10, 0.1), (20, 0.01), (30, last)):
            found = {"free_step": size, "free_floor_overshoots": 3.0, "free_handed_off": float(step == 30)}
            rows += rows_of(
                "wall/adaptive", seed, "pretrain", *(("train", step, *item) for item in found.items())
            )
        rows += rows_of("wall/adaptive", seed, "pretrain", ("valid", 30, "valid/eps_crit", 0.05))
    table = dynamics_tables.controllers(long(tmp_path, rows), {"scale": "smoke"})
    assert table["group"].tolist() == ["equilibrium/wall/adaptive"]
    row = table.iloc[0]
    assert row[["seeds", "step_first", "step_least", "step_last"]].tolist() == pytest.approx(
        [2, 0.1, 0.01, 0.03]
    )
    assert row[["floor_overshoots", "handed_off", "eps_crit_last"]].tolist() == pytest.approx(
        [3, 1 / 3, 0.05]
    )
    assert np.isnan(row["nudged_step_last"])


def test_sweeps_of_the_step_have_both_residuals(tmp_path: Path) -> None:
    rows = []
    for step in (0.1, 0.01):
        for sample, force in enumerate((0.09, 1e-6, np.inf)):
            found = {"step_residual": step * force, "force_residual": force, "evaluations": 100.0}
            found |= {"time": 100 * step, "rho": 1 + step}
            task = f"step_sweep/{step:g}"
            rows += rows_of(
                "wall/euler", 0, "audit", *((task, sample, f"swept/{k}", v) for k, v in found.items())
            )
    rows += rows_of("wall/euler", 0, "audit", ("fingerprint", -1, "alpha", -0.1))
    table = dynamics_tables.steps(long(tmp_path, rows), {"scale": "smoke"}).set_index("step")
    assert table["identity"].tolist() == pytest.approx([1, 1])
    assert table["settled"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert table.loc[0.01, "step_residual"] == pytest.approx(0.01 * table.loc[0.01, "force_residual"])
    assert table.loc[0.1, ["rho", "time"]].tolist() == pytest.approx([1.1, 10])


def test_widths_are_those_of_the_last_equilibrium(tmp_path: Path) -> None:
    rows = []
    for width in (32, 64):
        for step, alpha in ((10, -0.5), (20, np.nan)):
            found = {"loss": 3.0 - step / 10, "alpha": alpha, "jacobian_norm": width / 10, "rotation": 1.0}
            rows += rows_of(
                f"width/c{width}",
                1,
                "pretrain",
                *(("valid", step, f"valid/{k}", v) for k, v in found.items()),
            )
    table = dynamics_tables.widths(long(tmp_path, rows), {"scale": "smoke"})
    assert table["width"].tolist() == [32, 64]
    assert table["step"].tolist() == [10, 10]
    assert table["jacobian_norm"].tolist() == [3.2, 6.4]
    assert table["loss_best"].tolist() == [1, 1]


@pytest.mark.parametrize("make", [dynamics_tables.controllers, dynamics_tables.steps, dynamics_tables.widths])
def test_tables_without_such_runs_are_empty(make: Any, tmp_path: Path) -> None:
    table: pd.DataFrame = make(
        long(tmp_path, rows_of("wall/euler", 0, "pretrain", ("train", 1, "loss", 3.0))), {"scale": "smoke"}
    )
    assert table.empty
    assert {"group", "scale"} <= set(table.columns)


def test_runs_are_set_beside_the_plain_transformer(tmp_path: Path) -> None:
    rows = []
    for seed in range(3):
        rows += rows_of("plain/transformer", seed, "pretrain", ("valid", 10, "valid/loss", 2.0 + seed))
        rows += rows_of("wall/euler", seed, "pretrain", ("valid", 10, "valid/loss", 2.5 + seed + 0.1 * seed))
    table = tables.summary(long(tmp_path, rows), {"scale": "smoke"}).set_index("group")
    euler, plain = table.loc["equilibrium/wall/euler"], table.loc["equilibrium/plain/transformer"]
    assert euler["behind"] == pytest.approx(0.6)
    assert euler["behind_low"] < 0.6 < euler["behind_high"]
    assert plain["behind"] == 0
    assert plain["broke"] == 0
