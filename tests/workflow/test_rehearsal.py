"""The scale ``rehearsal`` through the real rules: some runs on every change, all kinds on demand."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

from specseq.report.rehearsal import MEASURED
from specseq.studies.config import load_plan
from specseq.studies.cost.by_sweep import read_rehearsal
from specseq.tables import read_parquet
from tests.workflow.workspace import Workspace

ROOT = Path(__file__).parents[2]
CPU, GPU, FEW = "workflow/rehearsal/cpu.yaml", "workflow/rehearsal/gpu.yaml", "few.yaml"
TABLE = "results/rehearsal/rehearsal.parquet"
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


def test_the_short_one_on_a_gpu_has_published_sizes_and_batches(workspace: Workspace) -> None:
    output = workspace.snakemake("--dry-run", "--quiet", "rules", "--configfile", GPU, "--", TABLE)
    assert re.search(r"^pretrain +8$", output, re.M)
    published, short = load_plan(ROOT), load_plan(ROOT, [ROOT / GPU])
    runs = {run: params for run, params in short.runs("rehearsal").items() if params.get("training")}
    assert len(runs) == 8
    for run, params in runs.items():
        whole = published.run("paper", run)
        assert params["model"] == whole["model"]
        assert params["training"]["batch"] == whole["training"]["batch"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_the_script_for_a_gpu_says_that_there_is_none(tmp_path: Path) -> None:
    done = subprocess.run(["sh", "benchmarks/device.sh", tmp_path], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "torch sees no CUDA device: install its CUDA build\n"


@pytest.mark.rehearsal
@pytest.mark.skipif("SPECSEQ_REHEARSAL" not in os.environ, reason="SPECSEQ_REHEARSAL is not set")
def test_every_kind_is_rehearsed(workspace: Workspace) -> None:
    workspace.snakemake("--configfile", CPU)
    table = read_rehearsal(workspace.folder / TABLE)
    assert len(table) > 80
    assert set(table["resumed_from"]) == {1}
    assert table["verdict"].str.startswith("runs, with").all(), table[["run", "verdict"]].to_string()
