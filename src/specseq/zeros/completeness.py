"""Proof that no zero is missing: Turing's method.

S(t) = N(t) - θ(t)/π - 1 averages to nothing: for 168π < a < b, |∫_a^b S(t) dt| ≤ 2.067 + 0.059 ln b
(Trudgian 2011, Math. Comp. 80, after Turing 1953). The zeros found are sign changes, so N can only be
counted too low. Choosing the index of a block's first zero as the integer that brings the mean of S nearest
to nothing, a zero lost inside shifts the mean beyond the bound, and one lost at an end breaks the count to
the next block.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.zeros.phase import theta_difference, theta_turns

Array = NDArray[np.float64]

VALID_FROM = 168 * math.pi
ZEROS_BELOW_VALID = 288
"""N(168π), for the stretch that the bound does not reach."""


@dataclass(frozen=True)
class Count:
    """What Turing's method says of an interval.

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
    """Largest |mean of S| over an interval of a length that ends at height ``top``."""
    return (2.067 + 0.059 * math.log(top)) / length


def turing_count(t0: float, delta: Array, low: float, high: float) -> Count:
    """Index of the first zero in [t0 + low, t0 + high) and the mean of S there.

    Args:
        t0: reference height, exactly representable.
        delta: (K,) ascending offsets of the zeros found in the interval.
        low, high: the interval's ends as offsets from t0; it lies above :data:`VALID_FROM`.
    """
    length = high - low
    turns, rest = theta_turns(t0)
    nodes, weights = np.polynomial.legendre.leggauss(24)
    points = low + 0.5 * length * (nodes + 1)
    mean_theta = rest + 0.5 * float(weights @ theta_difference(t0, points))
    # Mean of N over the interval, less the unknown N(low), and of θ/π + 1 less 2·turns + 1.
    excess = float(np.sum(high - delta)) / length - mean_theta / math.pi
    before = -round(excess)
    return Count(2 * turns + 1 + before + 1, excess + before, turing_bound(t0 + high, length))


def verify(n: NDArray[np.int64], t0: Array, delta: Array, window: int = 4096) -> dict[str, float | int]:
    """Check a table of zeros from its numbers alone.

    Indices must be contiguous, heights ascending, and in each window of zeros the mean of S must name the
    index that the table gives, within Turing's bound.

    Args:
        n, t0, delta: (K,) columns of a table of zeros; γ = t0 + delta.
        window: zeros per check; the table's zeros below 168π are checked for contiguity alone.

    Returns:
        ``zeros``, ``windows``, ``largest_mean_s`` and ``largest_share_of_bound`` over the windows.

    Raises:
        InputError: a zero is missing, repeated or displaced; the error names its neighbourhood.
    """
    if len(n) == 0:
        raise InputError("zeros", "the table is empty", "compute at least one zero")
    gaps = np.nonzero(np.diff(n) != 1)[0]
    if len(gaps):
        raise InputError(
            "zeros", f"index jumps from {n[gaps[0]]} to {n[gaps[0] + 1]}", "recompute this stretch"
        )
    rise = np.diff(t0) + np.diff(delta)
    if not (np.isfinite(rise).all() and (rise > 0).all()):
        at = int(n[np.nonzero(~(rise > 0))[0][0]])
        raise InputError("zeros", f"heights do not ascend at index {at}", "recompute this stretch")
    start = int(np.searchsorted(t0 + delta, VALID_FROM))
    if 0 < start < len(n) and n[start] != ZEROS_BELOW_VALID + 1:
        raise InputError(
            "zeros",
            f"index {n[start]} is the first above 168π, where {ZEROS_BELOW_VALID + 1} is due",
            "recompute this stretch",
        )
    largest, share, windows = 0.0, 0.0, 0
    for left in range(start, len(n) - 1, window):
        right = min(left + window, len(n) - 1)
        base = math.floor(float(t0[left] + delta[left]) * 64) / 64
        offsets = (t0[left : right + 1] - base) + delta[left : right + 1]
        # From just after the first zero to just before the last: a boundary on a zero would be ambiguous.
        low = 0.5 * float(offsets[0] + offsets[1])
        if right - left < 2:
            break
        high = 0.5 * float(offsets[-2] + offsets[-1])
        count = turing_count(base, offsets[1:-1], low, high)
        if count.first != n[left + 1] or not count.complete:
            raise InputError(
                "zeros",
                f"between indices {n[left]} and {n[right]} the mean of S(t) is "
                f"{count.mean_s:.4f} for first index {count.first}, where "
                f"|mean| ≤ {count.bound:.4f} and index {n[left + 1]} are due",
                "a zero is missing or displaced: recompute this stretch",
            )
        windows += 1
        largest = max(largest, abs(count.mean_s))
        share = max(share, abs(count.mean_s) / count.bound)
    return {
        "zeros": len(n),
        "windows": windows,
        "largest_mean_s": largest,
        "largest_share_of_bound": share,
    }
