"""Launching on this machine: once, resumed, found again, cancelled; whatever is killed when."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from specseq.errors import InputError
from specseq.launch import processes, slurm
from specseq.launch.carried import tolerate_failing_requeue
from specseq.launch.launcher import JobFailed, launch
from specseq.tables import read_parquet, read_provenance

HERE = Path(__file__).parent
LAUNCH = """
import json, sys
from pathlib import Path
from specseq.launch.launcher import launch
from toy_jobs import Count
given = json.loads(sys.argv[1])
count = Count(Path(given["runs"]), given["seconds"])
result = launch(count, name="toy", folder=Path(given["folder"]), digest=given.get("digest", "d"))
assert "torch" not in sys.modules and "pandas" not in sys.modules, "a launcher must be light"
print("RESULT", result)
"""


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and its children import the toy modules."""
    folders = [str(HERE), str(HERE.parent / "training")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*folders, os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for folder in folders:
        monkeypatch.syspath_prepend(folder)


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ended with the test."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def start(tmp_path: Path, children: list[subprocess.Popen[str]]) -> Callable[..., subprocess.Popen[str]]:
    """Start a launcher of :class:`toy_jobs.Count` in a process of its own."""

    def begin(seconds: float, **more: Any) -> subprocess.Popen[str]:
        given = {"runs": str(tmp_path / "runs"), "folder": str(tmp_path / "job"), "seconds": seconds, **more}
        command = [sys.executable, "-c", LAUNCH, json.dumps(given)]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return children[-1]

    return begin


def until(condition: Callable[[], Any], seconds: float = 300) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return found


def ran(tmp_path: Path) -> list[int]:
    """Process numbers of the jobs that ran."""
    try:
        return [int(line) for line in (tmp_path / "runs").read_text().split()]
    except FileNotFoundError:
        return []


def count(tmp_path: Path, **more: Any) -> Any:
    from toy_jobs import Count

    return Count(tmp_path / "runs", **more)


def submissions(tmp_path: Path) -> int:
    return len(list((tmp_path / "job").glob("*/*_submitted.pkl")))


@pytest.mark.parametrize("cluster", ["local", "debug"])
def test_result_comes_back(tmp_path: Path, cluster: str) -> None:
    given = {"name": "toy", "folder": tmp_path / "job", "digest": "d", "cluster": cluster}
    assert launch(count(tmp_path), **given) == {"value": 42}
    assert (ran(tmp_path) == [os.getpid()]) == (cluster == "debug")
    assert launch(count(tmp_path), **given) == {"value": 42}
    assert len(ran(tmp_path)) == 2, "a launcher that is started anew runs its job anew"


@pytest.mark.parametrize(
    "name", ["a b'c\"d $(touch hacked)", "`touch hacked`;touch hacked", "new\nline ünï %j {x}"]
)
def test_awkward_folders_are_only_folders(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name / "job"
    assert launch(count(tmp_path), name=name, folder=folder, digest="d") == {"value": 42}
    assert not list(tmp_path.rglob("hacked"))


def test_failures_are_told_apart(tmp_path: Path) -> None:
    given = {"name": "toy", "folder": tmp_path / "job", "digest": "d"}
    with pytest.raises(InputError, match=r"training.lr: 'fast' is not a number"):
        launch(count(tmp_path, ending="input"), **given)
    with pytest.raises(JobFailed, match=r"toy: RuntimeError: something broke; its log: .*err"):
        launch(count(tmp_path, ending="error"), **given)
    with pytest.raises(JobFailed, match="ended without a result"):
        launch(count(tmp_path, ending="crash"), **given)
    assert json.loads((tmp_path / "job" / "outcome.json").read_text())["state"] == "failed"


def test_killed_launcher_is_followed_by_one_that_finds_its_job(tmp_path: Path, start: Any) -> None:
    first = start(3)
    until(lambda: ran(tmp_path))
    first.kill()
    second = start(3)
    said = second.communicate(timeout=300)[0]
    assert "attached to job" in said
    assert "RESULT {'value': 42}" in said
    assert len(ran(tmp_path)) == submissions(tmp_path) == 1


def test_job_of_other_parameters_is_ended(tmp_path: Path, start: Any) -> None:
    first = start(60)
    until(lambda: ran(tmp_path))
    first.kill()
    (job,) = ran(tmp_path)
    said = start(0, digest="other").communicate(timeout=300)[0]
    assert "attached" not in said
    assert "cancelling job" in said
    assert processes.started(job) is None
    assert "RESULT" in said
    assert len(ran(tmp_path)) == 2


def test_two_launchers_run_it_once(tmp_path: Path, start: Any) -> None:
    said = [launcher.communicate(timeout=300)[0] for launcher in (start(1.5), start(1.5))]
    assert all("RESULT {'value': 42}" in text for text in said)
    assert sum("another launcher is at work" in text for text in said) == 1
    assert len(ran(tmp_path)) == submissions(tmp_path) == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_stopped_launcher_takes_its_job_along(tmp_path: Path, start: Any, signum: signal.Signals) -> None:
    launcher = start(60)
    (job,) = until(lambda: ran(tmp_path))
    launcher.send_signal(signum)
    assert launcher.wait(timeout=300) == 128 + signum
    until(lambda: processes.started(job) is None)


def test_job_outlives_nobody_but_its_launcher(tmp_path: Path, start: Any) -> None:
    """A second job of the run, however it came about, waits for the first."""
    first = start(2)
    until(lambda: ran(tmp_path))
    first.kill()
    (job,) = ran(tmp_path)
    (tmp_path / "job" / "ticket.json").unlink()
    second = start(0)
    until(lambda: ran(tmp_path)[1:])
    assert (tmp_path / "waited").read_text().startswith(f"{job}\n")
    assert "RESULT" in second.communicate(timeout=300)[0]


def pretraining(tmp_path: Path, where: str, **params: Any) -> Any:
    from specseq.launch.training import Pretraining

    data = {name: params.pop(name) for name in ("slow", "dropout") if name in params}
    given = {"study": "toy", "seed": 5, "data": data}
    training = {"steps": 30, "batch": 4, "evaluate_every": 7, "tensorboard": False} | params
    out = tmp_path / where
    return Pretraining(
        "toy_study:build",
        "toy",
        "toy/a",
        {**given, "training": training},
        {},
        out / "run",
        out / "ck",
    )


def metrics(tmp_path: Path, where: str) -> pd.DataFrame:
    return read_parquet(tmp_path / where / "run" / "pretrain.parquet")


def carry(tmp_path: Path, where: str, **params: Any) -> dict[str, Any]:
    job = pretraining(tmp_path, where, **params)
    return launch(
        job, name="toy/a", folder=tmp_path / where / "job", digest=job.digest(), outputs=job.outputs
    )


CARRY = """
import sys
from pathlib import Path
import test_launcher
test_launcher.carry(Path(sys.argv[1]), sys.argv[2], slow=0.05, checkpoint_every=4)
"""


@pytest.mark.parametrize("victim", ["job", "requeue"])
def test_interrupted_training_ends_as_if_nothing_had_happened(
    tmp_path: Path, victim: str, children: list[subprocess.Popen[str]]
) -> None:
    command = [sys.executable, "-c", CARRY, str(tmp_path), "cut"]
    children.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    until(lambda: list((tmp_path / "cut" / "ck").glob("checkpoint_*_000000008.safetensors")))
    ticket = json.loads((tmp_path / "cut" / "job" / "ticket.json").read_text())
    (task,) = processes._descendants(int(ticket["job_id"]))
    if victim == "job":
        os.kill(task, signal.SIGKILL)
        assert children[-1].wait(timeout=300) != 0
        carry(tmp_path, "cut", slow=0.05, checkpoint_every=4)
    else:
        os.kill(task, signal.SIGUSR2)
        assert children[-1].wait(timeout=300) == 0
        log = next((tmp_path / "cut" / "job").glob("*/*_log.out")).read_text()
        assert "left at step" in log
        assert "resumed at step" in log
    whole = pretraining(tmp_path, "whole", slow=0.05, checkpoint_every=4)
    from specseq.training.interrupt import Requests

    whole(Requests())
    pd.testing.assert_frame_equal(metrics(tmp_path, "cut"), metrics(tmp_path, "whole"), check_exact=True)
    weights = [(tmp_path / where / "run" / "weights.safetensors").read_bytes() for where in ("cut", "whole")]
    assert weights[0] == weights[1]
    facts = read_provenance(tmp_path / "cut" / "run" / "pretrain.parquet")
    assert facts["resumed_from"] >= 8
    # Outputs that went missing come back from the last checkpoint alone.
    if victim == "job":
        shutil.rmtree(tmp_path / "cut" / "run")
        carry(tmp_path, "cut", slow=0.05, checkpoint_every=4)
        assert read_provenance(tmp_path / "cut" / "run" / "pretrain.parquet")["resumed_from"] == 30


def test_two_processes_of_one_job_train_as_one(tmp_path: Path) -> None:
    tables = []
    for number in (1, 2):
        job, folder = (
            pretraining(tmp_path, str(number), steps=5, batch=7, dropout=0.0),
            tmp_path / str(number),
        )
        settings = {"ntasks_per_node": number}
        launch(job, name="toy/a", folder=folder / "job", digest=job.digest(), settings=settings)
        tables.append(metrics(tmp_path, str(number)))
        assert len(list((folder / "job").glob("*/*_log.out"))) == number
    pd.testing.assert_frame_equal(*tables, check_exact=False, rtol=1e-4, atol=1e-7)


def test_digest_is_of_parameters_source_and_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from specseq.launch import training as module

    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "values").write_text("1 2 3")
    job = replace(pretraining(tmp_path, "a"), inputs={"store": tmp_path / "store"})
    digests = {job.digest(), replace(job, params={**job.params, "seed": 6}).digest()}
    (tmp_path / "store" / "values").write_text("1 2 4")
    digests.add(job.digest())
    assert len(digests) == 3
    (tmp_path / "store" / "values").write_text("1 2 3")
    with monkeypatch.context() as patch:
        patch.setattr(module, "training_code", lambda build: f"edited {build}")
        digests.add(job.digest())
    assert len(digests) == 4
    assert replace(job, out_dir=tmp_path / "elsewhere").digest() in digests
    with pytest.raises(InputError, match="no such input"):
        replace(job, inputs={"store": tmp_path / "nothing"}).digest()


def test_diverged_run_is_written_and_marked(tmp_path: Path) -> None:
    from dataclasses import replace

    from safetensors import safe_open

    from specseq.training.interrupt import Requests

    job = pretraining(tmp_path, "bad")
    job = replace(job, params={**job.params, "data": {"bad_step": 5}})
    assert job(Requests())["diverged"] == "the loss is nan at step 5"
    table = metrics(tmp_path, "bad")
    assert table[table.metric == "diverged"][["step", "value"]].values.tolist() == [[4, 1.0]]
    assert read_provenance(job.outputs[1])["diverged"] == "the loss is nan at step 5"
    with safe_open(job.outputs[0], framework="np") as handle:
        assert handle.metadata()["diverged"] == "the loss is nan at step 5"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"partitoin": "gpu"}, "slurm.partitoin: no such setting"),
        ({"partition": "gpu\n#SBATCH --uid=0"}, "slurm.partition"),
        ({"partition": "$(reboot)"}, "slurm.partition"),
        ({"additional_parameters": {"x": "`reboot`"}}, "slurm.additional_parameters.x"),
        ({"additional_parameters": {"x y\n": 1}}, "not a plain word"),
        ({"setup": "module load"}, "not a list"),
    ],
)
def test_slurm_settings_cannot_leave_their_line(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        slurm.settings(given)


def test_good_slurm_settings_pass() -> None:
    given = {"partition": "gpu", "time": 60, "mem": "16GB", "additional_parameters": {"gres": "gpu:a100:1"}}
    assert slurm.settings(given) == given


@pytest.mark.parametrize("run", ["stu/a b/$(x)", "zeta/x;y\n", "\u202e", ""])
def test_job_names_are_plain(run: str) -> None:
    name = slurm.job_name(run)
    assert name
    assert all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name)


