"""Sets of spacings on disk: real, shuffled, GUE and Poisson, in bands that do not touch, under one manifest.

A folder holds ``<set>_<split>.npy`` (float32 spacings), ``<set>_<split>_heights.npy`` (float64: the height
γ at the start of every :data:`HEIGHT_EVERY` spacings) and ``manifest.parquet``, one row a set and split:

============= ========================================================================================
set, split    real, shuffled, gue or poisson; train, selection or test
file          name of the spacings' file in the folder; ``heights_file`` that of the heights
count         number of spacings
segment       spacings are consecutive inside segments of this length, and only there
first_index   index n of the first spacing s_n; -1 where the set has none
low, high     heights of the band
mean, std     of the spacings
acf1          their lag-1 autocorrelation
sha256        of the spacings' bytes
============= ========================================================================================

Train, selection and test lie at ascending heights with a gap between them, so no window of one overlaps or
neighbours another. Shuffled sets permute the spacings within a split: the same marginal distribution, no
order. GUE and Poisson sets borrow the real heights, since a model that is told the height must be told
something.
"""

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.seeding import generator
from specseq.tables import Provenance, read_parquet, write_parquet
from specseq.tables.files import atomic_path
from specseq.zeta.catalogue import read_zeros
from specseq.zeta.gue import gue_segment, poisson_segment, segment_length
from specseq.zeta.selection import Zeros
from specseq.zeta.unfolding import spacings

Array = NDArray[np.float64]

SETS = ("real", "shuffled", "gue", "poisson")
SPLITS = ("train", "selection", "test")
HEIGHT_EVERY = 256


@dataclass(frozen=True)
class Plan:
    """How the sets are cut.

    Attributes:
        shares: shares of the spacings that train, selection and test get; they sum to at most one.
        gap: spacings left out between two splits.
        controls: at most this many spacings in a split of the GUE and Poisson sets.
        matrix_size: size of the GUE matrices.
        seed: of shuffling and controls.
    """

    shares: tuple[float, float, float] = (0.9, 0.05, 0.05)
    gap: int = 4096
    controls: int = 1_000_000
    matrix_size: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", tuple(self.shares))
        if len(self.shares) != 3 or min(self.shares) <= 0 or sum(self.shares) > 1 + 1e-9:
            raise InputError("shares", f"{self.shares}", "three positive shares that sum to at most one")
        if self.gap < 1 or self.controls < 1 or self.matrix_size < 20:
            raise InputError("spacings", "gap, controls or matrix_size is too small", "see the schema")

    def cut(self, count: int) -> dict[str, tuple[int, int]]:
        """First and last-but-one position of each split among ``count`` spacings."""
        free = count - 2 * self.gap
        cuts, start = {}, 0
        for split, share in zip(SPLITS, self.shares, strict=True):
            size = int(share * free)
            if size < 64:
                raise InputError(
                    "spacings",
                    f"{count} spacings leave {size} for {split}",
                    "use more zeros or a smaller gap",
                )
            cuts[split] = (start, start + size)
            start += size + self.gap
        return cuts


