"""Submitting to a queue that is full, silent or slow to show results, played by scripts."""

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from specseq.launch import launcher
from specseq.launch.files import is_locked, locked, read_json
from specseq.launch.launcher import JobFailed, launch
from specseq.launch.status import RunState, run_states

HERE = Path(__file__).parent
FULL = "sbatch: error: QOSMaxSubmitJobPerUserLimit"
SILENT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
OUTCOME = json.dumps({"state": "done", "digest": "d", "finished": 1.0, "result": {"value": 42}})


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "job"


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put commands in front that refuse as told, then take the job; returns the list of what was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    for name, seconds in {"ASK_S": 0.1, "LATE_S": 0.4, "RETRY_S": 0.05, "RARELY_S": 0.1}.items():
        monkeypatch.setattr(launcher, name, seconds)

    def begin(*refusals: str, ends: bool = True, lives: bool = False, state: str = "") -> Path:
        called, left = folder / "called", folder / "refusals"
        left.write_text("".join(f"{line}\n" for line in refusals))
        finish = f"printf '%s' '{OUTCOME}' > '{tmp_path}/job/outcome.json'" if ends else ":"
        take = (
            f"line=$(head -n 1 '{left}'); sed -i 1d '{left}'\n"
            f'if [ -n "$line" ]; then echo "$line" >&2; exit 1; fi\n{finish}\necho Submitted batch job 7'
        )
        programs = {"sbatch": take, "squeue": "echo RUNNING" if lives else ":", "scancel": ":", "srun": ":"}
        programs |= {"scontrol": f"echo JobId=7 JobState={state} Reason=None" if state else ":", "sacct": ":"}
        for name, script in programs.items():
            (folder / name).write_text(f"#!/bin/sh\necho {name} \"$@\" >> '{called}'\n{script}\n")
            (folder / name).chmod(0o755)
        return called

    return begin


