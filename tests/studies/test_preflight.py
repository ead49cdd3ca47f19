"""``specseq preflight``: each fault is one line with its remedy, before anything is submitted."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from specseq.commands.preflight import main
from specseq.series.hub import UNFINISHED
from specseq.studies import preflight as module

ROOT = Path(__file__).parents[2]


def lines(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, str]]:
    status = main(["--root", str(ROOT), *options])
    printed = capsys.readouterr().out.splitlines()
    return status, {line[6:].split(":")[0]: line for line in printed}


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for sbatch that knows one partition."""
    program = tmp_path / "sbatch"
    program.write_text(
        '#!/bin/sh\ncase "$*" in *--partition=gpu\\ *) exit 0;; esac\n'
        "echo 'sbatch: error: invalid partition specified' >&2\n"
        "echo 'allocation failure: Invalid partition name specified' >&2; exit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_the_smallest_scale_is_ready(capsys: pytest.CaptureFixture[str]) -> None:
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "local")
    assert status == 0, printed
    assert printed["data.lotsa"] == "ok    data.lotsa: embedded"


def test_embedded_series_are_refused_at_the_paper_scale(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = ["--config", "data={lotsa: embedded}", "--launcher", "local"]
    status, printed = lines(capsys, "--scale", "paper", *options)
    assert status == 1
    assert "is embedded" in printed["data.lotsa"]
    assert printed["hub"].startswith("FAIL  hub: HF_HUB_OFFLINE is set")
    status, printed = lines(capsys, "--scale", "desk", *options)
    assert "is embedded" in printed["data.lotsa"], "as the workflow refuses it"


def test_a_partition_that_is_not_there(capsys: pytest.CaptureFixture[str], sbatch: Path) -> None:
    options = ["--scale", "smoke", "--launcher", "slurm"]
    status, printed = lines(capsys, *options, "--config", "slurm={partition: gpus}")
    assert status == 1
    assert "Invalid partition name specified" in printed["slurm (zeta)"]
    status, printed = lines(capsys, *options, "--config", "slurm={partition: gpu}")
    assert status == 0, printed


@pytest.mark.parametrize(
    ("cards", "cuda", "line"),
    [
        ([], True, "FAIL  gpu: none is visible, and the scale desk trains on GPUs - use a machine that has"),
        (["H200, 9.0"], False, "FAIL  gpu: torch was built without CUDA - install the build for your driver"),
        (["H200, 9.0", "T4, 7.5"], True, "FAIL  gpu: T4 has no bfloat16 - leave it out by CUDA_VISIBLE_DEV"),
        (["H200, 9.0", "H200, 9.0"], True, "ok    gpu: 2, H200"),
    ],
)
def test_gpus_of_this_machine(
    cards: list[str],
    cuda: bool,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uuids = "\n".join(f"GPU-{number}" for number in range(len(cards)))
    program = tmp_path / "nvidia-smi"
    described = "\n".join(cards)
    program.write_text(f"#!/bin/sh\ncase $1 in *uuid) echo '{uuids}';; *) echo '{described}';; esac\n")
    program.chmod(0o755)
    if not cards:
        program.unlink()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(module, "_cuda_build", lambda: cuda)
    assert lines(capsys, "--scale", "desk", "--launcher", "local")[1]["gpu"].startswith(line)


def test_a_scale_that_trains_on_cpus_needs_no_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    assert "gpu" not in lines(capsys, "--scale", "laptop", "--launcher", "local")[1]


def test_whether_torch_has_cuda_is_read_without_importing_it() -> None:
    assert module._cuda_build() == (torch.version.cuda is not None)


def test_no_slurm_at_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "slurm")
    assert status == 1
    assert printed["sbatch"].startswith("FAIL  sbatch: there is none on this machine - log in")


def test_a_full_disk(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    status, printed = lines(capsys, "--scale", "smoke", "--launcher", "local")
    assert status == 1
    assert printed["disk"].startswith("FAIL  disk: 0 GB free")


def test_missing_data_sets_are_counted(tmp_path: Path) -> None:
    assert module._absent("gift_eval", tmp_path)
    (tmp_path / "some").mkdir()
    finding = module._folder("data.gift_eval", "gift_eval", tmp_path)
    assert "data sets are not in" in finding.fault
    assert finding.remedy


def test_an_unfinished_download(tmp_path: Path) -> None:
    (tmp_path / UNFINISHED).touch()
    assert "unfinished" in module._folder("data.lotsa", "lotsa", tmp_path).fault
