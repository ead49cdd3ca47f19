"""GPUs without a batch system: which there are, and that no two stages have the same."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from specseq.launch.gpus import VISIBLE, assigned, visible


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Locks of this test's own, and a machine whose nvidia-smi lists two GPUs."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho GPU-1a\necho GPU-2b\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv(VISIBLE, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("3", ["3"]),
        ("GPU-1a, GPU-7", ["GPU-1a", "GPU-7"]),
        ("1,-1,2", ["1"]),
    ],
)
def test_those_that_the_environment_names(
    given: str, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VISIBLE, given)
    assert visible() == ids


def test_without_the_variable_those_of_the_machine(folder: Path) -> None:
    assert visible() == ["GPU-1a", "GPU-2b"]
    (folder / "nvidia-smi").write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n")
    assert visible() == []


def test_each_stage_sees_one_of_its_own_and_the_last_waits() -> None:
    # A process of its own, which says what it sees and keeps it until its input ends.
    script = (
        "import os, sys\n"
        "from specseq.launch.gpus import assigned\n"
        "with assigned(True):\n"
        "    print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    first = [process.stdout.readline().strip() for process in processes]  # type: ignore[union-attr]
    assert sorted(first) == ["GPU-1a", "GPU-2b", "waiting for a free GPU of 2"]
    waiting = processes[first.index("waiting for a free GPU of 2")]
    killed = processes[first.index("GPU-2b")]
    killed.kill()
    assert waiting.stdout.readline().strip() == "GPU-2b"  # type: ignore[union-attr]
    for process in processes:
        process.communicate()


def test_a_stage_without_a_gpu_sees_none_and_one_of_a_batch_system_what_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with assigned(False):
        assert os.environ[VISIBLE] == ""
    assert VISIBLE not in os.environ
    monkeypatch.setenv(VISIBLE, "0,1")
    with assigned(None):
        assert os.environ[VISIBLE] == "0,1"
    with assigned(True):
        assert os.environ[VISIBLE] == "0"
    assert os.environ[VISIBLE] == "0,1"
