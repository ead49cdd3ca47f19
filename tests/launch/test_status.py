"""What ``specseq status`` says of runs in every state, with a queue and without, and how fast."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from specseq.commands import status as command
from specseq.errors import InputError
from specseq.launch.files import locked, write_json
from specseq.launch.status import RunState, run_states, time_left

ROOT = Path(__file__).parents[2]
RUN = "preconditioning/toy/a"


@pytest.fixture
def squeue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a ``squeue`` in front that says what it is told, and counts how often it is asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def says(*lines: str, fails: bool = False) -> Path:
        answer, asked = folder / "answer", folder / "asked"
        answer.write_text("".join(f"{line}\n" for line in lines))
        program = folder / "squeue"
        program.write_text(f"#!/bin/sh\necho . >> '{asked}'\ncat '{answer}'\nexit {int(fails)}\n")
        program.chmod(0o755)
        return asked

    return says


def started(results: Path, run: str = RUN, log: str | None = None, **ticket: Any) -> Path:
    """A job folder as a launcher leaves it."""
    folder = results / "jobs" / run
    write_json(folder / "ticket.json", {"run": run, "job_id": "7", "cluster": "slurm", **ticket})
    if log is not None:
        (folder / "7").mkdir()
        (folder / "7" / "7_0_log.out").write_text(log)
    return folder


def state(results: Path, run: str = RUN) -> RunState:
    (found,) = run_states([run], results)
    return found


def test_done_and_waiting(tmp_path: Path) -> None:
    assert state(tmp_path) == RunState(RUN, "waiting")
    started(tmp_path)
    (tmp_path / "runs" / RUN).mkdir(parents=True)
    (tmp_path / "runs" / RUN / "pretrain.parquet").write_bytes(b"PAR1")
    assert state(tmp_path) == RunState(RUN, "done")


@pytest.mark.parametrize("content", [b"", b"PA", b"PAR1 and then the copy broke off"])
def test_a_damaged_result_is_not_done(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "runs" / RUN / "pretrain.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert state(tmp_path) == RunState(RUN, "failed", f"{path} is damaged: delete it and run snakemake again")


def stamp(seconds: float) -> str:
    """A time as lines of progress have it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(seconds))


def test_queued_gives_the_queue_s_reason(tmp_path: Path, squeue: Any) -> None:
    squeue("7|PENDING|QOSMaxJobsPerUserLimit", "8|RUNNING|None")
    started(tmp_path)
    found = state(tmp_path)
    assert (found.state, found.detail) == ("queued", "job 7: pending, QOSMaxJobsPerUserLimit")


def test_running_gives_step_and_time_left_at_this_moment(tmp_path: Path, squeue: Any) -> None:
    squeue("7|RUNNING|None")
    a_minute_ago = stamp(time.time() - 60)
    started(
        tmp_path, log=f"{stamp(1)} step 5/9 eta 0:00:01\n{a_minute_ago} step 40/100 eta 1:01:00 loss 0.7\n"
    )
    found = state(tmp_path)
    assert found.state == "running"
    step, left = found.detail.split(", ")
    assert step == "step 40/100"
    assert left.startswith(("0:59:", "1:00:"))


@pytest.mark.parametrize("log", [None, "", "loading\n", "x step 1/2 eta\n", "\0\xff step"])
def test_running_without_progress_is_starting(tmp_path: Path, squeue: Any, log: str | None) -> None:
    squeue("7|RUNNING|None")
    started(tmp_path, log=log)
    assert (state(tmp_path).state, state(tmp_path).detail) == ("running", "starting")


def test_failed_gives_reason_and_log(tmp_path: Path, squeue: Any) -> None:
    squeue()
    folder = started(tmp_path, log="")
    write_json(folder / "outcome.json", {"state": "failed", "error": "OSError: No space left on device"})
    expected = RunState(RUN, "failed", "OSError: No space left on device", folder / "7" / "7_0_log.out")
    assert state(tmp_path) == expected


