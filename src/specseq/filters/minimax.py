"""Families that trade the maximum of |p| on [-1, 1] against a penalty: ``lyapunov`` and ``l2``.

c* = argmin_c max_{x ∈ [-1,1]} |p(x)| + λ·R(c), with R the noise gain G (``lyapunov``) or ‖c‖² (``l2``).

Both parts are even under x → -x, so only even lags become non-zero, and p(x) = x^(d mod 2) · q(x²). The
noise gains of p and q are equal. The semi-infinite problem is solved by exchange: minimise with the maximum
taken over a few points, add the points where |p| exceeds it, and repeat until there are none.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from specseq.errors import Diverged
from specseq.filters.diagnostics import extrema
from specseq.filters.polynomials import chebyshev
from specseq.filters.stability import noise_gain_gradient

Vector = NDArray[np.float64]
Penalty = Callable[[Vector], tuple[float, Vector]]

_ROUNDS = 50
_TOLERANCE = 1e-10
_SETTLED = 1e-8
_TOUCHING = 1e-6


def lyapunov(degree: int, lam: float) -> tuple[float, ...]:
    """Least max|p| + λ·G(c); λ = 0 is the monic Chebyshev polynomial.

    For λ above about 1 the maximum is attained at x = ±1 only, and the optimum solves ∂G/∂c_even = -1/λ.

    Raises:
        Diverged: the exchange did not settle.
    """
    return _design(degree, lam, noise_gain_gradient)


def l2(degree: int, lam: float) -> tuple[float, ...]:
    """Least max|p| + λ·‖c‖²; λ = 0 is the monic Chebyshev polynomial.

    Raises:
        Diverged: the exchange did not settle.
    """
    return _design(degree, lam, lambda even: (float(even @ even), 2 * even))


def _design(degree: int, lam: float, penalty: Penalty) -> tuple[float, ...]:
    if lam == 0 or degree == 1:
        return chebyshev(degree)
    even = degree // 2
    taps = _spread(np.full(even, -0.5 / (lam + even)), degree)
    points = np.ones(1)
    for _ in range(_ROUNDS):
        before = taps
        taps, height = _solve(points, taps, lam, penalty)
        candidates = np.abs(extrema(taps))
        values = np.abs(np.polyval(np.concatenate([[1.0], taps]), candidates))
        if values.max() <= height + _TOLERANCE and np.abs(taps - before).max() <= _SETTLED:
            return tuple(float(tap) for tap in taps)
        # Extrema that only touch the maximum are added too, so that the last pass has them exactly.
        points = np.unique(np.concatenate([points, candidates[values > height - _TOUCHING]]))
    raise Diverged(f"minimax design of degree {degree}, lam {lam:g}: no optimum after {_ROUNDS} exchanges")


def _solve(points: Vector, start: Vector, lam: float, penalty: Penalty) -> tuple[Vector, float]:
    """The epigraph problem on a few points: taps and t with least t + λ·R such that |p(x)| ≤ t there."""
    from scipy.optimize import minimize  # imported here: a filter that is not designed needs no SciPy

    degree = len(start)
    lags = np.arange(2, degree + 1, 2)
    basis = points[:, None] ** (degree - lags)
    lead = points**degree

    scale = 1 / (1 + lam)  # keeps the objective near 1, as the solver's tolerances assume

    def objective(v: Vector) -> tuple[float, Vector]:
        value, slope = penalty(v[:-1])
        if not np.isfinite(value):
            return 1e12, np.zeros_like(v)
        return scale * (v[-1] + lam * value), scale * np.concatenate([lam * slope, [1.0]])

    rows = np.concatenate(
        [
            np.column_stack([-basis, np.ones(len(points))]),
            np.column_stack([basis, np.ones(len(points))]),
        ]
    )
    offset = np.concatenate([-lead, lead])
    constraint = {"type": "ineq", "fun": lambda v: rows @ v + offset, "jac": lambda v: rows}
    first = np.concatenate([start[1::2], [np.abs(lead + basis @ start[1::2]).max()]])
    done = minimize(
        objective,
        first,
        jac=True,
        method="SLSQP",
        constraints=[constraint],
        options={"maxiter": 500, "ftol": 1e-15},
    )
    return _spread(done.x[:-1], degree), float(done.x[-1])


def _spread(even: Vector, degree: int) -> Vector:
    taps = np.zeros(degree)
    taps[1::2] = even
    return taps
