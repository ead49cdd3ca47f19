"""Unfolding: maps zeros to positions with mean spacing one.

u(γ) = (γ/2π) ln(γ/2πe), the smooth part of the counting function. Differences of u are computed
from differences of γ, since a double cannot hold u to enough digits: near γ = 8·10^7 it resolves 3·10^-8.
"""

import numpy as np
from numpy.typing import NDArray

from specseq.zeros.counts import TWO_PI
from specseq.zeros.selection import Zeros

Array = NDArray[np.float64]


def unfold(t: Array | float, distance: Array) -> Array:
    """u(t + distance) - u(t); broadcasts."""
    t = np.asarray(t)
    return np.asarray(
        ((t + distance) * np.log1p(distance / t) + distance * (np.log(t / TWO_PI) - 1)) / TWO_PI
    )


def spacings(zeros: Zeros) -> Array:
    """Unfolded spacings s_n = u(γ_{n+1}) - u(γ_n).

    Args:
        zeros: K consecutive zeros.

    Returns:
        (K-1,) spacings with mean near one.
    """
    distance = np.diff(zeros.t0) + np.diff(zeros.delta)
    return unfold(zeros.gamma[:-1], distance)
