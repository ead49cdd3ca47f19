"""Stability, impulse response and noise gain of 1/A, the recursion that undoes a filter.

Taps here have lags of one step; a stride only spreads the same response in time.
"""

import math
from decimal import Decimal, localcontext

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
# Digits of the step-down recursion, which loses many with a multiple root near the unit circle: of
# (x - 0.999)^4, all that a double has.
_DIGITS = 100

# Roots closer to the unit circle than this cannot be distinguished from roots on it: the error of a double
# root is the square root of the machine precision.
STABILITY_MARGIN = 1e-6


def roots(taps: Vector) -> NDArray[np.complex128]:
    """Roots of p(x) = x^d + c_1 x^(d-1) + … + c_d, [d], largest modulus first."""
    found = np.roots(np.concatenate([[1.0], taps])).astype(np.complex128)
    # The eigenvalue solver leaves rounding errors in parts that are zero.
    found.real[np.abs(found.real) < 1e-15] = 0.0
    found.imag[np.abs(found.imag) < 1e-15] = 0.0
    return found[np.lexsort((found.imag, found.real, -np.round(np.abs(found), 12)))]


def spectral_radius(taps: Vector) -> float:
    """Largest modulus among the roots of p; at 1 or above the recursive reversal is unstable."""
    return float(np.abs(roots(taps)).max())


def is_stable(taps: Vector) -> bool:
    """Whether all roots lie inside the unit circle, by a margin that taps in double precision can resolve."""
    return len(_step_down(taps, 1 - STABILITY_MARGIN)) == len(taps)


def impulse_response(taps: Vector, length: int) -> Vector:
    """h_0 … h_{length-1} of 1/A; h_0 = 1."""
    impulse = np.zeros(length)
    impulse[:1] = 1.0
    return undo(taps, impulse)


def undo(taps: Vector, filtered: Vector) -> Vector:
    """z/A: the series whose filtered form is z, [T], with zeros before its start.

    A is a banded triangular matrix, and forward substitution performs the recursion.
    """
    # Imported here because few callers need it and SciPy's signal package takes a second to load.
    from scipy.linalg.lapack import dtbtrs

    band = np.tile(np.concatenate([[1.0], taps])[:, None], max(1, len(filtered)))
    with np.errstate(over="ignore", invalid="ignore"):
        series, _ = dtbtrs(band, filtered[:, None], uplo="L", diag="U")
    return np.asarray(series[: len(filtered), 0])


def _step_down(taps: Vector, radius: float = 1.0) -> list[Decimal]:
    """Reflection coefficients k_d, k_{d-1}, … as long as |k_j| < 1, of the roots of p over ``radius``.

    The roots lie inside the unit circle if and only if all |k_j| < 1. Source: Åström, Introduction to
    Stochastic Control Theory, chapter 5.
    """
    with localcontext(prec=_DIGITS):
        scale, found = Decimal(radius), list[Decimal]()
        current = [Decimal(float(tap)) / scale**lag for lag, tap in enumerate(taps, 1)]
        while current and abs(last := current[-1]) < 1:
            found.append(last)
            rest = 1 - last * last
            head = current[:-1]
            current = [(c - last * turned) / rest for c, turned in zip(head, reversed(head), strict=True)]
        return found


def from_reflection(coefficients: Vector) -> Vector:
    """Taps with the given reflection coefficients (step-up recursion)."""
    taps = np.zeros(0)
    for last in coefficients:
        taps = np.concatenate([taps + last * taps[::-1], [last]])
    return taps


def noise_gain(taps: Vector) -> float:
    """G = Σ_k h_k²; infinite where 1/A is not stable.

    Equals P_00 of the discrete Lyapunov equation P = MᵀPM + e₁e₁ᵀ with M the companion matrix. Computed as
    Π_j 1/(1 - k_j²), the variance of an autoregression with unit innovations, which costs d² operations.
    """
    if not is_stable(taps):
        return float("inf")
    with localcontext(prec=_DIGITS):
        return float(1 / math.prod(1 - k * k for k in _step_down(taps)))


def noise_gain_gradient(taps: Vector) -> tuple[float, Vector]:
    """G and ∂G/∂c, [d], by differentiating the step-down recursion; infinite and NaN where unstable."""
    degree = len(taps)
    current, slope = np.asarray(taps, dtype=np.float64), np.eye(degree)
    gain, log_slope = 1.0, np.zeros(degree)
    for _ in range(degree):
        last, last_slope = current[-1], slope[-1]
        rest = 1 - last * last
        if not rest > 0:
            return float("inf"), np.full(degree, np.nan)
        gain /= rest
        log_slope = log_slope + (2 * last / rest) * last_slope
        head, turned = current[:-1], current[-2::-1]
        following = (head - last * turned) / rest
        inner = slope[:-1] - last * slope[-2::-1]
        slope = (inner + np.outer(2 * last * following - turned, last_slope)) / rest
        current = following
    return gain, gain * log_slope


def absolute_gain(taps: Vector) -> float:
    """Σ_k |h_k|: the most by which the reversal can enlarge a bounded error; infinite where unstable."""
    if not is_stable(taps):
        return float("inf")
    degree = len(taps)
    block = np.zeros(max(4096, 64 * degree))
    block[0], total = 1.0, 0.0
    while True:
        response = undo(taps, block)
        part = float(np.abs(response).sum())
        total += part
        if part <= 1e-16 * total or part == 0:
            return total
        # The continuation is the response to the last values: their filtered form beyond the end, negated.
        block[0] = 0.0
        block[:degree] = -np.convolve(taps, response[-degree:])[degree - 1 :]
