"""Small JSON files and locks in a run's folder."""

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(content, indent=1), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold an exclusive lock; the system frees it when the process ends, however it ends.

    On a file system without locks the block runs all the same, and a line says so.

    Args:
        path: the lock's file, which stays.
        waiting: called every half second while another process holds the lock; may raise to give up.

    Yields:
        Whether another process held the lock first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    contended = False
    with path.open("a") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                contended = True
                waiting()
                time.sleep(0.5)
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK):
                    raise
                print(f"{path.parent}: no file locks here, so do not start this run twice", flush=True)
                break
        yield contended


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        with path.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