def test_gone_from_the_queue_without_an_outcome_is_interrupted(tmp_path: Path, squeue: Any) -> None:
    squeue("8|RUNNING|None")
    started(tmp_path)
    assert state(tmp_path).state == "interrupted"


def test_a_silent_queue_is_said_so(tmp_path: Path, squeue: Any) -> None:
    squeue(fails=True)
    started(tmp_path)
    assert "squeue does not answer" in state(tmp_path).detail


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", "\0"])
def test_a_broken_ticket_is_no_ticket(tmp_path: Path, broken: str) -> None:
    folder = started(tmp_path)
    (folder / "ticket.json").write_text(broken)
    assert state(tmp_path).state == "waiting"


def test_local_run_is_running_while_its_lock_is_held(tmp_path: Path) -> None:
    results = tmp_path / "results" / "smoke"
    folder = started(results, cluster="local")
    assert state(results).state == "interrupted"
    log = tmp_path / "logs" / "smoke" / "pretrain" / f"{RUN}.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{stamp(time.time())} step 40/100 eta 1:01:00 loss 0.7\n")
    with locked(folder / "job.lock", lambda: None):
        assert state(results).state == "running"
        assert state(results).detail.startswith("step 40/100, 1:0")
        assert state(results).log == log


def test_time_left_is_that_of_like_runs_by_their_steps() -> None:
    done = [
        RunState("a/short/0", "done", seconds=10.0),
        RunState("a/short/1", "done", seconds=30.0),
        RunState("a/long/0", "done", seconds=100.0),
    ]
    rest = [
        RunState("a/short/2", "waiting"),
        RunState("a/long/1", "interrupted"),
        RunState("a/other/0", "queued"),
        RunState("a/long/2", "failed"),
        RunState("b/x/0", "waiting"),
    ]
    steps = dict.fromkeys((state.run for state in [*done, *rest]), 10)
    expected = 20.0 + 100.0 + 140.0 / 3
    assert time_left([*done, *rest], steps) == (pytest.approx(expected), ["b"])
    running = [RunState("a/long/3", "running", seconds=40.0), RunState("c/x/0", "running")]
    assert time_left([*done, *rest, *running], steps) == (pytest.approx((expected + 40) / 2), ["b", "c"])
    assert time_left(done, steps) == (0.0, [])
    assert time_left([RunState("a/own/seed0", "waiting")], {}) == (0.0, ["a"])


def test_the_command_says_what_is_left_of_the_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow(tmp_path, runs=4)
    results = tmp_path / "results/smoke"
    first, second = (f"preconditioning/toy/seed{seed}" for seed in (0, 1))
    write_json(started(results, first, cluster="local", started=100.0) / "outcome.json", {"finished": 160.0})
    (results / "runs" / first).mkdir(parents=True)
    (results / "runs" / first / "pretrain.parquet").write_bytes(b"PAR1")
    folder = started(results, second, cluster="local", started=170.0)
    log = tmp_path / f"logs/smoke/pretrain/{second}.log"
    log.parent.mkdir(parents=True)
    log.write_text(f"{stamp(time.time() + 60)} step 5/10 eta 0:00:30\n")
    with locked(folder / "job.lock", lambda: None):
        assert command.main(["--root", str(tmp_path)]) == 0
        said = capsys.readouterr().out.splitlines()[-1]
        assert command.main(["--root", str(tmp_path), "--json"]) == 0
    assert re.fullmatch(r"about 0:03:(2\d|30) of training left, 1 at a time, evaluations not counted", said)
    assert json.loads(capsys.readouterr().out.splitlines()[0])["seconds"] == 60


def test_failed_run_is_not_done_though_it_once_was(tmp_path: Path) -> None:
    folder = started(tmp_path, cluster="local")
    metrics = tmp_path / "runs" / RUN / "pretrain.parquet"
    metrics.parent.mkdir(parents=True)
    metrics.write_bytes(b"PAR1")
    write_json(folder / "outcome.json", {"state": "failed", "error": "broken", "finished": time.time() + 1})
    assert state(tmp_path) == RunState(RUN, "failed", "broken")
    write_json(folder / "outcome.json", {"state": "done", "result": {"diverged": "the loss is nan"}})
    assert state(tmp_path) == RunState(RUN, "done", "diverged: the loss is nan")


