"""Zeros of a band-limited real function from its samples on a uniform grid.

A sign change brackets a zero; it is refined by Newton's method on the polynomial through the 18 nearest
samples. Two zeros between neighbouring grid points leave no sign change, but a local minimum of the modulus
without one, which for Z never occurs otherwise. There the extremum is located first and, if it lies across
the axis, a zero on either side of it.

Positions are in grid units. Polynomials have shape (18, K), coefficients by zeros, in the variable v, the
distance from the centre of the middle cell.
"""

from functools import lru_cache

import mpmath
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

STENCIL = 18
MARGIN = STENCIL
"""Number of samples at either end of the grid where no zeros are sought."""

_OFFSETS = np.arange(STENCIL) - (STENCIL // 2 - 1)


@lru_cache(maxsize=1)
def _interpolation() -> Array:
    """(18, 18) map from the stencil's samples to the coefficients of the interpolating polynomial."""
    with mpmath.workdps(60):
        nodes = [mpmath.mpf(2 * i - STENCIL + 1) / 2 for i in range(STENCIL)]
        inverse = mpmath.matrix([[node**k for k in range(STENCIL)] for node in nodes]) ** -1
        return np.array([[float(inverse[k, i]) for i in range(STENCIL)] for k in range(STENCIL)])


def _polynomials(samples: Array, cells: NDArray[np.int64]) -> Array:
    return np.asarray(_interpolation() @ samples[cells[None, :] + _OFFSETS[:, None]])


def _value_and_slope(coefficients: Array, v: Array) -> tuple[Array, Array]:
    value, slope = coefficients[-1].copy(), np.zeros_like(v)
    for row in coefficients[-2::-1]:
        slope *= v
        slope += value
        value *= v
        value += row
    return value, slope


def _value(coefficients: Array, v: Array) -> Array:
    return _value_and_slope(coefficients, v)[0]


def _newton(coefficients: Array, left: Array, right: Array, start: Array) -> Array:
    """The zero of each polynomial in [left, right]; its signs at the two ends differ.

    Plain Newton steps come first; any that leave their bracket or do not settle are redone safeguarded.
    """
    v, step = start, np.zeros_like(start)
    for _ in range(5):
        value, slope = _value_and_slope(coefficients, v)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = value / slope
        v = v - step
        if np.abs(step).max(initial=0.0) < 1e-8:  # quadratic convergence: v is good to rounding
            break
    wild = np.nonzero(~((v >= left) & (v <= right) & (np.abs(step) < 1e-8)))[0]
    if len(wild):
        v[wild] = _bracketed(coefficients[:, wild], left[wild], right[wild])
    return v


def _bracketed(coefficients: Array, left: Array, right: Array) -> Array:
    sign = np.sign(_value(coefficients, left))
    v = 0.5 * (left + right)
    for _ in range(60):
        value, slope = _value_and_slope(coefficients, v)
        before = np.sign(value) == sign
        left, right = np.where(before, v, left), np.where(before, right, v)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = value / slope
        settled = np.abs(step) < 1e-8  # quadratic convergence, as above; rounding may carry it over an end
        new = v - step
        v = np.where(settled | ((new > left) & (new < right)), new, 0.5 * (left + right))
        if settled.all():
            break
    return v


def _crossings(samples: Array) -> Array:
    positive = samples > 0
    inner = positive[MARGIN : len(samples) - MARGIN]
    cells = np.nonzero(inner[:-1] != inner[1:])[0] + MARGIN
    below, above = samples[cells], samples[cells + 1]
    start = 0.5 - above / (above - below)
    half = np.full(len(cells), 0.5)
    return cells + 0.5 + _newton(_polynomials(samples, cells), -half, half, start)


def _hidden_pairs(samples: Array) -> Array:
    positive, size = samples > 0, np.abs(samples)
    j = np.arange(MARGIN, len(samples) - MARGIN - 1)
    same = (positive[j - 1] == positive[j]) & (positive[j] == positive[j + 1])
    j = j[same & (size[j] <= size[j - 1]) & (size[j] <= size[j + 1])]
    if not len(j):
        return np.empty(0)
    coefficients = _polynomials(samples, j) * np.where(positive[j], 1.0, -1.0)
    derivative = coefficients[1:] * np.arange(1, STENCIL)[:, None]
    left, right = np.full(len(j), -1.5), np.full(len(j), 0.5)
    lowest = _bracketed(derivative, left, right)
    crossed = _value(coefficients, lowest) < 0
    coefficients, lowest = coefficients[:, crossed], lowest[crossed]
    left, right = left[crossed], right[crossed]
    roots = np.concatenate([_bracketed(coefficients, left, lowest), _bracketed(coefficients, lowest, right)])
    return np.tile(j[crossed], 2) + 0.5 + roots


def isolate(samples: Array) -> tuple[Array, int]:
    """Zeros between samples ``MARGIN`` and ``len - MARGIN - 1``, in grid units, ascending.

    Args:
        samples: (M,) values on a uniform grid, at least 8 samples a zero on average.

    Returns:
        positions (K,), and the number of pairs that lay between two grid points.
    """
    pairs = _hidden_pairs(samples)
    return np.sort(np.concatenate([_crossings(samples), pairs])), len(pairs) // 2
