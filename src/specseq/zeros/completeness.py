"""Proof that no zero is missing: Turing's method.

S(t) = N(t) - θ(t)/π - 1 averages to zero: for 168π < a < b, |∫_a^b S(t) dt| ≤ 2.067 + 0.059 ln b
(Trudgian 2011, Math. Comp. 80, after Turing 1953). The zeros found are sign changes, so N can only be
counted too low. The index of a block's first zero is the integer that brings the mean of S nearest to zero. A
zero lost inside then shifts the mean beyond the bound, and one lost at an end breaks the count to the next
block. So zeros are shown to be complete only if a few more units of height follow them.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.zeros.phase import theta_difference, theta_turns

Array = NDArray[np.float64]

VALID_FROM = 168 * math.pi
"""Height above which the bound holds."""


@dataclass(frozen=True)
class Count:
    """Result of Turing's method on an interval.

    Attributes:
        first: index of the first zero in the interval.
        mean_s: mean of S(t) over the interval.
        bound: largest possible |mean_s|.
    """

    first: int
    mean_s: float
    bound: float

    @property
    def complete(self) -> bool:
        return abs(self.mean_s) <= self.bound


def turing_bound(top: float, length: float) -> float:
    """Largest |mean of S| over an interval of given length that ends at height ``top``."""
    return (2.067 + 0.059 * math.log(top)) / length


def turing_count(t0: float, delta: Array, low: float, high: float) -> Count:
    """Index of the first zero in [t0 + low, t0 + high) and the mean of S there.

    Args:
        t0: reference height, exactly representable.
        delta: (K,) ascending offsets of the zeros found in the interval.
        low, high: the interval's ends as offsets from t0; it lies above :data:`VALID_FROM`.
    """
    turns, excess = _excess(t0, delta, low, high)
    before = -round(excess)
    return Count(2 * turns + 1 + before + 1, excess + before, turing_bound(t0 + high, high - low))


def turing_mean(t0: float, delta: Array, low: float, high: float, first: int) -> tuple[float, float]:
    """Mean of S over an interval whose first zero has the index ``first``, and the bound on its size.

    Args:
        t0, delta, low, high: as for :func:`turing_count`.
        first: index of the first zero in the interval.
    """
    turns, excess = _excess(t0, delta, low, high)
    return excess + (first - 2 * turns - 2), turing_bound(t0 + high, high - low)


def _excess(t0: float, delta: Array, low: float, high: float) -> tuple[int, float]:
    """Turns, and the mean of N - θ/π - 1 over the interval, without its part N(low) - 2·turns."""
    length = high - low
    turns, rest = theta_turns(t0)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    points = low + 0.5 * length * (nodes + 1)
    mean_theta = rest + 0.5 * float(weights @ theta_difference(t0, points))
    return turns, float(np.sum(high - delta)) / length - mean_theta / math.pi
