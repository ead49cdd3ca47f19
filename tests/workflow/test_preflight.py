"""At its start, the workflow refuses what SLURM would take no job for, and says what else is wrong."""

import os
from pathlib import Path

import pytest

from tests.workflow.workspace import Workspace

TARGET = "results/smoke/runs/stu/layout/attention_seed0/pretrain.parquet"


def test_a_partition_that_is_not_there_is_known_before_anything_is_made(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: gpus' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    config = ["scale=smoke", "launcher=slurm", "slurm={partition: gpus}"]
    output = workspace.snakemake("--config", *config, "--", TARGET, check=False)
    assert "slurm (equilibrium): invalid partition specified: gpus (--time=" in output
    assert "set slurm and resources in config.yaml" in output
    assert "Traceback" not in output
    assert not (workspace.folder / "results/smoke/data").exists()
