"""How each run stands, read from the files that its launcher and job leave."""

import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from specseq.launch import processes
from specseq.launch.carried import OUTCOME
from specseq.launch.files import is_locked, read_json
from specseq.launch.launcher import LOCK, TICKET
from specseq.progress import clock

STATES = ("running", "queued", "failed", "interrupted", "waiting", "done")
_STEP = re.compile(rb"^(\d+) step (\d+)/(\d+) eta (\S+)", re.M)
_TAIL = 4096


@dataclass(frozen=True)
class RunState:
    """One run's state.

    Attributes:
        run: run id.
        state: one of :data:`STATES`; *waiting* has not been started, *interrupted* was and is resumed by the
            next start.
        detail: step and time left, the queue's reason, or why it failed.
        log: where to read more, or None.
    """

    run: str
    state: str
    detail: str = ""
    log: Path | None = None


def queue() -> dict[str, tuple[str, str]] | None:
    """This user's jobs, ``{id: (state, reason)}``, in one call; None without a queue."""
    try:
        done = subprocess.run(
            ["squeue", "--me", "--noheader", "--format", "%A|%T|%r"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    rows = (line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2)
    return {job: (state, reason) for job, state, reason in rows}


def run_states(runs: Iterable[str], results: Path) -> list[RunState]:
    """The states of runs whose outputs and job folders lie below a scale's results folder.

    Args:
        runs: ids of trained runs.
        results: ``results/<scale>``.
    """
    jobs: Mapping[str, tuple[str, str]] | None = None
    asked = False
    states = []
    for run in runs:
        if (results / "runs" / run / "pretrain.parquet").exists():
            states.append(RunState(run, "done"))
            continue
        folder = results / "jobs" / run
        ticket = read_json(folder / TICKET)
        if ticket is None:
            states.append(RunState(run, "waiting"))
            continue
        if ticket.get("cluster") == "slurm" and not asked:
            jobs, asked = queue(), True
        states.append(_started(run, folder, ticket, jobs))
    return states


def _started(
    run: str, folder: Path, ticket: Mapping[str, object], jobs: Mapping[str, tuple[str, str]] | None
) -> RunState:
    outcome = read_json(folder / OUTCOME)
    job = str(ticket.get("job_id"))
    log = _log(folder / job)
    if outcome is not None and outcome.get("state") == "failed":
        return RunState(run, "failed", str(outcome.get("error")), log)
    if ticket.get("cluster") == "slurm":
        if "job_id" not in ticket and is_locked(folder / LOCK):
            return RunState(run, "queued", "its launcher is about to submit it")
        if jobs is None:
            return RunState(run, "queued", f"job {job}; squeue does not answer", log)
        state, reason = jobs.get(job, ("", ""))
        if state in ("RUNNING", "COMPLETING"):
            return RunState(run, "running", _progress(log), log)
        if state:
            return RunState(run, "queued", f"job {job}: {state.lower()}, {reason}", log)
    elif processes.lives(job, ticket.get("started")):
        return RunState(run, "running", _progress(log), log)
    return RunState(run, "interrupted", "the next start goes on from its checkpoint", log)


def _log(folder: Path) -> Path | None:
    try:
        logs = [Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith("_log.out")]
    except OSError:
        return None
    return max(logs, default=None)


def _progress(log: Path | None) -> str:
    """Step and time left by the last progress line; the time since that line is taken off."""
    if log is None:
        return "starting"
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - _TAIL))
        found = _STEP.findall(handle.read())
    if not found:
        return "starting"
    at, step, steps, eta = (part.decode() for part in found[-1])
    if ":" in eta and "-" not in eta:
        hours, minutes, seconds = map(int, eta.split(":"))
        eta = clock(max(0.0, 3600 * hours + 60 * minutes + seconds - (time.time() - int(at))))
    return f"step {step}/{steps}, {eta} left"