def submit(job: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    monkeypatch.syspath_prepend(str(HERE))
    from toy_jobs import Count

    return launch(Count(runs=job.parent / "runs"), name="toy", folder=job, cluster="slurm", **more)


def left_by_an_earlier_launcher(job: Path, **ticket: str) -> None:
    job.mkdir()
    (job / "ticket.json").write_text(json.dumps({"cluster": "slurm", **ticket}))


def states(job: Path) -> list[RunState]:
    """The state of the run whose folder of jobs this is."""
    (job.parent / "jobs").mkdir()
    (job.parent / "jobs" / "toy").symlink_to(job)
    return run_states(["toy"], job.parent)


def calls(called: Path, name: str) -> list[str]:
    return [line for line in called.read_text().splitlines() if line.startswith(f"{name} ")]


@pytest.mark.parametrize("refusal", [FULL, SILENT])
def test_full_or_silent_queue_is_asked_again(
    job: Path, queue: Any, refusal: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = queue(refusal, refusal)
    assert submit(job, monkeypatch) == {"value": 42}
    assert len(calls(called, "sbatch")) == 3
    said = capsys.readouterr().out
    assert said.count("not taken yet, asking again: sbatch: error") == 1
    # Had a question been heard without an answer, its job must not run beside the next.
    name = (read_json(job / "ticket.json") or {})["job_name"]
    assert all(name in line for line in calls(called, "scancel"))
    assert len(calls(called, "scancel")) == 2


def test_silence_is_not_borne_for_ever(job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "SILENCE_S", 0.3)
    queue(*[SILENT] * 50)
    with pytest.raises(JobFailed, match=r"not taken: .*timed out"):
        submit(job, monkeypatch)


def test_wrong_settings_are_not_asked_for_again(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue("sbatch: error: invalid partition specified: nowhere")
    with pytest.raises(JobFailed, match=r"not taken: .*nowhere"):
        submit(job, monkeypatch)
    (state,) = states(job)
    assert (state.state, "nowhere" in state.detail) == ("failed", True)
    assert len(calls(called, "sbatch")) == 1


def test_signal_ends_a_launcher_that_waits_to_submit(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(*[FULL] * 50)
    monkeypatch.setattr(launcher, "RETRY_S", 30.0)
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with pytest.raises(SystemExit) as raised:
        submit(job, monkeypatch)
    assert raised.value.code == 128 + signal.SIGTERM


def test_result_that_shows_late_is_waited_for(job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "LATE_S", 5.0)
    queue(ends=False)
    threading.Timer(1.5, lambda: (job / "outcome.json").write_text(OUTCOME)).start()
    assert submit(job, monkeypatch) == {"value": 42}


def test_job_that_ends_without_a_word_is_given_up(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue(ends=False)
    with pytest.raises(JobFailed, match="ended without a result"):
        submit(job, monkeypatch)
    (state,) = states(job)
    assert (state.state, state.detail) == (
        "failed",
        "the job ended without a result, and SLURM does not say why",
    )
    assert len(calls(called, "squeue")) >= 2


def test_job_that_ran_out_of_memory_is_said_so(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue(ends=False, state="OUT_OF_MEMORY")
    with pytest.raises(JobFailed, match="ended without a result, SLURM says OUT_OF_MEMORY"):
        submit(job, monkeypatch)
    assert len(calls(called, "sbatch")) == 1


@pytest.mark.parametrize("state", ["TIMEOUT", "NODE_FAIL"])
def test_run_whose_job_came_to_its_end_is_submitted_again_while_that_helps(
    job: Path, queue: Any, state: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = queue(ends=False, state=state)
    with pytest.raises(JobFailed, match=f"SLURM says {state}"):
        submit(job, monkeypatch)
    assert len(calls(called, "sbatch")) == 3, "without a new checkpoint it is given up after three jobs"
    assert capsys.readouterr().out.count("submitting the run again") == 2


def test_run_that_slurm_did_not_requeue_is_submitted_again(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called = queue(ends=False)
    left = json.dumps({"state": "interrupted", "digest": "d", "finished": 1.0, "error": "left at step 7"})
    monkeypatch.setattr(launcher, "LATE_S", 1.0)
    for seconds, word in ((0.2, left), (2.5, OUTCOME)):
        threading.Timer(seconds, lambda word=word: (job / "outcome.json").write_text(word)).start()
    assert submit(job, monkeypatch) == {"value": 42}
    assert len(calls(called, "sbatch")) == 2
    assert "job 7: left at step 7; submitting the run again" in capsys.readouterr().out


def test_job_in_the_queue_is_asked_for_ever_more_seldom(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue(ends=False, lives=True)
    threading.Timer(3, lambda: (job / "outcome.json").write_text(OUTCOME)).start()
    monkeypatch.setattr(launcher, "ASK_S", 0.25)
    assert submit(job, monkeypatch) == {"value": 42}
    # Every quarter of a second would have been a dozen times.
    assert 2 <= len(calls(called, "squeue")) <= 6


def test_job_of_other_parameters_is_cancelled_and_does_not_answer(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue(ends=False, lives=True)
    left_by_an_earlier_launcher(job, job_id="5", job_name="toy.old.1", digest="old")
    old = OUTCOME.replace('"d"', '"old"').replace("42", "41")
    threading.Timer(0.5, lambda: (job / "outcome.json").write_text(old)).start()
    threading.Timer(2, lambda: (job / "outcome.json").write_text(OUTCOME)).start()
    assert submit(job, monkeypatch) == {"value": 42}
    (cancelled,) = calls(called, "scancel")
    assert cancelled.endswith("--name toy.old.1")
    assert len(calls(called, "sbatch")) == 1


@pytest.mark.parametrize("name", ["", "a b", "x --full", None])
def test_no_other_job_is_cancelled_whatever_a_ticket_says(
    job: Path, queue: Any, name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue()
    left_by_an_earlier_launcher(job, job_name=name, digest="old")
    assert submit(job, monkeypatch) == {"value": 42}
    assert calls(called, "scancel") == []


def test_beginning_anew_ends_a_job_that_would_go_on(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue(lives=True)
    left_by_an_earlier_launcher(job, job_id="5", job_name="toy.d.1", digest="d")
    assert submit(job, monkeypatch, restart=True) == {"value": 42}
    assert [line.split()[-1] for line in calls(called, "scancel")] == ["toy.d.1"]


def test_silent_queue_is_asked_again_for_a_job_whose_id_is_not_known(
    job: Path, queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = queue(lives=True)
    left_by_an_earlier_launcher(job, job_name="toy.d.1", digest="d")
    answers = iter([None, None, "7"])
    monkeypatch.setattr(launcher.slurm, "find", lambda name: next(answers))
    threading.Timer(1, lambda: (job / "outcome.json").write_text(OUTCOME)).start()
    assert submit(job, monkeypatch) == {"value": 42}
    assert calls(called, "sbatch") == []


def test_status_tells_a_run_about_to_be_submitted(tmp_path: Path) -> None:
    folder = tmp_path / "jobs/a/b/c"
    folder.mkdir(parents=True)
    (folder / "ticket.json").write_text('{"cluster": "slurm"}')

    def said() -> str:
        return run_states(["a/b/c"], tmp_path)[0].detail

    with locked(folder / "launch.lock", lambda: None):
        assert is_locked(folder / "launch.lock")
        assert said() == "its launcher is about to submit it"
    assert not is_locked(folder / "launch.lock")
    assert not is_locked(folder / "nothing")
    assert "about to" not in said()
