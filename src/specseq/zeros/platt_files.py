"""A range of zeros from D. Platt's binary files, one file or a folder of them."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from specseq.errors import InputError
from specseq.zeros.platt import read_platt
from specseq.zeros.selection import Zeros

ENDING = ".dat"


def read_platt_range(
    source: str | os.PathLike[str], index: int | None = None, count: int | None = None
) -> Iterator[Zeros]:
    """Consecutive zeros block by block.

    Files of a folder are read in the order of their indices; files without zeros of the range are not read.

    Args:
        source: a file, or a folder of files ``*.dat``.
        index: index of the first zero; by default the first in the files.
        count: number of zeros; by default all from there on.

    Raises:
        InputError: the range is not in the files, a file is missing between two others, or one is faulty.
    """
    files = _in_order(Path(source))
    first = files[0][0] + 1 if index is None else index
    stop = None if count is None else first + count
    due = first
    for (before, path), following in zip(files, [*files[1:], None], strict=True):
        if (following is not None and following[0] < first) or (stop is not None and before + 1 >= stop):
            continue
        if before + 1 > due:
            raise InputError(path, f"begins at zero {before + 1}, {due} is due", _remedy(files))
        for zeros in read_platt(path):
            here = zeros[max(0, due - before - 1) : None if stop is None else max(0, stop - before - 1)]
            before += len(zeros)
            if len(here):
                due = int(here.n[-1]) + 1
                yield here
    if due == first or (stop is not None and due < stop):
        held = f"zeros {files[0][0] + 1} to {due - 1}" if due > first else f"no zero {first}"
        wanted = f"; {first} to {stop - 1} are wanted" if stop is not None else ""
        raise InputError(source, f"holds {held}{wanted}", _remedy(files))


def _remedy(files: list[tuple[int, Path]]) -> str:
    return f"set index and count to zeros that are there, from {files[0][0] + 1} on, or add files"


def _in_order(source: Path) -> list[tuple[int, Path]]:
    """The files in order, each with the number of zeros before its first."""
    if not source.is_dir():
        return [(_before(source), source)]
    files = sorted((_before(path), path) for path in source.glob(f"*{ENDING}"))
    if not files:
        raise InputError(source, f"holds no file *{ENDING}", "give the folder of D. Platt's files")
    return files


def _before(path: Path) -> int:
    """N(t0) of a file's first block."""
    try:
        with path.open("rb") as handle:
            head = handle.read(32)
    except OSError:
        raise InputError(path, "no such file", "name a Platt .dat file") from None
    if len(head) < 32:
        raise InputError(path, "shorter than the header of a block", "fetch the file anew")
    return int(struct.unpack("<QddQ", head)[3])
