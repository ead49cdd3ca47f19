"""The anomaly rule: a crop whose later part departs far from the range of its first part is excluded.

z-scores use the mean and standard deviation of the first 30 % of a crop's tokens, with the variance floor of
the models' scaler, so that z is what the loss would see. The rule also affects trends: the end of a straight
line has z = (1 - 0.15)·√12/0.3 = 9.8, so at the published threshold of 8 every crop of a clean line is
rejected. Shapes: S crops.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

VARIANCE_FLOOR = 1e-5


def context_tokens(tokens_S: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of tokens in the first 30 % of each crop, rounded down, at least 1."""
    return np.maximum(3 * tokens_S // 10, 1)


def largest_z_scores(
    heads: Sequence[NDArray[np.float32]], rests: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """max |z| of the later part of each crop.

    Args:
        heads: S arrays, the points that determine mean and standard deviation; NaN where missing.
        rests: S arrays, the points after those.

    Returns:
        ``[S]``, at least 0; infinity where fewer than two points of the head or none after it were observed,
        since there is then nothing to scale by or to learn from.
    """
    count, mean, scale = _location_and_scale(heads)
    sizes = np.array([len(rest) for rest in rests])
    points = np.concatenate(rests)
    low = _over_parts(np.fmin, points, sizes, np.nan)
    high = _over_parts(np.fmax, points, sizes, np.nan)
    z = np.maximum(np.maximum(high - mean, mean - low), 0.0) / scale
    return np.where((count < 2) | np.isnan(low), np.inf, z)


def _over_parts(
    ufunc: np.ufunc, points: NDArray[Any], sizes: NDArray[np.int64], empty: float
) -> NDArray[np.float64]:
    """Reduce consecutive parts of the given sizes; ``empty`` is the result of a part without points."""
    out = np.full(len(sizes), empty)
    filled = np.flatnonzero(sizes)
    if len(filled):
        out[filled] = ufunc.reduceat(points, (np.cumsum(sizes) - sizes)[filled])
    return out


def _location_and_scale(
    parts: Sequence[NDArray[np.float32]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Number of observed points, their mean and √(variance + floor), each ``[S]``."""
    sizes = np.array([len(part) for part in parts])
    points = np.concatenate(parts).astype(np.float64)
    missing = np.isnan(points)
    points[missing] = 0.0
    count = sizes - _over_parts(np.add, missing.astype(np.int64), sizes, 0.0)
    mean = _over_parts(np.add, points, sizes, 0.0) / np.maximum(count, 1)
    points -= np.repeat(mean, sizes)
    points[missing] = 0.0
    square = _over_parts(np.add, points * points, sizes, 0.0)
    return count, mean, np.sqrt(square / np.maximum(count - 1, 1) + VARIANCE_FLOOR)