def write_spacing_sets(
    zeros: os.PathLike[str], folder: Path, plan: Plan, provenance: Provenance
) -> pd.DataFrame:
    """Write all sets and their manifest; memory stays at one split of float32, whatever the table's size.

    Args:
        zeros: a table of zeros; completeness is checked as it is read.
        folder: where the sets go.
        plan: how they are cut.
        provenance: goes into the manifest's footer.

    Raises:
        InputError: the table can't be read, is incomplete or too short.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cuts = plan.cut(_rows(zeros) - 1)
    rows = []
    for split, (first, height, made) in _real(zeros, folder, cuts).items():
        rows.append(_row(folder, "real", split, made, len(made), first, height))
        rng = generator(plan.seed, "shuffled", split)
        shuffled = rng.permutation(np.asarray(made))
        _save(folder / f"shuffled_{split}.npy", shuffled)
        rows.append(_row(folder, "shuffled", split, shuffled, len(made), -1, height))
        for name in ("gue", "poisson"):
            drawn = _control(name, min(plan.controls, len(made)), plan, generator(plan.seed, name, split))
            _save(folder / f"{name}_{split}.npy", drawn)
            kept = height[: math.ceil(len(drawn) / HEIGHT_EVERY) + 1]
            kept = np.pad(
                kept, (0, max(0, math.ceil(len(drawn) / HEIGHT_EVERY) + 1 - len(kept))), mode="edge"
            )
            rows.append(_row(folder, name, split, drawn, segment_length(plan.matrix_size), -1, kept))
    manifest = pd.DataFrame(rows)
    write_parquet(folder / "manifest.parquet", manifest, provenance)
    return manifest


def _control(name: str, count: int, plan: Plan, rng: np.random.Generator) -> NDArray[np.float32]:
    """Whole segments of a control set, at least ``count`` spacings."""
    segment = segment_length(plan.matrix_size)
    pieces = [
        gue_segment(plan.matrix_size, rng) if name == "gue" else poisson_segment(segment, rng)
        for _ in range(math.ceil(count / segment))
    ]
    return np.concatenate(pieces).astype(np.float32)


def _rows(zeros: os.PathLike[str]) -> int:
    try:
        return int(pq.read_metadata(os.fspath(zeros)).num_rows)
    except FileNotFoundError:
        raise InputError(zeros, "no such table of zeros", "make it with: specseq zeros --out FILE") from None


def _real(
    zeros: os.PathLike[str], folder: Path, cuts: dict[str, tuple[int, int]]
) -> dict[str, tuple[int, Array, NDArray[np.float32]]]:
    """Fill the real splits from the table, batch by batch: first index, heights and spacings of each."""
    files = {
        split: np.lib.format.open_memmap(
            folder / f"real_{split}.npy", mode="w+", dtype=np.float32, shape=(stop - start,)
        )
        for split, (start, stop) in cuts.items()
    }
    heights = {split: np.empty(math.ceil((b - a) / HEIGHT_EVERY) + 1) for split, (a, b) in cuts.items()}
    origin: dict[str, int] = {}
    for at, piece in _pieces(zeros):
        s, gamma = spacings(piece), piece.gamma
        for split, (start, stop) in cuts.items():
            low, high = max(start, at), min(stop, at + len(s))
            if low >= high:
                continue
            files[split][low - start : high - start] = s[low - at : high - at]
            origin.setdefault(split, int(piece.n[low - at]))
            marks = np.arange(-(-(low - start) // HEIGHT_EVERY) * HEIGHT_EVERY, high - start, HEIGHT_EVERY)
            heights[split][marks // HEIGHT_EVERY] = gamma[marks + start - at]
            heights[split][-1] = gamma[high - at]
    for file in files.values():
        file.flush()
    return {split: (origin[split], heights[split], files[split]) for split in cuts}


def _pieces(zeros: os.PathLike[str]) -> Iterator[tuple[int, Zeros]]:
    """Batches that overlap by one zero, with the position of each one's first spacing."""
    at, last = 0, None
    for batch in read_zeros(zeros):
        piece = batch if last is None else Zeros.join([last, batch])
        yield at, piece
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
        "acf1": float((centred[1:] * centred[:-1]).mean() / centred.var()),
        "sha256": hashlib.sha256(np.ascontiguousarray(values).data).hexdigest(),
    }


@dataclass(frozen=True)
class SpacingSet:
    """One set and split, memory-mapped.

    Attributes:
        spacings: (N,) float32, consecutive inside segments.
        segment: length of a segment.
        heights: height at every :data:`HEIGHT_EVERY`-th spacing, and at the end.
        name: ``<set>/<split>``.
    """

    spacings: NDArray[np.float32]
    segment: int
    heights: Array
    name: str

    def __len__(self) -> int:
        return len(self.spacings)

    def height(self, position: NDArray[np.int64]) -> Array:
        """Heights of the zeros before the spacings at these positions, by linear interpolation."""
        marks = np.minimum(np.arange(len(self.heights)) * HEIGHT_EVERY, len(self.spacings))
        return np.interp(position, marks, self.heights)

    def starts(self, length: int, count: int | None = None) -> NDArray[np.int64]:
        """Positions of windows of a length that neither overlap nor leave their segment.

        Args:
            length: spacings a window.
            count: how many are wanted, spread evenly over the set; all if None or if there are fewer.

        Raises:
            InputError: not one fits.
        """
        per_segment = self.segment // length
        segments = len(self.spacings) // self.segment
        if per_segment * segments == 0:
            raise InputError(
                self.name, f"no window of {length} spacings fits", "use more zeros or shorter windows"
            )
        each = np.arange(per_segment) * length
        every = (np.arange(segments)[:, None] * self.segment + each).ravel()
        if count is None or count >= len(every):
            return every
        return every[np.linspace(0, len(every) - 1, count).round().astype(int)]

    def windows(self, starts: NDArray[np.int64], length: int) -> NDArray[np.float32]:
        """(W, length) spacings from each start on."""
        return np.asarray(self.spacings[starts[:, None] + np.arange(length)])


def load_spacing_set(manifest: os.PathLike[str], name: str, split: str) -> SpacingSet:
    """Open one set and split.

    Args:
        manifest: ``manifest.parquet``.
        name: one of :data:`SETS`.
        split: one of :data:`SPLITS`.

    Raises:
        InputError: the manifest has no such row, or a file does not fit it.
    """
    table = read_parquet(manifest)
    found = table[(table["set"] == name) & (table["split"] == split)]
    if len(found) != 1:
        known = sorted({f"{a}/{b}" for a, b in zip(table["set"], table["split"], strict=True)})
        raise InputError(manifest, f"there is no set {name}/{split}", f"known are {', '.join(known)}")
    row = found.iloc[0]
    folder = Path(manifest).parent
    try:
        values = np.load(folder / row["file"], mmap_mode="r", allow_pickle=False)
        heights = np.load(folder / row["heights_file"], allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            folder / row["file"], f"can't be read ({error})", "run the stage spacings again"
        ) from None
    if values.shape != (row["count"],) or values.dtype != np.float32:
        raise InputError(
            folder / row["file"], f"shape {values.shape}, {row['count']} due", "run the stage spacings again"
        )
    return SpacingSet(values, int(row["segment"]), heights, f"{name}/{split}")
