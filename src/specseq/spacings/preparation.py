"""Cuts or draws the sets of :mod:`specseq.spacings.sets`, from a table of zeros or from arrays."""

import hashlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.seeding import generator
from specseq.spacings.arrays import read_arrays
from specseq.spacings.config import SpacingSplits
from specseq.spacings.gue import gue_segment, poisson_segment, segment_length
from specseq.spacings.sets import HEIGHT_EVERY
from specseq.tables import Provenance, write_parquet
from specseq.tables.files import atomic_path
from specseq.zeros.catalogue import count_zeros, read_zeros
from specseq.zeros.selection import Zeros, spacings

Array = NDArray[np.float64]

Pieces = Iterator[tuple[int, int, Array, Array]]
"""Position and index of a piece's first spacing, (K,) spacings, (K + 1,) heights of the zeros around them."""


def write_spacing_sets(
    zeros: os.PathLike[str] | None, folder: Path, splits: SpacingSplits, provenance: Provenance
) -> pd.DataFrame:
    """Write all sets and their manifest; memory holds one float32 split at a time, whatever the table's size.

    Args:
        zeros: a table of zeros, checked for completeness while it is read; None if ``splits`` names arrays.

    Raises:
        InputError: the table or the arrays can't be read or are too short, or the table is incomplete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if zeros is None:
        assert splits.arrays is not None
        arrays = read_arrays(splits.arrays, splits.index)
        count, pieces = len(arrays), arrays.pieces()
    else:
        count, pieces = count_zeros(zeros) - 1, _pieces(zeros)
    cuts = splits.cut(count)
    rows = []
    for split, (first, height, real) in _real(pieces, folder, cuts).items():
        rows.append(_row(folder, "real", split, real, len(real), first, height))
        rng = generator(splits.seed, "shuffled", split)
        shuffled = rng.permutation(np.asarray(real))
        _save(folder / f"shuffled_{split}.npy", shuffled)
        rows.append(_row(folder, "shuffled", split, shuffled, len(real), -1, height))
        for name in ("gue", "poisson"):
            rng, segment = generator(splits.seed, name, split), segment_length(splits.matrix_size)
            # Whole segments, at least as many spacings as asked for.
            segments = [
                gue_segment(splits.matrix_size, rng) if name == "gue" else poisson_segment(segment, rng)
                for _ in range(math.ceil(min(splits.controls, len(real)) / segment))
            ]
            drawn = np.concatenate(segments).astype(np.float32)
            _save(folder / f"{name}_{split}.npy", drawn)
            marks = math.ceil(len(drawn) / HEIGHT_EVERY) + 1
            borrowed = np.pad(height[:marks], (0, max(0, marks - len(height))), mode="edge")
            rows.append(_row(folder, name, split, drawn, segment, -1, borrowed))
    manifest = pd.DataFrame(rows)
    write_parquet(folder / "manifest.parquet", manifest, provenance)
    return manifest


def _real(
    pieces: Pieces, folder: Path, cuts: dict[str, tuple[int, int]]
) -> dict[str, tuple[int, Array, NDArray[np.float32]]]:
    """Fill the real splits from pieces of the series: first index, heights and spacings of each."""
    files = {
        split: np.lib.format.open_memmap(
            folder / f"real_{split}.npy", mode="w+", dtype=np.float32, shape=(stop - start,)
        )
        for split, (start, stop) in cuts.items()
    }
    heights = {split: np.empty(math.ceil((b - a) / HEIGHT_EVERY) + 1) for split, (a, b) in cuts.items()}
    origin: dict[str, int] = {}
    for at, index, s, gamma in pieces:
        for split, (start, stop) in cuts.items():
            low, high = max(start, at), min(stop, at + len(s))
            if low >= high:
                continue
            files[split][low - start : high - start] = s[low - at : high - at]
            origin.setdefault(split, index + low - at)
            marks = np.arange(-(-(low - start) // HEIGHT_EVERY) * HEIGHT_EVERY, high - start, HEIGHT_EVERY)
            heights[split][marks // HEIGHT_EVERY] = gamma[marks + start - at]
            heights[split][-1] = gamma[high - at]
    for file in files.values():
        file.flush()
    return {split: (origin[split], heights[split], files[split]) for split in cuts}


def _pieces(zeros: os.PathLike[str]) -> Pieces:
    """Pieces from batches that overlap by one zero."""
    at, last = 0, None
    for batch in read_zeros(zeros):
        piece = batch if last is None else Zeros.join([last, batch])
        yield at, int(piece.n[0]), spacings(piece), piece.gamma
        at += len(piece) - 1
        last = piece[-1:]


def _save(path: Path, values: NDArray[np.float32] | Array) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, values)


def _row(
    folder: Path, name: str, split: str, values: NDArray[np.float32], segment: int, first: int, heights: Array
) -> dict[str, object]:
    _save(folder / f"{name}_{split}_heights.npy", heights)
    s = np.asarray(values, dtype=np.float64)
    centred = s - s.mean()
    return {
        "set": name,
        "split": split,
        "file": f"{name}_{split}.npy",
        "heights_file": f"{name}_{split}_heights.npy",
        "count": len(s),
        "segment": segment,
        "first_index": first,
        "low": float(heights[0]),
        "high": float(heights[-1]),
        "mean": float(s.mean()),
        "std": float(s.std()),
        "acf1": float((centred[1:] * centred[:-1]).mean() / centred.var()) if centred.any() else math.nan,
        "sha256": hashlib.sha256(np.ascontiguousarray(values).data).hexdigest(),
    }
