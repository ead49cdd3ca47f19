"""Synthetic series in the manner of KernelSynth (Ansari et al. 2024, arXiv:2403.07815, section 4.2).

A series is a sample of a Gaussian process whose kernel combines up to five base kernels by random sums and
products, with periods natural to the frequency. Shapes: T time steps, K draws.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import toeplitz

from specseq import seeding
from specseq.series.config import MOST_STEPS
from specseq.series.frequency import parse_frequency

Kernel = NDArray[np.float64]

_MOST_KERNELS = 5
_DRAWS = 4  # series drawn from each composed kernel, K
# Frequency unit -> periods in units, longest last; periods below 2 steps of a frequency are not used.
_PERIODS = {
    "S": (60, 300, 3600),
    "T": (60, 720, 1440, 10080),
    "H": (12, 24, 168),
    "D": (7, 14, 30, 365),
    "B": (5, 21, 252),
    "W": (4, 13, 26, 52),
    "M": (3, 6, 12, 24),
    "Q": (2, 4, 8),
    "A": (4, 7, 11, 22),
}


def kernel_bank(frequency: str, steps: int) -> list[Callable[[], Kernel]]:
    """The base kernels at a frequency, as functions that build ``float64 [T, T]``.

    Time runs from 0 to 1 over the T steps; length scales are fractions of the whole length.
    """
    unit = parse_frequency(frequency)
    time = np.linspace(0.0, 1.0, steps)
    lag = np.arange(steps) / max(steps - 1, 1)

    def stationary(correlation: NDArray[np.float64]) -> Callable[[], Kernel]:
        return partial(toeplitz, correlation)

    bank: list[Callable[[], Kernel]] = []
    for period in _PERIODS[unit.unit]:
        in_steps = period / unit.multiple
        if 2 <= in_steps <= steps:
            bank.append(stationary(np.exp(-2 * np.sin(np.pi * np.arange(steps) / in_steps) ** 2)))
    bank += [stationary(np.exp(-0.5 * (lag / scale) ** 2)) for scale in (0.1, 1.0, 10.0)]
    bank += [stationary((1 + 0.5 * lag**2 / alpha) ** -alpha) for alpha in (0.1, 1.0, 10.0)]
    bank += [partial(_linear, time, variance) for variance in (0.0, 1.0, 10.0)]
    bank += [partial(_white, steps, variance) for variance in (0.1, 1.0)]
    bank.append(partial(np.ones, (steps, steps)))
    return bank


def _linear(time: NDArray[np.float64], variance: float) -> Kernel:
    """A line with random slope, and a random level of the given variance."""
    return variance + np.outer(time, time)


def _white(steps: int, variance: float) -> Kernel:
    return variance * np.eye(steps)


def compose(generator: np.random.Generator, bank: list[Callable[[], Kernel]]) -> Kernel:
    """A random kernel: one to five kernels of the bank, combined from the left by random + and ×."""
    count = generator.integers(1, _MOST_KERNELS, endpoint=True)
    chosen = generator.integers(0, len(bank), count)
    kernel = bank[chosen[0]]()
    for number, plus in zip(chosen[1:], generator.random(count - 1) < 0.5, strict=True):
        kernel = kernel + bank[number]() if plus else kernel * bank[number]()
    return kernel


def sample(generator: np.random.Generator, kernel: Kernel, draws: int) -> NDArray[np.float64]:
    """Draws of the zero-mean Gaussian process, ``[K, T]``."""
    steps = len(kernel)
    # The smallest jitter, relative to the variance, that makes a rank-deficient kernel numerically definite.
    variance = max(float(np.trace(kernel)) / steps, 1e-12)
    for jitter in (1e-8, 1e-6, 1e-4, 1e-2):
        try:
            factor = np.linalg.cholesky(kernel + jitter * variance * np.eye(steps))
        except np.linalg.LinAlgError:
            continue
        return generator.standard_normal((draws, steps)) @ factor.T
    raise AssertionError("a sum of products of positive semidefinite kernels is positive semidefinite")


def synthetic_series(seed: int, frequency: str, count: int, steps: int) -> NDArray[np.float32]:
    """Many synthetic series of one frequency.

    Args:
        seed: determines everything; a longer list begins with the shorter one.
        frequency: alias, which determines the periods.
        steps: T of each, at most :data:`MOST_STEPS`.

    Returns:
        ``float32 [count, T]``, none of them constant.
    """
    if not 2 <= steps <= MOST_STEPS:
        raise ValueError(f"steps must lie in 2..{MOST_STEPS}, found {steps}")
    generator = seeding.generator(seed, "synthetic", frequency, steps)
    bank = kernel_bank(frequency, steps)
    series: list[NDArray[np.float32]] = []
    while len(series) < count:
        kernel = compose(generator, bank)
        # A random level and scale, as in real series, limited so that float32 resolves the fluctuations.
        level, scale = generator.normal(0, 10, (_DRAWS, 1)), np.exp(generator.normal(0, 1, (_DRAWS, 1)))
        rows = (level + scale * sample(generator, kernel, _DRAWS)).astype(np.float32)
        series += [row for row in rows if np.ptp(row) > 1e-3 * (1 + np.abs(row).max())]
    return np.stack(series[:count])
