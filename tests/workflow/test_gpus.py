"""Without SLURM, stages share out the GPUs of the machine: here one that nvidia-smi only claims to see."""

import json
import os
from pathlib import Path

import pytest

from tests.workflow.workspace import Workspace

TARGETS = [
    f"results/smoke/runs/stu/layout/{kind}_seed0/pretrain.parquet" for kind in ("attention", "alternating")
]


@pytest.fixture
def machine(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """The workflow on a machine with one GPU."""
    command = tmp_path / "bin" / "nvidia-smi"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\necho GPU-1a\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return workspace


def train(machine: Workspace, *config: str) -> tuple[int, list[object]]:
    """How many jobs began together, at most, and which trainings were given a GPU."""
    output = machine.snakemake("--config", "scale=smoke", *config, "--", *TARGETS)
    requests = (machine.folder / "results/smoke/requests/pretrain").glob("*.json")
    given = [json.loads(path.read_text())["gpu"] for path in requests]
    return max(count for count in (1, 2) if f"Execute {count} jobs" in output), given


def test_one_gpu_takes_one_training_at_a_time(machine: Workspace) -> None:
    assert train(machine, "resources={all: {gpus: 4}}") == (1, [True, True])


def test_a_small_scale_takes_none(machine: Workspace) -> None:
    assert train(machine) == (2, [False, False])


def test_without_gpus_nothing_is_shared_out(machine: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert train(machine, "resources={all: {gpus: 1}}") == (2, [None, None])
