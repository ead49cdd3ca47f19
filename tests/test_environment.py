"""Surroundings: leaked variables, package versions, other checkouts, full disks, poor terminals, signals."""

import errno
import os
import signal
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from specseq import environment
from specseq.environment import lock_warnings, other_checkout, pinned
from specseq.errors import InputError, check_space, exit_status
from specseq.tables import provenance
from specseq.tables.files import atomic_path, write_text

ROOT = Path(__file__).parents[1]


def test_one_environment_for_pip_and_conda() -> None:
    conda = yaml.safe_load((ROOT / "envs/specseq.yaml").read_text())
    (pip,) = [part["pip"] for part in conda["dependencies"] if isinstance(part, dict)]
    lines = (ROOT / "envs/requirements.lock").read_text().splitlines()
    assert pip == [line for line in lines if line and not line.startswith("#")]


def test_another_checkout_is_named(tmp_path: Path) -> None:
    assert other_checkout(ROOT) == ""
    assert other_checkout(tmp_path) == ""
    (tmp_path / "src/specseq").mkdir(parents=True)
    (tmp_path / "src/specseq/__init__.py").touch()
    assert "not of this folder; set PYTHONPATH=src" in other_checkout(tmp_path)


def test_other_package_versions_are_named(tmp_path: Path) -> None:
    lock, kept = tmp_path / "requirements.lock", tmp_path / "results/smoke/requirements.lock"
    lock.write_text(f"# pinned\nnumpy=={metadata.version('numpy')}\n")
    assert lock_warnings(lock, kept) == []
    assert pinned(kept) == pinned(lock)
    lock.write_text("numpy==0.1\nnothing==1\n")
    installed, made = lock_warnings(lock, kept)
    assert "requirements.lock (numpy " in installed
    assert ", nothing None): run make setup" in installed
    assert "were made with other versions of numpy, nothing; to remake them" in made


def test_an_enclosing_repository_is_not_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=b"]
    commit = ["git", *identity, "commit", "-q", "--allow-empty", "-m", "other"]
    subprocess.run(commit, cwd=tmp_path, check=True)
    ours = provenance._git()
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    assert provenance._git() == ours
    installed = tmp_path / "lib/site-packages/specseq/tables/provenance.py"
    monkeypatch.setattr(provenance, "__file__", str(installed))
    installed.parent.mkdir(parents=True)
    assert provenance._git() == (None, False)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("lr", "is odd", "mend it"), 2, "stage: lr: is odd; mend it\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "x.parquet"),
            1,
            "stage: x.parquet: No space left on device; free space, or choose another folder\n",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "x"),
            1,
            "stage: x: Permission denied; change its",
        ),
        (KeyboardInterrupt(), 130, "stage: interrupted\n"),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_faults_that_a_user_can_mend_take_one_line(
    error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        raise error

    assert exit_status("stage", work) == status
    assert capsys.readouterr().err.startswith(line)


def test_a_file_that_does_not_fit_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with atomic_path(tmp_path / "x.parquet"):
            raise OSError(errno.ENOSPC, "Error writing bytes to file")

    assert exit_status("stage", work) == 1
    expected = f"stage: {tmp_path}/x.parquet: No space left on device; free space, or choose another folder\n"
    assert capsys.readouterr().err == expected
    assert not list(tmp_path.iterdir())


def test_a_path_that_cannot_be_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path, line in (
        (tmp_path / "folder", f"{tmp_path}/folder: Is a directory; name a file"),
        (tmp_path / "file" / "x.csv", f"{tmp_path}/file: File exists; name another path"),
        (tmp_path / ("x" * 300), "File name too long; give a shorter name"),
    ):
        assert exit_status("stage", lambda path=path: write_text(path, "")) == 1
        assert line in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_nothing_begins_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_space(tmp_path, tmp_path / "not there")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=4096))
    with pytest.raises(InputError, match=r"the disk is full \(4096 bytes free\); free space"):
        check_space(tmp_path)


def test_faults_of_the_program_keep_their_traceback() -> None:
    def work() -> None:
        raise OSError("who knows")

    with pytest.raises(OSError, match="who knows"):
        exit_status("stage", work)


def test_sigterm_cleans_up_as_ctrl_c_does(capsys: pytest.CaptureFixture[str]) -> None:
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            cleaned.append(True)

    assert exit_status("stage", work) == 128 + signal.SIGTERM
    assert cleaned
    assert capsys.readouterr().err == "stage: terminated\n"


def test_a_terminal_without_greek_is_no_fault() -> None:
    command = [sys.executable, "-m", "specseq.cli", "design", "lyapunov", "--degree", "4", "--lam", "5"]
    surroundings = os.environ | {"PYTHONIOENCODING": "latin-1"}
    done = subprocess.run(command, capture_output=True, env=surroundings)
    assert (done.returncode, done.stderr) == (0, b"")


def test_leaks_are_found_by_prefix() -> None:
    given = {"SBATCH_TIMELIMIT": "", "WORLD_SIZE": "", "PATH": "", "SLURM_CONF": "", "SLURM_JOB_ID": ""}
    assert environment.leaked(given) == ["SBATCH_TIMELIMIT", "WORLD_SIZE"]
    assert environment.without_leaks(given) == {"PATH": "", "SLURM_CONF": ""}
