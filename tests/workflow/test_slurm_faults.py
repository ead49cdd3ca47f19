"""What clusters do to a workflow: nothing is lost, nothing runs twice, and the numbers stay the same."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.slurm import faults
from tests.slurm.faults import Disturbed, until

pytestmark = faults.needs_cluster


@pytest.fixture(scope="session")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faults.left_in_peace(tmp_path_factory.mktemp("peace"))


@pytest.fixture
def study(tmp_path: Path, peace: Path) -> Iterator[Disturbed]:
    yield faults.disturbed(tmp_path, peace)
    faults.cancel(tmp_path)


@pytest.fixture
def start(study: Disturbed) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start snakemake; whatever is left of it is ended with the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(*targets: str) -> "subprocess.Popen[str]":
        begun.append(study.start(*targets))
        return begun[-1]

    yield begin
    for process in begun:
        study.end(process)


def finished(study: Disturbed, process: "subprocess.Popen[str]") -> None:
    assert process.wait(timeout=1200) == 0, study.said()[-4000:]


def warned(pid: int) -> bool:
    """Whether a stopped process has been sent USR2, or has acted on it and left."""
    try:
        status = Path(f"/proc/{pid}/status").read_text().split()
    except FileNotFoundError:
        return True
    pending = [int(status[status.index(name) + 1], 16) for name in ("SigPnd:", "ShdPnd:")]
    return any(mask >> (signal.SIGUSR2 - 1) & 1 for mask in pending)


def test_preemption_beside_a_nan_run_and_a_second_snakemake(study: Disturbed, start: Any) -> None:
    process = start(study.target("long"), study.target("nan"))
    job = study.job()
    with study.held():
        newest = study.newest()
        second = study.start(study.target())
        assert second.wait(timeout=300) != 0
        assert "Directory cannot be locked" in study.said()
        urgent = ["sbatch", "--partition", "urgent", "--cpus-per-task", "4", "--wrap", "sleep 3"]
        for _ in range(2):
            subprocess.run(urgent, check=True, cwd=study.workspace.folder)
        until(lambda: job in study.jobs("PENDING"))
    finished(study, process)
    facts = study.same_as_in_peace()
    assert facts["slurm_job"] == job
    assert facts["restarts"] >= 1
    assert facts["resumed_from"] >= newest
    assert study.submissions() == 1
    assert study.same_as_in_peace("nan")["diverged"] == "the loss is nan at step 3"
    assert faults.state("nan", study.workspace.folder) == "done"


def test_time_limit_in_the_middle_of_a_run(study: Disturbed, start: Any) -> None:
    study.workspace.edit(lambda config: config["slurm"].update(time=1, signal_delay_s=10))
    process = start(study.target())
    with study.held() as pid:
        until(lambda: warned(pid), 300)
    finished(study, process)
    assert "left at step" in study.log()
    assert study.same_as_in_peace()["restarts"] >= 1
    assert study.submissions() == 1


def test_killed_snakemake_and_launcher_find_their_job_again(study: Disturbed, start: Any) -> None:
    process = start(study.target())
    job = study.job()
    with study.held():
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert study.jobs() == [job]
        assert faults.state("long", study.workspace.folder) == "running"
        study.workspace.snakemake("--unlock")
        again = start(study.target())
        log = study.workspace.folder / f"logs/smoke/pretrain/{faults.SWEEP}/long.log"
        until(lambda: log.exists() and f"attached to job {job}" in log.read_text())
    finished(study, again)
    assert study.same_as_in_peace()["resumed_from"] == 0
    assert study.submissions() == 1


def crash(job: str, pid: int) -> None:
    """End all that a job left on its node, as the end of the node would."""
    for number in [*supervisors(job), pid]:
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def supervisors(job: str) -> list[int]:
    """Numbers of SLURM's own processes that look after the job's steps."""
    found = subprocess.run(["pgrep", "-f", rf"^slurmstepd: \[{job}\."], capture_output=True, text=True)
    return [int(number) for number in found.stdout.split()]


def restarts(job: str) -> int:
    """How often SLURM has queued the job again."""
    shown = subprocess.run(["scontrol", "show", "job", job], check=True, capture_output=True, text=True)
    return int(shown.stdout.split("Restarts=")[1].split()[0])


def test_node_goes_down_and_comes_back(study: Disturbed, start: Any) -> None:
    process = start(study.target())
    job = study.job()
    with study.held() as pid:
        node = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%N"], check=True, capture_output=True, text=True
        ).stdout.strip()
        update = ["scontrol", "update", f"NodeName={node}"]
        subprocess.run([*update, "State=DOWN", "Reason=test"], check=True)
        crash(job, pid)
        # A job that is taken off its node is asked to save its state first.
        newest = study.newest()
        try:
            until(lambda: restarts(job))
        finally:
            # Refused where the node has come back by itself.
            subprocess.run([*update, "State=RESUME"], capture_output=True, check=False)
    finished(study, process)
    facts = study.same_as_in_peace()
    assert facts["slurm_job"] == job
    # What was computed since the last checkpoint is computed again, and nothing else.
    assert facts["resumed_from"] == newest
    assert study.submissions() == 1


def test_interrupt_from_the_keyboard_takes_the_jobs_along(study: Disturbed, start: Any) -> None:
    process = start(study.target())
    with study.held() as pid:
        newest = study.newest()
        os.killpg(process.pid, signal.SIGINT)

        def ended() -> bool:
            # SLURM wakes a job that it cancels; so short a run would end in the seconds it is left.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
            return not study.jobs()

        assert until(ended, 300)
        assert process.wait(timeout=300) != 0
    assert faults.state("long", study.workspace.folder) == "interrupted"
    finished(study, start(study.target()))
    assert study.same_as_in_peace()["resumed_from"] >= newest


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_disk_full_in_the_results_folder(study: Disturbed, start: Any, tmp_path: Path) -> None:
    results = tmp_path / "results/smoke/runs"
    checkpoints = tmp_path / "results/smoke/checkpoints"
    for folder in (results, checkpoints):
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=True)
    try:
        process = start(study.target(), study.target("short"))
        with study.held():
            newest = study.newest()
            for folder in (results, checkpoints):
                fill(folder / "ballast")
        assert process.wait(timeout=1200) != 0
        assert "no checkpoint written" in study.log()
        assert "No space left" in study.said()
        assert not (study.results() / "pretrain.parquet").exists()
        assert faults.state("long", study.workspace.folder) == "failed"
        for folder in (results, checkpoints):
            (folder / "ballast").unlink()
        finished(study, start(study.target(), study.target("short")))
        assert study.same_as_in_peace()["resumed_from"] >= newest
    finally:
        for folder in (results, checkpoints):
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until the file system takes no more."""
    with path.open("wb", buffering=0) as handle:
        try:
            while handle.write(bytes(4096)):
                pass
        except OSError:
            return
