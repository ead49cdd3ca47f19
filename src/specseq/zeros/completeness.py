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
    """Index of the first zero in an interval, the mean of S(t) there, and the largest possible |mean|."""

    first: int
    mean_s: float
    bound: float

    @property
    def complete(self) -> bool:
        return abs(self.mean_s) <= self.bound


def turing_count(t0: float, delta: Array, low: float, high: float, first: int | None = None) -> Count:
    """Mean of S over [t0 + low, t0 + high), and the index of the first zero there.

    Args:
        t0: reference height, exactly representable.
        delta: (K,) ascending offsets of the zeros found in the interval.
        low, high: the interval's ends as offsets from t0; it lies above :data:`VALID_FROM`.
        first: the index; by default the one that brings the mean nearest to zero.
    """
    length = high - low
    turns, rest = theta_turns(t0)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    points = low + 0.5 * length * (nodes + 1)
    mean_theta = rest + 0.5 * float(weights @ theta_difference(t0, points))
    # The mean of N - θ/π - 1 over the interval, without its part N(low) - 2·turns.
    excess = float(np.sum(high - delta)) / length - mean_theta / math.pi
    before = -round(excess) if first is None else first - 2 * turns - 2
    bound = (2.067 + 0.059 * math.log(t0 + high)) / length
    return Count(2 * turns + 2 + before, excess + before, bound)
