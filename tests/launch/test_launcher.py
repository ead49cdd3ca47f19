"""Training in this process: once, resumed, one at a time; whatever is killed, and when."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from specseq.environment import clean_environment, leaked
from specseq.errors import InputError
from specseq.launch import slurm
from specseq.launch import training as training_module
from specseq.launch.files import is_locked
from specseq.launch.launcher import launch
from specseq.launch.training import TrainingRun
from specseq.tables import read_parquet, read_provenance
from specseq.training.interrupt import Requests
from specseq.training.parallel import World
from tests.launch.worlds import in_processes

HERE = Path(__file__).parent
LAUNCH = """
import json, sys
from pathlib import Path
from specseq.launch.launcher import launch
from toy_jobs import Count
given = json.loads(sys.argv[1])
count = Count(given.get("digest", "d"), runs=Path(given["runs"]), seconds=given["seconds"])
print("RESULT", launch(count, name="toy", folder=Path(given["folder"])))
"""
TRAIN = """
import sys
from pathlib import Path
from tests.launch.test_launcher import train_at
train_at(Path(sys.argv[1]), sys.argv[2], slow=0.05, checkpoint_every=4)
"""


@pytest.fixture(autouse=True)
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and its children import the toy modules."""
    folders = [str(HERE), str(HERE.parent / "training"), str(HERE.parents[1])]
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
    """Process numbers of the work that was done."""
    try:
        return [int(line) for line in (tmp_path / "runs").read_text().split()]
    except FileNotFoundError:
        return []


def count(tmp_path: Path, **more: Any) -> Any:
    from toy_jobs import Count

    return Count(runs=tmp_path / "runs", **more)


def outcome(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "job" / "outcome.json").read_text())


def test_work_is_done_in_this_process(tmp_path: Path) -> None:
    given = {"name": "toy", "folder": tmp_path / "job"}
    handler = signal.getsignal(signal.SIGINT)
    assert launch(count(tmp_path), **given) == {"value": 42}
    assert launch(count(tmp_path), **given) == {"value": 42}
    assert ran(tmp_path) == [os.getpid()] * 2, "a launcher that is started again does it again"
    assert signal.getsignal(signal.SIGINT) is handler


def test_visible_accelerators_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toy_jobs import Surroundings

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6")
    launch(Surroundings(folder=tmp_path), name="toy", folder=tmp_path / "job")
    around = json.loads((tmp_path / "0.json").read_text())
    assert around["devices"] == "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"


