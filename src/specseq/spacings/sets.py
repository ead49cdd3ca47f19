"""Sets of spacings on disk: real, shuffled, GUE and Poisson, in separate bands, under one manifest.

A folder holds ``<set>_<split>.npy`` (float32 spacings), ``<set>_<split>_heights.npy`` (float64: the height
γ at the start of every :data:`HEIGHT_EVERY` spacings) and ``manifest.parquet``, one row per set and split:

============= ========================================================================================
set, split    real, shuffled, gue or poisson; train, selection or test
file          name of the spacings' file in the folder; ``heights_file`` names the heights' file
count         number of spacings
segment       spacings are consecutive only within segments of this length
first_index   index n of the first spacing s_n; -1 where the set has none
low, high     heights of the band
mean, std     mean and standard deviation of the spacings
acf1          their lag-1 autocorrelation
sha256        checksum of the spacings' bytes
============= ========================================================================================

Train, selection and test lie at ascending heights with a gap between them, so no window of one overlaps or
neighbours another. Shuffled sets permute the spacings within a split, which keeps the marginal distribution
and destroys the order. GUE and Poisson sets borrow the real heights, for models that take a height as input.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.tables import read_rows

Array = NDArray[np.float64]

HEIGHT_EVERY = 256


@dataclass(frozen=True)
class SpacingSet:
    """One set and split, memory-mapped.

    Attributes:
        spacings: (N,) float32, consecutive inside segments.
        heights: height at every :data:`HEIGHT_EVERY`-th spacing, and at the end.
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
        """Start positions of windows of a given length that neither overlap nor cross a segment's end.

        Args:
            length: spacings per window.
            count: number of positions, spread evenly over the set; all if None or if fewer exist.

        Raises:
            InputError: no window fits.
        """
        per_segment = self.segment // length
        segments = len(self.spacings) // self.segment
        if per_segment * segments == 0:
            fault = f"no window of {length} spacings fits, {min(self.segment, len(self))} are in a row"
            raise InputError(self.name, fault, "use more zeros or shorter windows")
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

    Raises:
        InputError: the manifest has no such row, or a file does not fit it.
    """
    rows = {f"{row['set']}/{row['split']}": row for row in read_rows(manifest)}
    if f"{name}/{split}" not in rows:
        raise InputError(manifest, f"there is no set {name}/{split}", f"known are {', '.join(sorted(rows))}")
    row = rows[f"{name}/{split}"]
    folder, remedy = Path(manifest).parent, "run the stage spacings again"
    try:
        values = np.load(folder / row["file"], mmap_mode="r", allow_pickle=False)
        heights = np.load(folder / row["heights_file"], allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(folder / row["file"], f"can't be read ({error})", remedy) from None
    if values.shape != (row["count"],) or values.dtype != np.float32:
        raise InputError(folder / row["file"], f"shape {values.shape}, expected {row['count']}", remedy)
    return SpacingSet(values, int(row["segment"]), heights, f"{name}/{split}")
