"""The scale ``rehearsal`` through the real rules: some runs on every change, all kinds on demand."""

import os
from typing import Any

import pandas as pd
import pytest
import yaml

from specseq.report.rehearsal import MEASURED
from specseq.studies.cost.by_sweep import read_rehearsal
from specseq.tables import read_parquet
from tests.workflow.workspace import Workspace

CPU, FEW, TABLE = "workflow/rehearsal/cpu.yaml", "few.yaml", "results/rehearsal/rehearsal.parquet"
RUNS = ["preconditioning/baseline/seed0", "zeta/leak/causal_seed0"]


def a_few() -> dict[str, Any]:
    """One kind of two studies, on less data; Moirai2 is narrowed, the other keeps its published size."""
    narrow = {"d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "tokens": 32}
    studies: dict[str, Any] = {
        "equilibrium": None,
        "stu": None,
        "preconditioning": {"base": {"model": narrow}, "sweeps": ["baseline"]},
        "zeta": {"sweeps": [{"leak": {"runs": ["causal"]}}]},
    }
    data = {"zeros": {"count": 12000}, "spacings": {"controls": 8000}}
    return {"scales": {"rehearsal": {"studies": studies, "data": data}}}


@pytest.mark.slow
def test_some_kinds_are_trained_left_resumed_and_told(workspace: Workspace) -> None:
    (workspace.folder / FEW).write_text(yaml.safe_dump(a_few()))
    others = [f"results/rehearsal/runs/{RUNS[0]}/gift_eval.parquet"]
    others += [f"results/rehearsal/runs/{RUNS[1]}/rollout.parquet"]
    workspace.snakemake("--configfile", CPU, FEW, "--", TABLE, *others)
    table = read_rehearsal(workspace.folder / TABLE).set_index("run")
    assert sorted(table.index) == RUNS
    assert set(table["resumed_from"]) == {1}
    measured = table[[name for name in MEASURED if not name.startswith("device")]]
    assert (measured.drop(columns="evaluation_seconds") > 0).all(axis=None)
    assert table["verdict"].tolist() == ["runs, with 2 of 256 rows", "runs, with 4 of 256 rows"]
    assert table["steps"].tolist() == [100000, 20000]
    assert all(len(read_parquet(workspace.folder / path)) for path in others)
    printed = (workspace.folder / "logs/rehearsal/rehearsal.log").read_text()
    assert all(run in printed for run in RUNS)
    assert len(pd.read_csv((workspace.folder / TABLE).with_suffix(".csv"))) == 2


@pytest.mark.rehearsal
@pytest.mark.skipif("SPECSEQ_REHEARSAL" not in os.environ, reason="SPECSEQ_REHEARSAL is not set")
def test_every_kind_is_rehearsed(workspace: Workspace) -> None:
    workspace.snakemake("--configfile", CPU)
    table = read_rehearsal(workspace.folder / TABLE)
    assert len(table) > 80
    assert set(table["resumed_from"]) == {1}
    assert table["verdict"].str.startswith("runs, with").all(), table[["run", "verdict"]].to_string()
