"""The one kind of error a user is meant to read: what is wrong, where, and what to do about it."""

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import FrameType

# Free space below which nothing begins.
_LEAST_BYTES = 1_000_000
# Faults of the machine that a user can mend, and how.
_REMEDIES = {
    errno.ENOSPC: "free space, or choose another folder",
    errno.EDQUOT: "free space, or choose another folder",
    errno.EFBIG: "choose another file system",
    errno.EROFS: "choose another folder",
    errno.EACCES: "change its permissions, or choose another",
    errno.EPERM: "change its permissions, or choose another",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "raise the limit of open files (ulimit -n)",
    errno.EIO: "check the disk",
    errno.EISDIR: "name a file",
    errno.EEXIST: "name another path",
    errno.ENOTDIR: "name another path",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "mend its symbolic links",
}


class InputError(ValueError):
    """Bad input, said in one line that names the place, the fault and the remedy.

    Stages and console commands print it without a traceback and exit with status 2.
    """

    def __init__(self, where: object, fault: str, remedy: str = "") -> None:
        """
        Args:
            where: the file, config key or field at fault, as the user knows it.
            fault: what is wrong with it, with the value that was found.
            remedy: what the user can do; may be empty where the fault says it already.
        """
        self.where, self.fault, self.remedy = str(where), fault, remedy
        text = f"{where}: {fault}" + (f"; {remedy}" if remedy else "")
        super().__init__(" ".join(text.split()))


@contextmanager
def of_another_form(where: object, remedy: str) -> Iterator[None]:
    """Make faults within the block, which takes apart what another program wrote, name the file.

    Sizes, kinds and names of what such a file holds are endless, and where one is not as the block expects,
    Python's own error says which.
    """
    try:
        yield
    except InputError:
        raise
    except (
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        fault = f"is not built as expected ({type(error).__name__}: {error})"
        raise InputError(where, fault, remedy) from error


class Diverged(ArithmeticError):
    """A computation that ended in NaN or overflow: a result with its reason, not a crash."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends work as Ctrl-C does: it cleans up and keeps what the next start can use."""


def exit_status(label: str, work: Callable[[], object]) -> int:
    """Do the work and return the exit status; a fault that a user can fix is one line on stderr.

    The status is what ``work`` returns, if that is a number, else 0; 2 for bad input, 1 for a fault of the
    machine such as a full disk, 130 after SIGINT and 143 after SIGTERM. Characters that the terminal lacks
    are replaced.

    Args:
        label: what the line begins with.
    """

    def on_termination(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, on_termination)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        status = work()
        return status if isinstance(status, int) else 0
    except InputError as error:
        status, message = 2, str(error)
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in _REMEDIES:
            raise
        status, message = 1, str(machine_fault(error))
    except Terminated:
        status, message = 128 + signal.SIGTERM, "terminated"
    except KeyboardInterrupt:
        status, message = 128 + signal.SIGINT, "interrupted"
    finally:
        signal.signal(signal.SIGTERM, before)
    print(f"{label}: {message}", file=sys.stderr, flush=True)
    return status


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make machine faults within the block name a file; errors of writing to an open file do not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise


@contextmanager
def full_disk(out: Path) -> Iterator[None]:
    """Turn "no space left" while writing below ``out`` into an :class:`InputError`; the work is resumable."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        fault = f"the disk is full ({error.strerror})"
        raise InputError(out, fault, "free space and run again: it resumes from here") from None


def machine_fault(error: OSError) -> InputError:
    """The line about a full disk, missing permissions and similar faults."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    # Of a failed rename the second name is the one that was asked for.
    place = error.filename2 or error.filename or "this machine"
    return InputError(place, reason, _REMEDIES.get(error.errno or 0, ""))


def check_space(*folders: Path) -> None:
    """Refuse to begin on a disk so full that not even a log could be written.

    Raises:
        InputError: one of the folders that exist is on such a disk.
    """
    for folder in folders:
        if folder.is_dir() and (free := shutil.disk_usage(folder).free) < _LEAST_BYTES:
            raise InputError(folder, f"the disk is full ({free} bytes free)", "free space")