def test_folders_that_slurm_would_rewrite_are_refused() -> None:
    for folder in ("a%j", "a\nb"):
        with pytest.raises(InputError, match="line break"):
            slurm.check_folder(Path(folder))


def test_refused_requeue_is_left_to_slurm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from submitit.slurm.slurm import SlurmJobEnvironment

    calls = []

    def refused(self: SlurmJobEnvironment, countdown: int) -> None:
        calls.append(countdown)
        raise subprocess.CalledProcessError(1, "scontrol")

    monkeypatch.setattr(SlurmJobEnvironment, "_requeue", refused)
    tolerate_failing_requeue()
    tolerate_failing_requeue()
    SlurmJobEnvironment()._requeue(5)
    assert calls == [5]
    assert capsys.readouterr().out.count("requeue left to SLURM") == 1


def test_submission_forgets_the_surrounding_job_but_not_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/etc/here")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("RANK", "3")
    with slurm.clean_environment():
        assert os.environ["SLURM_CONF"] == "/etc/here"
        assert not {"SLURM_JOB_ID", "RANK"} & set(os.environ)
    assert os.environ["SLURM_JOB_ID"] == "7"


def test_missing_cluster_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="no sbatch"):
        launch(count(tmp_path), name="toy", folder=tmp_path, digest="d", cluster="slurm")
    with pytest.raises(InputError, match="one of local"):
        launch(count(tmp_path), name="toy", folder=tmp_path, digest="d", cluster="cloud")
