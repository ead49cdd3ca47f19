"""Spacings of other point processes, as controls for the zeros."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvalsh_tridiagonal

Array = NDArray[np.float64]

BULK = 0.8
"""Share of a matrix's eigenvalues kept, from the middle of the spectrum."""


def segment_length(size: int) -> int:
    """Spacings that one matrix yields."""
    edge = round((1 - BULK) / 2 * size)
    return size - 2 * edge - 1


def gue_segment(size: int, rng: np.random.Generator) -> Array:
    """Unfolded bulk spacings of one GUE matrix, from the β = 2 tridiagonal model.

    Dumitriu and Edelman 2002, J. Math. Phys. 43: the Hermite ensemble is the spectrum of a symmetric
    tridiagonal matrix with normal diagonal and χ_{βk}/√2 next to it. Unfolded by the semicircle law, the
    :func:`segment_length` spacings of a matrix of N = ``size`` have mean one.
    """
    diagonal = rng.standard_normal(size)
    beside = np.sqrt(rng.chisquare(2 * np.arange(size - 1, 0, -1)) / 2)
    eigenvalues = eigvalsh_tridiagonal(diagonal, beside, lapack_driver="sterf")
    y = np.clip(eigenvalues / (2 * math.sqrt(size)), -1, 1)
    position = size * (0.5 + (y * np.sqrt(1 - y * y) + np.arcsin(y)) / math.pi)
    edge = round((1 - BULK) / 2 * size)
    return np.diff(position[edge : size - edge])


def poisson_segment(size: int, rng: np.random.Generator) -> Array:
    """``size`` independent exponential spacings."""
    return rng.exponential(size=size)


def wigner_density(s: Array) -> Array:
    """Wigner's surmise for β = 2, p(s) = (32/π²) s² exp(-4s²/π); zero for s < 0."""
    return np.where(s > 0, 32 / math.pi**2 * s**2 * np.exp(-4 * s**2 / math.pi), 0.0)
