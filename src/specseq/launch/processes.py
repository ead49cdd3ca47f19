"""Processes of this machine, told apart from later ones of the same number."""

import contextlib
import os
import select
import signal
import time
from pathlib import Path


def started(pid: int) -> str | None:
    """When the process began, in clock ticks since boot; None where there is none or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def lives(job_id: object, start: object) -> bool:
    """Whether the process that a ticket names still runs; a ticket may hold anything."""
    number = str(job_id)
    digits = number.isascii() and number.isdigit() and len(number) < 12
    return digits and start is not None and started(int(number)) == start


def wait(pid: int) -> None:
    """Sleep until the process has ended; signals to this process are handled meanwhile."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    finally:
        os.close(descriptor)


def stop(pid: int, patience: float = 3.0) -> None:
    """End a process and its descendants: politely first, for certain after ``patience`` seconds."""
    family = [(member, started(member)) for member in [pid, *_descendants(pid)]]
    deadline = time.monotonic() + patience
    _signal(pid, started(pid), signal.SIGINT)
    while time.monotonic() < deadline and any(start and started(member) == start for member, start in family):
        time.sleep(0.05)
    for member, start in family:
        _signal(member, start, signal.SIGKILL)


def _signal(pid: int, start: str | None, signum: signal.Signals) -> None:
    if start is not None and started(pid) == start:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return children + [other for child in children for other in _descendants(child)]
