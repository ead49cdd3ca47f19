"""Phases of the Riemann–Siegel formula, reduced modulo 2π without losing digits.

At heights near 10^10 the phase t·ln n is of order 10^11, so a double would keep only five of its decimals.
The logarithms are held as unevaluated sums of two doubles, and the product is exact (Dekker 1971). The
Riemann–Siegel theta function is evaluated once per block with mpmath and continued from there by
differences.

Heights are absolute ordinates t on the critical line; ``delta`` is an offset from a block's ``t0``.
"""

import math

import mpmath
import numpy as np
from numpy.typing import NDArray

from specseq.zeros.counts import TWO_PI, stirling_tail

Array = NDArray[np.float64]

_TWO_PI_LOW = 2.4492935982947064e-16  # 2π minus its nearest double
_SPLITTER = 134217729.0  # 2^27 + 1

_log_high: Array = np.zeros(1)
_log_low: Array = np.zeros(1)


def log_table(largest: int) -> tuple[Array, Array]:
    """ln n for n = 0..largest (entry 0 is unused) as high and low parts; cached, and extended on demand."""
    global _log_high, _log_low
    last = len(_log_high) - 1
    if largest > last:
        high, low = np.zeros(largest + 1), np.zeros(largest + 1)
        high[: last + 1], low[: last + 1] = _log_high, _log_low
        with mpmath.workprec(120):
            for n in range(last + 1, largest + 1):
                exact = mpmath.log(n)
                high[n] = float(exact)
                low[n] = float(exact - high[n])
        _log_high, _log_low = high, low
    return _log_high, _log_low


def _split(a: Array | float) -> tuple[Array | float, Array | float]:
    c = _SPLITTER * a
    high = c - (c - a)
    return high, a - high


def _exact_product(a: Array | float, b: Array | float) -> tuple[Array, Array]:
    """The product and its rounding error, both as doubles."""
    p = np.asarray(a * b)
    a1, a2 = _split(a)
    b1, b2 = _split(b)
    return p, np.asarray(((a1 * b1 - p) + a1 * b2 + a2 * b1) + a2 * b2)


def log_phase(t: Array | float, high: Array, low: Array) -> Array:
    """t·ln n reduced to [-π, π], to about 1e-15, for ln n = high + low; broadcasts."""
    product, error = _exact_product(t, high)
    turns = np.rint(product / TWO_PI)
    whole, whole_error = _exact_product(turns, TWO_PI)
    return ((product - whole) + (error + t * low - whole_error)) - turns * _TWO_PI_LOW


def theta_turns(t: float) -> tuple[int, float]:
    """θ(t) as whole turns and a remainder in [0, 2π)."""
    with mpmath.workprec(140):
        exact = mpmath.mpf(t)
        theta = (
            exact / 2 * mpmath.log(exact / (2 * mpmath.pi)) - exact / 2 - mpmath.pi / 8 + stirling_tail(exact)
        )
        turns = int(mpmath.floor(theta / (2 * mpmath.pi)))
        return turns, float(theta - turns * 2 * mpmath.pi)


def theta_difference(t0: float, delta: Array) -> Array:
    """θ(t0 + delta) - θ(t0), computed without subtracting two large numbers."""
    t = t0 + delta
    main = 0.5 * (t * np.log1p(delta / t0) + delta * (math.log(t0 / TWO_PI) - 1))
    return main + (stirling_tail(t) - stirling_tail(t0))
