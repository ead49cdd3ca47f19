"""Statistics of spacing sequences: autocorrelation, number variance, form factor, intervals of their means.

Spacings have a mean of about one. Unfolded frequencies τ are in units of the mean density; values in the
published convention are 2π times larger, so that its band 3 < τ < 5.5 is .48 < τ < .875 here.

Shapes: W windows, N consecutive spacings.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]

PUBLISHED_BAND = (3 / (2 * math.pi), 5.5 / (2 * math.pi))
# Windows per block; with fewer than two blocks' worth, each window is its own block.
_BLOCK = 10


def autocorrelation(s_WN: Array, lags: int) -> Array:
    """(lags,) autocorrelation at lags 1..lags, around the mean over all windows."""
    centred = s_WN - s_WN.mean()
    variance = (centred**2).mean()
    return np.array([(centred[:, lag:] * centred[:, :-lag]).mean() / variance for lag in range(1, lags + 1)])


def form_factor(s_WN: Array, tau: Array) -> Array:
    """(W, T) spectral form factor K(τ) = |Σ_j exp(2πi τ u_j)|² / N of each window.

    Poisson 1; GUE τ for τ < 1 (the ramp) and 1 beyond. Windows should be long compared with 1/τ and hold a
    whole number of periods; otherwise the mean density adds about sin²(πNτ) / (N sin²(πτ)).
    """
    u_WN = np.cumsum(s_WN, axis=1, dtype=np.float64)
    factors = [np.abs(np.exp(2j * math.pi * t * u_WN).sum(axis=1)) ** 2 for t in tau]
    return np.stack(factors, axis=1) / s_WN.shape[1]


def number_variance(s_WN: Array, lengths: Sequence[float]) -> Array:
    """(len(lengths),) variance of the number of points in intervals of each length within the windows."""
    u_WN = np.cumsum(s_WN, axis=1, dtype=np.float64)
    variances = []
    for length in lengths:
        counts = []
        for u in u_WN:
            starts = np.arange(u[0], u[-1] - length, max(length / 2, 1.0)) + 0.5
            starts = starts[starts + length <= u[-1]]
            counts.append(np.searchsorted(u, starts + length) - np.searchsorted(u, starts))
        flat = np.concatenate(counts)
        variances.append(((flat - length) ** 2).mean() if len(flat) else float("nan"))
    return np.array(variances)


def peak_at_one(s_WN: Array) -> Array:
    """(W,) largest K(τ) for τ within .02 of 1, where the published figures show a "2π peak"."""
    return form_factor(s_WN, np.linspace(0.98, 1.02, 41)).max(axis=1)


def jitter(s_WN: Array, amplitude: float, rng: np.random.Generator) -> Array:
    """Spacings with independent uniform noise of ±amplitude, so that positions stray like a random walk."""
    return s_WN + rng.uniform(-amplitude, amplitude, s_WN.shape)


def jitter_positions(s_WN: Array, amplitude: float, rng: np.random.Generator) -> Array:
    """Spacings of points that each stray by independent uniform noise of ±amplitude.

    At amplitude a, this multiplies the excess of the form factor over 1 by (sin(2πτa) / (2πτa))². A peak
    caused by positions on a grid vanishes when a is the grid's step.
    """
    noise = rng.uniform(-amplitude, amplitude, (len(s_WN), s_WN.shape[1] + 1))
    return s_WN + np.diff(noise, axis=1)


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
