"""The jobs that a call of the workflow lost, so that tables are made without them and the page names them."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from specseq.errors import InputError
from specseq.launch.files import write_json

_LAST_BYTES = 4096


@dataclass(frozen=True)
class LostJob:
    """A job that failed or could not begin.

    Attributes:
        name: the run, table or figure it was to make; empty where the rule makes one thing.
        files: its outputs, which are missing or out of date.
        failed: whether it failed itself, rather than waiting for one that did.
        reason: the last line of its log.
    """

    rule: str
    name: str
    files: tuple[str, ...]
    failed: bool
    reason: str = ""
    log: str = ""


def lost_file(scale: str) -> Path:
    """File that lists the lost jobs of a scale."""
    return Path("results", scale, "lost.json")


def save_lost(scale: str, jobs: Iterable[LostJob]) -> bool:
    """Add jobs to those that are lost; returns whether there were new ones."""
    before = load_lost(scale)
    known = {(job.rule, job.name) for job in before}
    new = [job for job in jobs if (job.rule, job.name) not in known]
    if new:
        write_json(lost_file(scale), {"jobs": [asdict(job) for job in [*before, *new]]})
    return bool(new)


def load_lost(scale: str) -> list[LostJob]:
    """The lost jobs of a scale; none where the last call lost nothing.

    Raises:
        InputError: the list was changed by hand into something else.
    """
    path = lost_file(scale)
    return list(_read(path, path.stat().st_mtime_ns)) if path.exists() else []


@cache
def _read(path: Path, changed: int) -> tuple[LostJob, ...]:
    try:
        jobs = json.loads(path.read_text(encoding="utf-8"))["jobs"]
        return tuple(LostJob(**{**job, "files": tuple(job["files"])}) for job in jobs)
    except (ValueError, KeyError, TypeError):
        raise InputError(path, "is not a list of lost jobs", "delete it, and run snakemake again") from None


def forget_lost(scales: Iterable[str]) -> None:
    """Delete the lists of lost jobs, for a call that begins."""
    for scale in scales:
        lost_file(scale).unlink(missing_ok=True)


def last_line(logs: Sequence[str], since: float) -> tuple[str, str]:
    """The last line of the first log that says anything, and that log.

    Args:
        since: time, in seconds since the epoch, before which a log was written by an earlier call.
    """
    for log in logs:
        try:
            if os.path.getmtime(log) < since:
                continue
            with open(log, "rb") as handle:
                handle.seek(max(os.path.getsize(log) - _LAST_BYTES, 0))
                lines = handle.read().decode("utf-8", "replace").strip().splitlines()
        except OSError:
            continue
        if lines:
            return lines[-1].strip()[:500], log
    return "", next(iter(logs), "")
