"""``specseq preflight``: each fault is one line with its remedy, before anything is submitted."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

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
