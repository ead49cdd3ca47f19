"""The filter that best fits a forecaster's own error spectrum: ``matched``.

If the errors E of a forecaster keep their covariance when the series is filtered, the self reversal leaves
e = E/A, and the filter with the least mean variance of e over the horizon is the one that whitens E. The
design minimises

    J(c) = (1/H) Σ_{t<H} Var(e_t) / (1/H) Σ_{t<H} Var(E_t)  +  λ·G(c)

over stable filters. The identity has J = 1 + λ, so a smaller value predicts a gain.

The premise is strong. A linear forecaster commutes with the filter: its filtered-space error is A·E, and the
reversal leaves E again, whatever the filter. So the predicted gain is only a hypothesis. To test it, compare
with :func:`specseq.filters.theory.predicted_self_error` of the errors measured in filtered space.

Shapes: H horizon step, K = ⌈H/s⌉ step of the impulse response.
"""

import numpy as np
from numpy.typing import NDArray

from specseq.filters.stability import from_reflection, impulse_response, undo
from specseq.filters.theory import as_covariance

Array = NDArray[np.float64]

_EDGE = 0.999  # |reflection coefficient| at most this, so that every design is stable


def matched(
    degree: int, covariance: Array, horizon: int, lam: float = 0.0, stride: int = 1
) -> tuple[float, ...]:
    """Taps with the least predicted self error over the horizon plus λ times the noise gain.

    Args:
        covariance: autocovariance [K] or covariance matrix [H, H] of the baseline's residuals.
        lam: weight of the noise gain; 0 trusts the covariance fully.

    Returns:
        Taps whose objective never exceeds the identity's. The problem is not convex; the best result of
        several starts is returned.
    """
    from scipy.optimize import minimize  # imported here: a filter that is not designed needs no SciPy

    weights_KK = _quadratic_form(as_covariance(covariance, horizon), stride)
    starts = [sign * 0.5 ** np.arange(1, degree + 1) for sign in (0.0, -1.0, 1.0)]
    ends = [
        minimize(
            _objective,
            start,
            (weights_KK, lam),
            "L-BFGS-B",
            jac=True,
            bounds=[(-_EDGE, _EDGE)] * degree,
            options={"ftol": 1e-14, "gtol": 1e-9},
        )
        for start in starts
    ]
    best = min(ends, key=lambda end: end.fun)
    if not best.fun < 1 + lam:
        return (0.0,) * degree
    return tuple(float(tap) for tap in from_reflection(best.x))


def _objective(reflections: Array, weights_KK: Array, lam: float) -> tuple[float, Array]:
    """J and its gradient in reflection coefficients; every point inside their box is a stable filter."""
    degree, length = len(reflections), len(weights_KK)
    taps, slope = np.zeros(0), np.zeros((0, degree))
    for order, (last, unit) in enumerate(zip(reflections, np.eye(degree), strict=True)):
        turned = np.outer(taps[::-1], unit)
        slope = np.concatenate([slope + last * slope[::-1] + turned, unit[None]])
        taps = np.concatenate([taps + last * taps[::-1], reflections[order : order + 1]])
    response = impulse_response(taps, length)
    pulled = weights_KK @ response
    # ∂h/∂c_i = -(1/A) L^i h, so these derivatives are shifts of one sequence.
    twice = undo(taps, response)
    by_tap = [-2 * (pulled[lag:] @ twice[: max(length - lag, 0)]) for lag in range(1, degree + 1)]
    gain = 1 / np.prod(1 - reflections**2)
    gradient = np.array(by_tap) @ slope + 2 * lam * gain * reflections / (1 - reflections**2)
    return float(response @ pulled + lam * gain), gradient


def _quadratic_form(covariance_HH: Array, stride: int) -> Array:
    """W with hᵀWh = Σ_t Var(e_t) / Σ_t Var(E_t), for the impulse response h at multiples of the stride.

    W_jk = Σ_{t ≥ s·max(j,k)} Cov(E_{t-js}, E_{t-ks}): a running sum along each diagonal.
    """
    horizon = len(covariance_HH)
    length = -(-horizon // stride)
    weights = np.zeros((length, length))
    for lag in range(length):
        along = np.cumsum(np.diagonal(covariance_HH, lag * stride))
        for j in range(length - lag):
            # t runs from (j + lag)·s to H - 1; the earlier index of the pair is then t - (j + lag)·s.
            weights[j, j + lag] = weights[j + lag, j] = along[horizon - 1 - (j + lag) * stride]
    return weights / np.trace(covariance_HH)
