"""Reader for D. Platt's binary files of zeros, one or a folder of them, as distributed by the LMFDB.

Little-endian: u64 number of blocks; each block f64 t0, f64 t1, u64 N(t0), u64 N(t1), then N(t1) - N(t0)
records of 13 bytes (u64, u32, u8: low to high parts of one integer Z), the increments from zero to zero:
γ = t0 + Σ Z·2^-101, the sum restarting in each block. Bytes after the last block are ignored.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from specseq.errors import InputError
from specseq.zeros.selection import Zeros

_HEADER = struct.Struct("<ddQQ")
_RECORD = np.dtype([("low", "<u8"), ("mid", "<u4"), ("high", "u1")])
_LARGEST_BLOCK = 1 << 28


def read_platt(source: str | os.PathLike[str]) -> Iterator[Zeros]:
    """Zeros block by block.

    Raises:
        InputError: the file ends inside a block, or a block's heights or counts make no sense; the error
            names the block.
    """
    path = Path(source)
    if not path.is_file():
        raise InputError(source, "no such file", "name a Platt .dat file")
    with path.open("rb") as handle:
        prefix = handle.read(8)
        if len(prefix) < 8:
            raise InputError(source, "shorter than the number of blocks", "download the file again")
        (blocks,) = struct.unpack("<Q", prefix)
        due: int | None = None
        for number in range(1, blocks + 1):
            name = f"block {number} of {blocks}"
            header = handle.read(_HEADER.size)
            if len(header) < _HEADER.size:
                raise InputError(source, f"ends in the header of {name}", "download the file again")
            t0, t1, before, last = _HEADER.unpack(header)
            if not (0 <= t0 < t1 < 1e30 and before <= last <= before + _LARGEST_BLOCK):
                fault = f"{name} has heights {t0}..{t1}, counts {before}..{last}"
                raise InputError(source, fault, "it is corrupt")
            if due is not None and before != due:
                raise InputError(
                    source, f"{name} starts after zero {before}, expected {due}", "it is corrupt"
                )
            due = last
            content = handle.read((last - before) * _RECORD.itemsize)
            if len(content) < (last - before) * _RECORD.itemsize:
                raise InputError(source, f"ends in the zeros of {name}", "download the file again")
            delta = _offsets(np.frombuffer(content, _RECORD))
            if len(delta) and not (
                np.all(np.diff(delta) > 0) and delta[0] >= 0 and t0 + delta[-1] <= t1 * (1 + 1e-12)
            ):
                fault = f"zeros of {name} leave {t0}..{t1} or do not ascend"
                raise InputError(source, fault, "it is corrupt")
            yield Zeros(np.arange(before + 1, last + 1, dtype=np.int64), np.full(len(delta), t0), delta)


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
            raise InputError(path, f"begins at zero {before + 1}, expected {due}", _remedy(files))
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
    files = sorted((_before(path), path) for path in source.glob("*.dat"))
    if not files:
        raise InputError(source, "holds no file *.dat", "give the folder of D. Platt's files")
    return files


def _before(path: Path) -> int:
    """N(t0) of a file's first block."""
    try:
        with path.open("rb") as handle:
            head = handle.read(32)
    except OSError:
        raise InputError(path, "no such file", "name a Platt .dat file") from None
    if len(head) < 32:
        raise InputError(path, "shorter than the header of a block", "download the file again")
    return int(struct.unpack("<QddQ", head)[3])


def _offsets(records: np.ndarray) -> np.ndarray:
    """Running sums of Z·2^-101 in float64, from exact integer sums of 32- and 40-bit parts."""
    low = np.cumsum(records["low"] & np.uint64(0xFFFFFFFF), dtype=np.uint64)
    middle = np.cumsum(records["low"] >> np.uint64(32), dtype=np.uint64)
    high = np.cumsum(records["mid"].astype(np.uint64) + (records["high"].astype(np.uint64) << np.uint64(32)))
    return np.asarray(high * 2.0**-37 + (middle * 2.0**-69 + low * 2.0**-101))
