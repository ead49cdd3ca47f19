"""Confidence intervals of means over neighbouring windows."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]


# Windows per block; with fewer than two blocks' worth, each window is its own block.
_BLOCK = 10


def block_bootstrap(values: Array, rng: np.random.Generator, draws: int = 1000) -> tuple[float, float]:
    """95 % interval of the mean by the moving-block bootstrap (Künsch 1989, Ann. Statist. 17).

    Args:
        values: (W,) one value per window, in order of height.

    Returns:
        Lower and upper end; both NaN where there are fewer than two windows or a value is NaN.
    """
    count = len(values)
    if count < 2 or not np.isfinite(values).all():
        return float("nan"), float("nan")
    size = _BLOCK if count >= 2 * _BLOCK else 1
    sums = np.convolve(values, np.ones(size), mode="valid")
    picks = rng.integers(0, len(sums), (draws, -(-count // size)))
    means = sums[picks].mean(axis=1) / size
    low, high = np.quantile(means, [(1 - 0.95) / 2, (1 + 0.95) / 2])
    return float(low), float(high)


def mean_interval(values: Array, rng: np.random.Generator, draws: int = 1000) -> tuple[float, float]:
    """95 % interval of the mean of few windows: :func:`block_bootstrap`, but no narrower than Student's.

    Resampling a handful of windows sees only their own values, so its interval is too narrow.
    """
    low, high = block_bootstrap(values, rng, draws=draws)
    if math.isnan(low):
        return low, high
    count, mean = len(values), float(values.mean())
    reach = float(stdtrit(count - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(count)
    return min(low, mean - reach), max(high, mean + reach)
