"""Spectral filters: the leading eigenvectors of the Hankel matrix of linear dynamical systems.

Liu et al. 2024, "Flash STU: Fast Spectral Transform Units" (arXiv:2409.10489), section 2, after Hazan, Singh
and Zhang 2017. Shapes: L filter length, K filters.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh


def hankel_matrix(length: int) -> NDArray[np.float64]:
    """``Z[i, j] = 2 / ((i + j)^3 - (i + j))`` for i, j = 1..L.

    Returns:
        ``[L, L]`` float64, symmetric and positive definite.
    """
    index = np.arange(1, length + 1, dtype=np.float64)
    total = index[:, None] + index
    return 2.0 / (total**3 - total)


def hankel_eigenpairs(length: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The ``count`` largest eigenvalues with their unit eigenvectors, largest first.

    The eigenvalues fall off exponentially: at L = 512 those past about the twentieth are below the rounding
    of the first (:math:`\\sigma_{24} \\approx 2 \\cdot 10^{-16}`) and their eigenvectors are some basis of a
    noise subspace, which differs between linear algebra libraries. A model therefore stores the filters it
    was trained with. Signs are fixed by making the entry of largest magnitude positive.

    Returns:
        Eigenvalues ``[K]`` and eigenvectors ``[L, K]``.
    """
    if not 1 <= count <= length:
        raise ValueError(f"{count} filters of length {length}: between 1 and the length are there")
    values, vectors = eigh(hankel_matrix(length), subset_by_index=(length - count, length - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(count)]
    return np.ascontiguousarray(values), vectors * np.sign(largest)


@lru_cache(maxsize=8)
def spectral_filters(length: int, count: int) -> NDArray[np.float64]:
    """Eigenvectors scaled by the fourth root of their eigenvalues.

    Rounding can make the smallest eigenvalues negative, so their magnitudes are used.

    Returns:
        ``[L, K]`` float64, read-only, since the layers of a model share it.
    """
    values, vectors = hankel_eigenpairs(length, count)
    filters = vectors * np.abs(values) ** 0.25
    filters.flags.writeable = False
    return filters
