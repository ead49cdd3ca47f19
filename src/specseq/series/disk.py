"""A one-line error for a full disk."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from specseq.errors import InputError


@contextmanager
def full_disk(out: Path) -> Iterator[None]:
    """Turn "no space left" while writing below ``out`` into an :class:`InputError`; the work is resumable."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise InputError(
            out, f"the disk is full ({error.strerror})", "free space and run again: it goes on from here"
        ) from None
