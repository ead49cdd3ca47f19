"""The error that remains after a filter has been undone, derived algebraically.

If a forecast of the filtered series has error E, the recursive reversal turns it into e = E/A:
e_t = Σ_{k ≤ t/s} h_k E_{t - k·s}, t = 0 … H-1. The covariance of E thus determines that of e.

Shapes: N window, H horizon step.
"""

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.filters.filter import Filter
from specseq.filters.stability import impulse_response

Array = NDArray[np.float64]


def predicted_self_error(filter: Filter, covariance: Array, horizon: int) -> Array:
    """Error variance of the self reversal at each step of the horizon, [H].

    Args:
        covariance: autocovariance γ_0, γ_1, … of the filtered-space error ([K], zero beyond K), or its
            covariance between horizon steps, [H, H] or larger.
    """
    response = np.zeros(horizon)
    response[:: filter.stride] = impulse_response(filter.array, -(-horizon // filter.stride))
    return _variances(response, covariance)


def predicted_oracle_error(filter: Filter, covariance: Array, horizon: int) -> Array:
    """Error variance of a linear forecaster under the oracle at each step of the horizon, [H].

    Such a forecaster commutes with the filter: its filtered-space error is A·e, the filtered error of its
    plain forecast, with e = 0 before the horizon. The oracle leaves A·e; self reversal leaves e again.

    Args:
        covariance: of the plain forecast's error, as in :func:`predicted_self_error`.
    """
    taps = np.zeros(max(horizon, filter.reach + 1))
    taps[0] = 1.0
    taps[filter.stride : filter.reach + 1 : filter.stride] = filter.array
    return _variances(taps[:horizon], covariance)


def _variances(kernel_H: Array, covariance: Array) -> Array:
    """Variance at each step, [H], of errors of this covariance convolved with a kernel."""
    from scipy.linalg import toeplitz

    covariance_HH = as_covariance(covariance, len(kernel_H))
    transfer_HH = toeplitz(kernel_H, np.zeros(len(kernel_H)))
    with np.errstate(over="ignore", invalid="ignore"):
        return np.einsum("tj,jk,tk->t", transfer_HH, covariance_HH, transfer_HH, optimize=True)


def ideal_inverse(filter: Filter, length: int = 64) -> Array:
    """Taps g_j = -h_j, j = 1 … length, with which Σ_j g_j z_{t - j·s} is the residual r = z - y.

    Exact in the limit of large length if 1/A is stable; the part cut off is Σ_{k > length} h_k z_{t - k·s}.
    """
    with np.errstate(over="ignore"):
        return -impulse_response(filter.array, length + 1)[1:]


def residual_autocovariance(residuals_NH: Array, lags: int) -> Array:
    """Autocovariance γ_0 … γ_{lags-1} along the horizon, pooled over N windows; NaN is ignored.

    If nothing is missing, this is the biased estimate (divided by the number of values, not of pairs), which
    is always the autocovariance of some process. The mean is not removed, since a bias is an error too.

    Raises:
        InputError: every value is NaN.
    """
    present = ~np.isnan(residuals_NH)
    filled = np.where(present, residuals_NH, 0.0).astype(np.float64)
    count = present.sum()
    if not count:
        raise InputError("residuals", "no value that is not NaN", "give forecast errors, [windows, horizon]")
    horizon = filled.shape[1]
    sums = [(filled[:, lag:] * filled[:, : horizon - lag]).sum() for lag in range(min(lags, horizon))]
    return np.array(sums) / count


def residual_covariance(residuals_NH: Array) -> Array:
    """Second moments between horizon steps, [H, H], pooled over windows without missing values.

    Raises:
        InputError: every window has a missing value.
    """
    whole = residuals_NH[~np.isnan(residuals_NH).any(axis=1)].astype(np.float64)
    if not len(whole):
        raise InputError("residuals", "every window has a NaN", "give complete windows, [windows, horizon]")
    return whole.T @ whole / len(whole)


def as_covariance(covariance: Array, horizon: int) -> Array:
    """Check an autocovariance or covariance and return it as a matrix, [H, H].

    Raises:
        InputError: wrong shape, not finite, not symmetric or with a negative eigenvalue.
    """
    from scipy.linalg import toeplitz

    given = np.asarray(covariance, dtype=np.float64)
    where = "autocovariance"
    if horizon < 1:
        raise InputError("horizon", f"{horizon}", "a horizon is a whole number from 1")
    if given.ndim == 1 and given.size:
        column = np.zeros(horizon)
        column[: min(horizon, given.size)] = given[:horizon]
        matrix = toeplitz(column)
    elif given.ndim == 2 and given.shape[0] == given.shape[1] >= horizon:
        matrix = given[:horizon, :horizon]
    else:
        raise InputError(where, f"shape {given.shape}", f"give [lags] or [{horizon}, {horizon}] values")
    if not np.isfinite(matrix).all():
        raise InputError(where, "holds a value that is not finite", "leave missing residuals out")
    if not matrix[0, 0] > 0:
        raise InputError(where, f"variance {matrix[0, 0]:g}", "the variance must be positive")
    if not np.allclose(matrix, matrix.T, rtol=1e-8, atol=1e-12 * matrix[0, 0]):
        raise InputError(where, "not symmetric", "give a covariance matrix")
    least = np.linalg.eigvalsh(matrix)[0]
    if least < -1e-8 * np.trace(matrix):
        raise InputError(
            where,
            f"no covariance: smallest eigenvalue {least:.3g}",
            "estimate it with as many lags as the horizon has steps",
        )
    return matrix
