"""The zeta study's arrays of spacings (``continuous_clean``, ``continuous_residuals``) as one series.

A folder holds ``train`` and ``val``, each as ``.npy``, or as ``.pt`` by ``torch.save``: rows [R, L] of
consecutive spacings at ascending heights, or of their residuals s - 1. Laid end to end, they are the spacings
from a zero of given index on. The arrays hold no heights. Those used are where the smooth part of the
counting function reaches each index minus a half, within a spacing or two of the zeros.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.training.foreign import read_torch
from specseq.zeros.counts import height_of_index

Array = NDArray[np.float64]

PARTS = ("train", "val")
CHUNK = 1 << 20
# Heights are interpolated over this many indices, since the counting function bends slowly.
_KNOTS = 4097
_NEAR = 0.02


@dataclass(frozen=True)
class SpacingArrays:
    """Spacings from arrays.

    Attributes:
        parts: flat float arrays, memory-mapped if they are NumPy files.
        centred: whether they hold s - 1.
        index: index of the zero before the first spacing.
    """

    parts: tuple[NDArray[np.floating], ...]
    centred: bool
    index: int

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    def pieces(self) -> Iterator[tuple[int, int, Array, Array]]:
        """Position and index of a piece's first spacing, (K,) spacings, and (K + 1,) heights around them.

        Raises:
            InputError: a spacing is not a number, not finite or not positive.
        """
        knots = np.unique(np.linspace(0, len(self), _KNOTS).round())
        # The count at the n-th zero, averaged over just before and just after it, is n - 1/2.
        heights = np.array([height_of_index(self.index + knot - 0.5) for knot in knots])
        at = 0
        for name, part in zip(PARTS, self.parts, strict=True):
            for start in range(0, len(part), CHUNK):
                s = np.asarray(part[start : start + CHUNK], dtype=np.float64) + self.centred
                if not (fit := (s > 0) & np.isfinite(s)).all():
                    place = start + int(np.argmin(fit))
                    fault = f"spacing {place} of {name} is {s[place - start]:g}"
                    raise InputError("arrays", fault, "spacings are positive numbers: rebuild the arrays")
                yield at, self.index + at, s, np.interp(np.arange(at, at + len(s) + 1), knots, heights)
                at += len(s)


def read_arrays(folder: str | os.PathLike[str], index: int) -> SpacingArrays:
    """Open the arrays of a folder; ``index`` is that of the zero before the first spacing of ``train``.

    Raises:
        InputError: an array is missing, unreadable or holds no spacings, or the two are of different kinds.
    """
    parts = tuple(_read(Path(folder), name) for name in PARTS)
    means = [float(np.asarray(part[:CHUNK], dtype=np.float64).mean()) for part in parts]
    for name, mean in zip(PARTS, means, strict=True):
        if min(abs(mean), abs(mean - 1)) > _NEAR:
            fault = f"the mean of {name} is {mean:.4g}, that of spacings 1 and that of residuals 0"
            raise InputError(folder, fault, "give unfolded spacings")
    centred = [abs(mean) < abs(mean - 1) for mean in means]
    if centred[0] != centred[1]:
        fault = "one of train and val holds spacings, the other residuals"
        raise InputError(folder, fault, "give both as spacings or both as residuals")
    return SpacingArrays(parts, centred[0], index)


def _read(folder: Path, name: str) -> NDArray[np.floating]:
    paths = [folder / f"{name}{ending}" for ending in (".npy", ".pt")]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise InputError(folder, f"holds no {name}.npy or {name}.pt", "give the folder of the study's arrays")
    if path.suffix == ".npy":
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(path, f"can't be read ({error})", "give an intact copy") from None
    else:
        tensor = read_torch(path)
        if not hasattr(tensor, "numpy"):
            raise InputError(path, f"holds a {type(tensor).__name__}", "save the tensor alone")
        array = tensor.numpy()
    if array.ndim not in (1, 2) or not np.issubdtype(array.dtype, np.floating) or not array.size:
        fault = f"holds {array.dtype} of shape {list(array.shape)}"
        raise InputError(path, fault, "expected rows of spacings: floats of shape [R, L]")
    return array.reshape(-1)
