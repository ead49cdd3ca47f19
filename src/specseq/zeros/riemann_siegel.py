"""Hardy's function Z(t) on a uniform grid by the Riemann–Siegel formula.

Z(t) = 2 Σ_{n ≤ N} n^(-1/2) cos(θ(t) - t ln n) + (-1)^(N-1) τ^(-1/2) Σ_k C_k(p) τ^(-k), with τ = √(t/2π),
N = ⌊τ⌋ and p = τ - N (Edwards 1974, §7.5; Gabcke 1979 for C0..C4). The main sum over a block of the grid is a
single type-1 NUFFT; terms that enter or leave the sum within the block are handled separately.

The truncation error after C4 is less than 0.017 t^(-11/4) (Gabcke 1979, Satz 4.2.3).
"""

import math
from functools import lru_cache

import mpmath
import numpy as np
from numpy.typing import NDArray

from specseq.zeros.counts import TWO_PI
from specseq.zeros.nufft import nufft1
from specseq.zeros.phase import log_phase, log_table, theta_difference, theta_turns

Array = NDArray[np.float64]

LOWEST = 1000.0
"""Below this height Euler–Maclaurin summation is used instead."""

_DEGREE = 44
# C_k = Σ weight · Ψ^(derivative): Edwards 1974, §7.5, with Ψ(p) = cos(2π(p² - p - 1/16)) / cos(2πp).
# Weights are (numerator, denominator, power of π in the denominator).
_CORRECTIONS: tuple[tuple[tuple[int, int, int, int], ...], ...] = (
    ((1, 1, 0, 0),),
    ((-1, 96, 2, 3),),
    ((1, 18432, 4, 6), (1, 64, 2, 2)),
    ((-1, 5308416, 6, 9), (-1, 3840, 4, 5), (-1, 64, 2, 1)),
    ((1, 2038431744, 8, 12), (11, 5898240, 6, 8), (19, 24576, 4, 4), (1, 128, 2, 0)),
)


def _psi_series(terms: int) -> list[mpmath.mpf]:
    """Taylor coefficients in z = 2p - 1 of Ψ = -cos(π z²/2 - 5π/8) / cos(πz), by power-series division."""
    numerator, denominator = [mpmath.mpf(0)] * terms, [mpmath.mpf(0)] * terms
    cosine, sine = mpmath.cos(5 * mpmath.pi / 8), mpmath.sin(5 * mpmath.pi / 8)
    for m in range((terms + 1) // 2):
        part = (mpmath.pi / 2) ** m / mpmath.factorial(m) * (-1) ** (m // 2)
        numerator[2 * m] = part * (cosine if m % 2 == 0 else sine)
        denominator[2 * m] = -((-1) ** m) * mpmath.pi ** (2 * m) / mpmath.factorial(2 * m)
    series: list[mpmath.mpf] = []
    for i in range(terms):
        series.append(
            (numerator[i] - mpmath.fsum(series[j] * denominator[i - j] for j in range(i))) / denominator[0]
        )
    return series


@lru_cache(maxsize=1)
def correction_series() -> tuple[Array, ...]:
    """Taylor coefficients of C0..C4 in z² (C1 and C3 have a further factor z)."""
    with mpmath.workdps(60):
        psi = _psi_series(_DEGREE + 14)
        coefficients = []
        for k, parts in enumerate(_CORRECTIONS):
            total = [mpmath.mpf(0)] * (_DEGREE + 1)
            for numerator, denominator, power, order in parts:
                weight = mpmath.mpf(numerator) / (denominator * mpmath.pi**power)
                for i in range(_DEGREE + 1):
                    # d/dp = 2 d/dz
                    total[i] += weight * psi[i + order] * mpmath.rf(i + 1, order) * 2**order
            coefficients.append(np.array([float(total[i]) for i in range(k % 2, _DEGREE + 1, 2)]))
        return tuple(coefficients)


def remainder(t: Array) -> tuple[Array, NDArray[np.int64]]:
    """The correction terms C0..C4 at heights t, and N(t) = ⌊√(t/2π)⌋."""
    tau = np.sqrt(t / TWO_PI)
    count = np.floor(tau)
    z = 2 * (tau - count) - 1
    z2, inverse = z * z, 1 / tau
    largest = float(inverse.max())
    total = np.zeros_like(t)
    for k in range(4, -1, -1):
        # A coefficient that contributes less than 1e-18 to Z isn't worth its multiplication.
        series = correction_series()[k]
        significant = np.nonzero(np.abs(series) * largest ** (k + 0.5) > 1e-18)[0]
        total *= inverse
        if not len(significant):
            continue
        value = np.full_like(t, series[significant[-1]])
        for coefficient in series[: significant[-1]][::-1]:
            value *= z2
            value += coefficient
        total += value * z if k % 2 else value
    sign = np.where(count % 2 == 1, 1.0, -1.0)
    return total * sign * np.sqrt(inverse), count.astype(np.int64)


def z_on_grid(t0: float, step: float, points: int) -> Array:
    """Z(t0 + j·step) for j = -points/2 .. points/2-1, an even number of points.

    Args:
        t0: centre of the block, exactly representable; the whole block lies above :data:`LOWEST`.
    """
    delta: Array = np.arange(-points // 2, points // 2, dtype=float) * step
    t = t0 + delta
    central = int(math.sqrt(t0 / TWO_PI))
    high, low = log_table(int(math.sqrt(t[-1] / TWO_PI)) + 1)
    n = np.arange(1, central + 1)
    strengths = np.exp(-1j * log_phase(t0, high[n], low[n])) / np.sqrt(n)
    main = nufft1(step * high[n], strengths, points)
    theta = theta_turns(t0)[1] + theta_difference(t0, delta)
    rest, count = remainder(t)
    values = 2 * (np.cos(theta) * main.real - np.sin(theta) * main.imag) + rest
    for m in range(int(count[0]), int(count[-1]) + 1):
        here = slice(*np.searchsorted(count, [m, m + 1]))
        sign = 1 if m > central else -1
        for q in range(min(m, central) + 1, max(m, central) + 1):
            phase = theta[here] - log_phase(t0, high[q : q + 1], low[q : q + 1]) - delta[here] * high[q]
            values[here] += sign * 2 / math.sqrt(q) * np.cos(phase)
    return values
