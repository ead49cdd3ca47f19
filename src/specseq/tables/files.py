"""Files that exist are whole: write beside the target, then rename over it."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from specseq.errors import InputError, naming
from specseq.tables.provenance import digest


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path in the target's folder; rename it onto the target when the block succeeds.

    The temporary file is flushed to disk before the rename and removed when the block fails, so a
    reader sees the old file or the new one and never a part of either.
    """
    # A link stays one: what it points to is written.
    path = Path(os.path.realpath(target)) if os.path.islink(target) else Path(target)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(descriptor)
    temporary = Path(name)
    try:
        with naming(path):
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            with temporary.open("rb") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(target: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def stat_digest(paths: Iterable[Path]) -> str:
    """A digest of names, sizes and times of change: where it is the same, so is the content."""
    stats = {path.name: path.stat() for path in paths}
    return digest({name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()})


def check_target(target: Path, option: str) -> None:
    """Refuse a path that a table cannot be written to, before the hours that it takes to make it.

    Raises:
        InputError: it does not name a Parquet file, or cannot be written; names the ``option``.
    """
    if target.suffix != ".parquet" or target.is_dir():
        raise InputError(option, f"{target} is not a .parquet file", "give a name that ends in .parquet")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writable = os.access(target.parent, os.W_OK)
    except OSError:
        writable = False
    if not writable:
        raise InputError(option, f"{target.parent} cannot be written to", "give another folder")