@pytest.mark.parametrize("job", ["$(touch hacked)", "-1", "٣", "9" * 5000, "../..", None, [1], {}])
@pytest.mark.parametrize("cluster", ["local", "slurm", "../", None])
def test_whatever_a_ticket_holds_is_only_read(tmp_path: Path, squeue: Any, job: Any, cluster: Any) -> None:
    squeue("7|RUNNING|None")
    started(tmp_path, job_id=job, cluster=cluster)
    assert state(tmp_path).state == "interrupted"
    assert not list(tmp_path.rglob("hacked"))


def workflow(folder: Path, runs: int) -> None:
    """A root with a config of so many training runs."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["scale"] = "smoke"
    toy = {
        "base": {"model": {"kind": "moirai2"}, "training": {"steps": 3}},
        "over": {"seed": list(range(runs))},
    }
    config["scales"] = {"smoke": {}}
    config["studies"] = {"preconditioning": {"base": {"seed": 0}, "sweeps": {"toy": toy}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def test_thousands_of_runs_take_one_question_to_the_queue(
    tmp_path: Path, squeue: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow(tmp_path, runs=2000)
    asked = squeue("7|RUNNING|None")
    for seed in range(0, 2000, 4):
        started(tmp_path / "results/smoke", f"preconditioning/toy/seed{seed}")
    assert command.main(["--root", str(tmp_path), "--state", "running", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 500
    assert {line["state"] for line in lines} == {"running"}
    assert asked.read_text() == ".\n"


def test_counts_and_exit_status(tmp_path: Path, squeue: Any, capsys: pytest.CaptureFixture[str]) -> None:
    workflow(tmp_path, runs=3)
    squeue()
    assert command.main(["--root", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("3 waiting\n")
    folder = started(tmp_path / "results/smoke", "preconditioning/toy/seed1")
    write_json(folder / "outcome.json", {"state": "failed", "error": "broken"})
    assert command.main(["--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("1 failed  2 waiting\n")
    with pytest.raises(InputError, match="no study is called 'ekwilibrium'; known: preconditioning"):
        command.main(["--root", str(tmp_path), "--study", "ekwilibrium"])


def test_runs_of_another_config_are_known_once_they_have_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow(tmp_path, runs=1)
    folder = started(tmp_path / "results/smoke", "mine/longer/seed9", cluster="local")
    write_json(folder / "outcome.json", {"state": "failed", "error": "broken"})
    own = tmp_path / "results/own/runs/mine/longer/seed0"
    own.mkdir(parents=True)
    (own / "pretrain.parquet").write_bytes(b"PAR1")
    assert command.main(["--root", str(tmp_path)]) == 1
    assert capsys.readouterr().out.endswith("1 failed  1 waiting\n")
    assert command.main(["--root", str(tmp_path), "--scale", "own", "--study", "mine"]) == 0
    assert capsys.readouterr().out.startswith("mine/longer/seed0  done")


def test_watch_looks_again_until_it_is_interrupted(tmp_path: Path) -> None:
    workflow(tmp_path, runs=1)
    watching = [sys.executable, "-m", "specseq.cli", "status", "--watch", "--root", str(tmp_path)]
    # Shells start what runs in the background with SIGINT ignored, and children inherit that.
    interruptible = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(watching, stdout=subprocess.PIPE, text=True, preexec_fn=interruptible)
    assert process.stdout is not None
    assert "waiting" in process.stdout.readline()
    assert process.stdout.readline() == "1 waiting\n"
    result = tmp_path / "results/smoke/runs/preconditioning/toy/seed0"
    result.mkdir(parents=True)
    (result / "pretrain.parquet").write_bytes(b"PAR1")
    assert "done" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 0
