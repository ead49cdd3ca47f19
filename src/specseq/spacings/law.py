"""The distribution of training windows, and the distance of other windows from it.

Shapes: W windows, N spacings.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.spacings.sets import SpacingSet

Array = NDArray[np.float64]

_MOST_WINDOWS = 20_000
_LEAST_PER_SPACING = 10


@dataclass(frozen=True)
class TrainingLaw:
    """Mean (N,) and whitening matrix (N, N) of windows of N training spacings."""

    mean: Array
    whitening: Array

    def distance(self, s_WN: Array) -> Array:
        """(W,) squared Mahalanobis distance per spacing; its mean over the law's own windows is 1."""
        return np.asarray((((s_WN - self.mean) @ self.whitening) ** 2).mean(axis=1))


def training_law(train: SpacingSet, length: int, where: str) -> TrainingLaw:
    """The law of training windows of a given length.

    Args:
        where: setting that requires it, for the message.

    Raises:
        InputError: the split has too few windows for a covariance, or it is singular.
    """
    starts = train.starts(length, _MOST_WINDOWS)
    if len(starts) < _LEAST_PER_SPACING * length:
        fault = f"{train.name} has {len(starts)} windows of {length} spacings"
        raise InputError(where, fault, f"use more zeros: {_LEAST_PER_SPACING * length} are needed")
    s_WN = train.windows(starts, length).astype(np.float64)
    mean = s_WN.mean(axis=0)
    covariance = (s_WN - mean).T @ (s_WN - mean) / len(s_WN)
    try:
        return TrainingLaw(mean, np.linalg.inv(np.linalg.cholesky(covariance)).T)
    except np.linalg.LinAlgError:
        fault = f"windows of {length} spacings of {train.name} have a singular covariance"
        raise InputError(where, fault, "give spacings that vary, or measure no drift") from None
