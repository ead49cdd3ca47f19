"""How each run stands, read from the files that its launcher and job leave."""

import os
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from specseq.launch import slurm
from specseq.launch.files import is_locked, read_json
from specseq.launch.job import JOB_LOCK, OUTCOME
from specseq.launch.launcher import LOCK, TICKET
from specseq.progress import clock

STATES = ("running", "queued", "failed", "interrupted", "waiting", "done")
_STEP = re.compile(rb"^(\d\S+) step (\d+)/(\d+) eta (\S+)", re.M)
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
        seconds: for a done run what its training took, for a running one what it has left; None if unknown,
            or on SLURM, where it would include time in the queue.
    """

    run: str
    state: str
    detail: str = ""
    log: Path | None = None
    seconds: float | None = None


def run_states(runs: Iterable[str], results: Path) -> list[RunState]:
    """The states of runs whose outputs and job folders lie below a scale's results folder.

    Args:
        results: ``results/<scale>``; the logs of local runs lie in ``logs/<scale>`` beside ``results``.
    """
    logs = results.parent.parent / "logs" / results.name / "pretrain"
    queue = cache(slurm.queue)
    return [_state(run, results, logs / f"{run}.log", queue) for run in runs]


def time_left(states: Iterable[RunState], steps: Mapping[str, int]) -> tuple[float, list[str]]:
    """Time left for the training that is not done, with as many runs at a time as there are now.

    The time per step is the average over done runs of the run's sweep, or else of its study.

    Returns:
        Seconds, without evaluations and failed runs, and the studies with no done run to estimate from.
    """
    states, rates = list(states), defaultdict[str, list[float]](list)
    for one in states:
        if one.state == "done" and one.seconds is not None and one.run in steps:
            for key in _alike(one.run):
                rates[key].append(one.seconds / steps[one.run])
    average = {key: fmean(found) for key, found in rates.items()}
    left, unknown = 0.0, set()
    for one in states:
        if one.state in ("done", "failed"):
            continue
        known = next((average[key] for key in _alike(one.run) if key in average), None)
        if one.state == "running" and one.seconds is not None:
            left += one.seconds
        elif known is None or one.run not in steps:
            unknown.add(one.run.partition("/")[0])
        else:
            left += known * steps[one.run]
    return left / max(1, sum(one.state == "running" for one in states)), sorted(unknown)


def _alike(run: str) -> tuple[str, str]:
    """The sweep of a run and its study."""
    study, sweep, *_ = run.split("/")
    return f"{study}/{sweep}", study


def _state(
    run: str, results: Path, local_log: Path, queue: Callable[[], Mapping[str, tuple[str, str]] | None]
) -> RunState:
    folder, metrics = results / "jobs" / run, results / "runs" / run / "pretrain.parquet"
    ticket, outcome = read_json(folder / TICKET), read_json(folder / OUTCOME) or {}
    made = metrics.stat().st_mtime if metrics.exists() else None
    failed = outcome.get("state") == "failed" and float(outcome.get("finished", 0)) >= (made or 0)
    if made is not None and not failed:
        if not _whole(metrics):
            return RunState(run, "failed", f"{metrics} is damaged: delete it and run snakemake again")
        diverged = (outcome.get("result") or {}).get("diverged")
        return RunState(
            run, "done", f"diverged: {diverged}" if diverged else "", seconds=_took(ticket, outcome)
        )
    if ticket is None:
        return RunState(run, "waiting")
    by_slurm, job = ticket.get("cluster") == "slurm", str(ticket.get("job_id"))
    log = _log(folder / job) if by_slurm else local_log if local_log.exists() else None
    if failed:
        return RunState(run, "failed", str(outcome.get("error")), log)
    if by_slurm:
        if "job_id" not in ticket and is_locked(folder / LOCK):
            return RunState(run, "queued", "its launcher is about to submit it")
        if (jobs := queue()) is None:
            return RunState(run, "queued", f"job {job}; squeue does not answer", log)
        state, reason = jobs.get(job, ("", ""))
        if state in ("RUNNING", "COMPLETING"):
            return RunState(run, "running", _progress(log)[0], log)
        if state:
            return RunState(run, "queued", f"job {job}: {state.lower()}, {reason}", log)
    elif is_locked(folder / JOB_LOCK):
        detail, seconds = _progress(log)
        return RunState(run, "running", detail, log, seconds)
    return RunState(run, "interrupted", "the next start resumes from its checkpoint", log)


def _whole(path: Path) -> bool:
    """Whether a Parquet file is complete, judged by its last bytes."""
    with path.open("rb") as file:
        file.seek(-min(4, path.stat().st_size), os.SEEK_END)
        return file.read() == b"PAR1"


def _log(folder: Path) -> Path | None:
    try:
        logs = [Path(entry.path) for entry in os.scandir(folder) if entry.name.endswith("_log.out")]
    except OSError:
        return None
    return max(logs, default=None)


def _took(ticket: Mapping[str, Any] | None, outcome: Mapping[str, Any]) -> float | None:
    """Seconds from start to end of a run that was trained here, since it was last started or resumed."""
    try:
        took = float(outcome["finished"]) - float((ticket or {})["started"])
    except (KeyError, TypeError, ValueError):
        return None
    return took if took > 0 and (ticket or {}).get("cluster") == "local" else None


def _progress(log: Path | None) -> tuple[str, float | None]:
    """Step and time left by the last progress line, less the time since; also the time left in seconds."""
    if log is None:
        return "starting", None
    with log.open("rb") as handle:
        handle.seek(max(0, log.stat().st_size - _TAIL))
        found = _STEP.findall(handle.read())
    if not found:
        return "starting", None
    at, step, steps, eta = (part.decode() for part in found[-1])
    left = None
    if ":" in eta and "-" not in eta:
        hours, minutes, seconds = map(int, eta.split(":"))
        left = max(0.0, 3600 * hours + 60 * minutes + seconds - (time.time() - _seconds(at)))
        eta = clock(left)
    return f"step {step}/{steps}, {eta} left", left


def _seconds(stamp: str) -> float:
    """The time of a line of progress; now where it cannot be read."""
    try:
        return datetime.fromisoformat(stamp).timestamp()
    except ValueError:
        return time.time()