def test_variables_of_other_launchers_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from toy_jobs import Surroundings

    for name, value in {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1", "SLURM_NTASKS": "2"}.items():
        monkeypatch.setenv(name, value)
    launch(Surroundings(folder=tmp_path), name="toy", folder=tmp_path / "job")
    assert json.loads((tmp_path / "0.json").read_text())["size"] == 1


@pytest.mark.parametrize(
    "name", ["a b'c\"d $(touch hacked)", "`touch hacked`;touch hacked", "new\nline ünï %j {x}"]
)
def test_awkward_folders_are_only_folders(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / name / "job"
    assert launch(count(tmp_path), name=name, folder=folder) == {"value": 42}
    assert not list(tmp_path.rglob("hacked"))


def test_failures_are_told_apart(tmp_path: Path) -> None:
    given = {"name": "toy", "folder": tmp_path / "job"}
    with pytest.raises(InputError, match=r"training.lr: 'fast' is not a number"):
        launch(count(tmp_path, ending="input"), **given)
    assert outcome(tmp_path)["input_error"]
    with pytest.raises(RuntimeError, match="something broke"):
        launch(count(tmp_path, ending="error"), **given)
    assert outcome(tmp_path)["error"] == "RuntimeError: something broke"


def test_two_launchers_do_it_once(tmp_path: Path, start: Any) -> None:
    said = [launcher.communicate(timeout=300)[0] for launcher in (start(1.5), start(1.5))]
    assert all("RESULT {'value': 42}" in text for text in said)
    assert sum("another launcher is at work" in text for text in said) == 1
    assert len(ran(tmp_path)) == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_ask_to_leave(tmp_path: Path, start: Any, signum: signal.Signals) -> None:
    launcher = start(60)
    until(lambda: ran(tmp_path))
    assert is_locked(tmp_path / "job" / "job.lock")
    time.sleep(0.2)
    launcher.send_signal(signum)
    assert launcher.communicate(timeout=300)[0] == "left as asked; the next start resumes from there\n"
    assert launcher.returncode == 128 + signum
    assert outcome(tmp_path)["state"] == "interrupted"
    assert not is_locked(tmp_path / "job" / "job.lock")


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno
    import fcntl

    def refuse(*given: Any) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert launch(count(tmp_path), name="toy", folder=tmp_path / "job") == {"value": 42}
    assert "no file locks here, so do not start this run twice" in capsys.readouterr().out


def training_run(tmp_path: Path, where: str, **params: Any) -> TrainingRun:
    data = {name: params.pop(name) for name in ("slow", "dropout", "bad_step") if name in params}
    given = {"study": "toy", "seed": 5, "data": data}
    training = {"steps": 30, "batch": 4, "evaluate_every": 7, "tensorboard": False} | params
    out = tmp_path / where
    params = {**given, "training": training}
    return TrainingRun("toy_study:build", "toy", "toy/a", params, {}, out / "run", out / "ck")


def metrics(tmp_path: Path, where: str) -> pd.DataFrame:
    return read_parquet(tmp_path / where / "run" / "pretrain.parquet")


def train_at(tmp_path: Path, where: str, restart: bool = False, **params: Any) -> dict[str, Any]:
    folder = tmp_path / where / "job"
    return launch(training_run(tmp_path, where, **params), name="toy/a", folder=folder, restart=restart)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_interrupted_training_ends_as_if_nothing_had_happened(
    tmp_path: Path, signum: signal.Signals, children: list[subprocess.Popen[str]]
) -> None:
    command = [sys.executable, "-c", TRAIN, str(tmp_path), "cut"]
    children.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    until(lambda: list((tmp_path / "cut" / "ck").glob("checkpoint_*_000000008.safetensors")))
    time.sleep(0.1)
    children[-1].send_signal(signum)
    said = children[-1].communicate(timeout=300)[0]
    assert children[-1].returncode == (-signum if signum == signal.SIGKILL else 128 + signum)
    assert ("left at step" in said) == (signum != signal.SIGKILL)
    train_at(tmp_path, "cut", slow=0.05, checkpoint_every=4)
    whole = training_run(tmp_path, "whole", slow=0.05, checkpoint_every=4)
    whole(whole.digest(), Requests(), World())
    pd.testing.assert_frame_equal(metrics(tmp_path, "cut"), metrics(tmp_path, "whole"), check_exact=True)
    weights = [(tmp_path / where / "run" / "weights.safetensors").read_bytes() for where in ("cut", "whole")]
    assert weights[0] == weights[1]
    assert read_provenance(tmp_path / "cut" / "run" / "pretrain.parquet")["resumed_from"] >= 8


def test_a_run_that_leaves_by_itself_is_resumed_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_at(tmp_path, "left", leave_at=3)
    assert "resumed at step 3 of" in capsys.readouterr().out
    train_at(tmp_path, "whole")
    pd.testing.assert_frame_equal(metrics(tmp_path, "left"), metrics(tmp_path, "whole"), check_exact=True)
    facts = read_provenance(tmp_path / "left" / "run" / "pretrain.parquet")
    assert facts["resumed_from"] == 3
    assert facts["costs"]["seconds_per_step"] > 0


def test_missing_outputs_come_back_from_the_last_checkpoint(tmp_path: Path) -> None:
    def resumed_from() -> int:
        return read_provenance(tmp_path / "a" / "run" / "pretrain.parquet")["resumed_from"]

    train_at(tmp_path, "a")
    assert resumed_from() == 0
    shutil.rmtree(tmp_path / "a" / "run")
    train_at(tmp_path, "a")
    assert resumed_from() == 30
    train_at(tmp_path, "a", restart=True)
    assert resumed_from() == 0, "asked to restart, it does not take the last checkpoint"


def test_two_processes_of_one_run_train_as_one(tmp_path: Path) -> None:
    tables = []
    for size in (1, 2):
        run = training_run(tmp_path, str(size), steps=5, batch=7, dropout=0.0)
        in_processes(run, tmp_path / str(size) / "job", size)
        tables.append(metrics(tmp_path, str(size)))
    pd.testing.assert_frame_equal(*tables, check_exact=False, rtol=1e-4, atol=1e-7)


def test_digest_is_of_parameters_source_and_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "values").write_text("1 2 3")
    run = replace(training_run(tmp_path, "a"), inputs={"store": tmp_path / "store"})
    digests = {run.digest(), replace(run, params={**run.params, "seed": 6}).digest()}
    (tmp_path / "store" / "values").write_text("1 2 4")
    digests.add(run.digest())
    assert len(digests) == 3
    (tmp_path / "store" / "values").write_text("1 2 3")
    with monkeypatch.context() as patch:
        patch.setattr(training_module, "training_code", lambda build: f"edited {build}")
        digests.add(run.digest())
    assert len(digests) == 4
    assert replace(run, out_dir=tmp_path / "elsewhere").digest() in digests
    with pytest.raises(InputError, match="no such input"):
        replace(run, inputs={"store": tmp_path / "nothing"}).digest()


def test_what_has_changed_since_it_was_planned_is_refused(tmp_path: Path) -> None:
    run = training_run(tmp_path, "a")
    with pytest.raises(InputError, match="code or inputs: have changed since the run was planned"):
        run("another digest", Requests(), World())
    assert not (tmp_path / "a").exists()


def test_diverged_run_is_written_and_marked(tmp_path: Path) -> None:
    from safetensors import safe_open

    assert train_at(tmp_path, "bad", bad_step=5)["diverged"] == "the loss is nan at step 5"
    table = metrics(tmp_path, "bad")
    assert table[table.metric == "diverged"][["step", "value"]].values.tolist() == [[4, 1.0]]
    weights, parquet = training_run(tmp_path, "bad").outputs
    assert read_provenance(parquet)["diverged"] == "the loss is nan at step 5"
    with safe_open(weights, framework="np") as handle:
        assert handle.metadata()["diverged"] == "the loss is nan at step 5"


@pytest.mark.parametrize("run", ["stu/a b/$(x)", "zeta/x;y\n", "\u202e", ""])
def test_job_names_are_plain(run: str) -> None:
    name = slurm.job_name(run)
    assert name
    assert all(letter.isascii() and (letter.isalnum() or letter in "._-") for letter in name)


@pytest.mark.parametrize("name", ["a%j", "a\nb"])
def test_folders_that_slurm_would_rewrite_are_refused(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    with pytest.raises(InputError, match="line break"):
        launch(count(tmp_path), name="toy", folder=Path("job"), cluster="slurm")


def test_commands_forget_options_but_not_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/etc/here")
    leaks = {"SLURM_JOB_ID": "7", "RANK": "3", "SBATCH_PARTITION": "x", "SQUEUE_STATES": "PENDING"}
    for name, value in leaks.items():
        monkeypatch.setenv(name, value)
    assert set(leaked(os.environ)) == set(leaks) - {"SLURM_JOB_ID"}
    with clean_environment():
        assert os.environ["SLURM_CONF"] == "/etc/here"
        assert not set(leaks) & set(os.environ)
    assert {name: os.environ[name] for name in leaks} == leaks


def test_missing_cluster_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="no sbatch"):
        launch(count(tmp_path), name="toy", folder=tmp_path, cluster="slurm")
