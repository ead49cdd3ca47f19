"""Launching on a real SLURM: submitted, preempted, found again, cancelled; the numbers stay the same.

Skipped, and saying so, where no cluster answers; ``python tests/slurm/cluster.py up`` starts one.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.numpy import load_file

from specseq.launch import slurm
from specseq.launch.files import read_json
from specseq.launch.settings import SlurmSettings
from specseq.tables import read_parquet, read_provenance
from tests.launch.worlds import in_processes
from tests.slurm.faults import needs_cluster, until

HERE = Path(__file__).parent


pytestmark = needs_cluster
LAUNCH = """
import json, sys
from pathlib import Path
from specseq.launch.launcher import launch
from specseq.launch.settings import SlurmSettings
from specseq.launch.training import TrainingRun
from specseq.settings import read
where, settings, training = Path(sys.argv[1]), json.loads(sys.argv[2]), json.loads(sys.argv[3])
params = {"study": "toy", "seed": 5, "data": {"slow": training.pop("slow")}, "training": training}
store = settings.pop("store", None)
inputs = {"store": Path(store)} if store else {}
job = TrainingRun("toy_study:build", "toy", "toy/a", params, inputs, where / "run", where / "ck")
settings = read(SlurmSettings, settings, "slurm")
result = launch(job, name="toy/a", folder=where / "job", cluster="slurm", settings=settings)
assert "torch" not in sys.modules and "pandas" not in sys.modules, "a launcher must be light"
print("RESULT", result)
"""
TRAINING = {
    "steps": 120,
    "batch": 4,
    "evaluate_every": 50,
    "tensorboard": False,
    "checkpoint_every": 10,
    "slow": 0.1,
}
SETTINGS = {"partition": "gpu", "mem": "800MB", "time": 30, "signal_delay_s": 30}


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that jobs see too, with a name to trip over, and the toy study within their reach."""
    paths = [str(HERE.parent / "training"), str(HERE), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for path in paths[:2]:
        monkeypatch.syspath_prepend(path)
    prefix = 'it\'s $(touch hacked) `touch hacked` "so" '
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
        assert not list(Path(folder).rglob("hacked"))


@pytest.fixture
def start(shared: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start launchers; what is left of them and of their jobs is ended with the test."""
    begun: list[subprocess.Popen[str]] = []

    def begin(leave_at: int = 0, **settings: Any) -> subprocess.Popen[str]:
        training = TRAINING | {"leave_at": leave_at}
        given = [str(shared / "cut"), json.dumps(SETTINGS | settings), json.dumps(training)]
        command = [sys.executable, "-c", LAUNCH, *given]
        begun.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=shared))
        return begun[-1]

    yield begin
    for launcher in begun:
        launcher.kill()
        launcher.communicate()
    ticket = read_json(shared / "cut" / "job" / "ticket.json")
    if ticket and ticket.get("job_id"):
        subprocess.run(["scancel", ticket["job_id"]], check=False)


def job_of(shared: Path) -> str:
    ticket = until(lambda: (read_json(shared / "cut" / "job" / "ticket.json") or {}).get("job_id"))
    return str(ticket)


def checkpoint_after(shared: Path, step: int) -> None:
    until(
        lambda: [
            p for p in (shared / "cut" / "ck").glob("checkpoint_*") if int(p.stem.split("_")[-1]) >= step
        ]
    )


def log(shared: Path) -> str:
    return "".join(path.read_text() for path in (shared / "cut" / "job").glob("*/*_log.out"))


def undisturbed(folder: Path) -> Path:
    """The same run, trained in this process."""
    from specseq.launch.training import TrainingRun
    from specseq.training.interrupt import Requests
    from specseq.training.parallel import World

    training = {**TRAINING}
    params = {"study": "toy", "seed": 5, "data": {"slow": training.pop("slow")}, "training": training}
    whole = TrainingRun("toy_study:build", "toy", "toy/a", params, {}, folder, folder / "ck")
    whole(whole.digest(), Requests(), World())
    return folder


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run leaves that nothing disturbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE.parent / "training"))
        return undisturbed(tmp_path_factory.mktemp("peace"))


def same(folder: Path, peaceful: Path) -> None:
    """Two runs left the same rows and the same weights, bit for bit."""
    tables = [read_parquet(where / "pretrain.parquet") for where in (folder, peaceful)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    cut, whole = (load_file(where / "weights.safetensors") for where in (folder, peaceful))
    assert cut.keys() == whole.keys()
    assert all(cut[name].tobytes() == whole[name].tobytes() for name in whole)


def submissions(shared: Path) -> int:
    return len(list((shared / "cut" / "job").glob("*/*_submitted.pkl")))


def test_signal_checkpoints_and_requeues(shared: Path, start: Any, peace: Path) -> None:
    launcher = start()
    job = job_of(shared)
    checkpoint_after(shared, 10)
    subprocess.run(["scancel", job, "--signal", "USR2"], check=True)
    assert "RESULT" in launcher.communicate(timeout=900)[0]
    assert "left at step" in log(shared)
    assert "resumed at step" in log(shared)
    assert submissions(shared) == 1
    same(shared / "cut" / "run", peace)


def test_a_run_that_leaves_by_itself_is_requeued(shared: Path, start: Any, peace: Path) -> None:
    launcher = start(leave_at=45)
    assert "RESULT" in launcher.communicate(timeout=900)[0]
    assert "left at step 45" in log(shared)
    assert "resumed at step 45" in log(shared)
    assert submissions(shared) == 1
    same(shared / "cut" / "run", peace)


def test_run_goes_on_in_a_new_job_where_requeueing_is_denied(shared: Path, start: Any, peace: Path) -> None:
    launcher = start(additional_parameters={"no-requeue": True})
    job = job_of(shared)
    checkpoint_after(shared, 10)
    subprocess.run(["scancel", job, "--signal", "USR2"], check=True)
    said = launcher.communicate(timeout=900)[0]
    assert f"job {job}: left at step" in said
    assert "submitting the run again" in said
    assert "RESULT" in said
    assert "not requeued: " in log(shared)
    assert submissions(shared) == 2
    same(shared / "cut" / "run", peace)


def test_code_edited_while_a_job_waits_is_refused(shared: Path, start: Any) -> None:
    toy = shared / "toy_study.py"
    toy.write_text((HERE.parent / "training" / "toy_study.py").read_text())
    launcher = start(additional_parameters={"begin": "now+20"}, store=str(toy))
    job_of(shared)
    toy.write_text(toy.read_text() + "# edited")
    assert launcher.wait(timeout=900) != 0
    outcome = read_json(shared / "cut" / "job" / "outcome.json") or {}
    assert "have changed since the run was planned" in outcome["error"]
    assert not (shared / "cut" / "run").exists()


def test_preempted_job_goes_on_where_it_was(shared: Path, start: Any, peace: Path) -> None:
    launcher = start(cpus_per_task=4)
    job = job_of(shared)
    checkpoint_after(shared, 10)
    urgent = [
        subprocess.run(
            ["sbatch", "--parsable", "--partition", "urgent", "--cpus-per-task", "4", "--wrap", "sleep 8"],
            check=True, capture_output=True, text=True, cwd=shared,
        ).stdout.strip()
        for _ in range(2)
    ]  # fmt: skip
    assert all(urgent)
    assert "RESULT" in launcher.communicate(timeout=900)[0]
    assert "resumed at step" in log(shared)
    facts = read_provenance(shared / "cut" / "run" / "pretrain.parquet")
    assert facts["slurm_job"] == job
    assert facts["restarts"] >= 1
    same(shared / "cut" / "run", peace)


def test_killed_launcher_is_followed_by_one_that_finds_its_job(shared: Path, start: Any, peace: Path) -> None:
    first = start()
    job = job_of(shared)
    first.send_signal(signal.SIGKILL)
    second = start()
    said = second.communicate(timeout=900)[0]
    assert f"attached to job {job}" in said
    assert "RESULT" in said
    assert submissions(shared) == 1
    same(shared / "cut" / "run", peace)


def test_launcher_killed_before_it_knew_its_job_finds_it_by_name(shared: Path, start: Any) -> None:
    first = start()
    job = job_of(shared)
    first.send_signal(signal.SIGKILL)
    path = shared / "cut" / "job" / "ticket.json"
    ticket = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in ticket.items() if name != "job_id"}))
    said = start().communicate(timeout=900)[0]
    assert f"attached to job {job}" in said


def test_stopped_launcher_cancels_its_job(shared: Path, start: Any) -> None:
    launcher = start()
    job = job_of(shared)
    launcher.send_signal(signal.SIGTERM)
    assert launcher.wait(timeout=300) == 128 + signal.SIGTERM
    until(lambda: slurm.alive(job) is False)


def test_refused_submission_says_why(shared: Path) -> None:
    from toy_jobs import Count

    from specseq.launch.launcher import JobFailed, launch

    with pytest.raises(JobFailed, match=r"not taken: .*artition"):
        launch(
            Count(runs=shared / "runs"), name="toy", folder=shared / "job", cluster="slurm",
            settings=SlurmSettings(partition="nowhere"),
        )  # fmt: skip


def test_processes_on_several_nodes_find_each_other(shared: Path) -> None:
    from toy_jobs import Surroundings

    from specseq.launch.launcher import launch

    settings = SlurmSettings(
        partition="gpu", nodes=2, ntasks_per_node=2, gpus_per_node=2, mem="300MB", time=5
    )
    work = Surroundings(folder=shared)
    launch(work, name="toy", folder=shared / "job", cluster="slurm", settings=settings)
    # The first process speaks for the job; the others may still be at work when it is heard.
    found = [until(lambda rank=rank: read_json(shared / f"{rank}.json"), 60) for rank in range(4)]
    assert [around["local_rank"] for around in found] == [0, 1, 0, 1]
    # The accelerators are those that SLURM gave to the job, whichever process asks.
    assert {(around["size"], around["devices"]) for around in found} == {(4, "0,1")}
    (address,) = {around["address"] for around in found}
    assert address.startswith("g1:")


def test_two_nodes_leave_and_resume_together(shared: Path, start: Any) -> None:
    """Left in the middle, they end where two processes end that nothing disturbs."""
    from specseq.launch.training import TrainingRun

    launcher = start(partition="cpu", nodes=2, ntasks_per_node=1)
    job = job_of(shared)
    checkpoint_after(shared, 10)
    subprocess.run(["scancel", job, "--signal", "USR2"], check=True)
    params = {name: value for name, value in TRAINING.items() if name != "slow"}
    whole = TrainingRun(
        "toy_study:build", "toy", "toy/a",
        {"study": "toy", "seed": 5, "data": {"slow": TRAINING["slow"]}, "training": params},
        {}, shared / "whole", shared / "whole" / "ck",
    )  # fmt: skip
    in_processes(whole, shared / "job", 2)
    assert "RESULT" in launcher.communicate(timeout=900)[0]
    assert log(shared).count("left at step") == 2
    assert "resumed at step" in log(shared)
    same(shared / "cut" / "run", shared / "whole")
