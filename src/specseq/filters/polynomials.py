"""Families in closed form, exact to the last bit of a float.

Every function returns the taps c_1 … c_d of a monic polynomial: its coefficients without the leading 1,
powers descending.
"""

import math
from fractions import Fraction


def identity(degree: int) -> tuple[float, ...]:
    """No filter: all taps zero."""
    return (0.0,) * degree


def difference(degree: int) -> tuple[float, ...]:
    """(1 - L)^d: the d-fold difference; its inverse, d-fold summation, is not stable."""
    return tuple(float((-1) ** i * math.comb(degree, i)) for i in range(1, degree + 1))


def chebyshev(degree: int) -> tuple[float, ...]:
    """Monic Chebyshev polynomial T_d / 2^(d-1), with the least max|p| on [-1, 1] among monic polynomials.

    Source: Marsden & Hazan, Universal Sequence Preconditioning, arXiv:2502.06545.
    """
    return _three_term(degree, lambda n: Fraction(1, 2) if n == 1 else Fraction(1, 4))


def legendre(degree: int) -> tuple[float, ...]:
    """Monic Legendre polynomial, with the least mean square on [-1, 1] among monic polynomials."""
    return _three_term(degree, lambda n: Fraction(n * n, 4 * n * n - 1))


def _three_term(degree: int, beta) -> tuple[float, ...]:  # type: ignore[no-untyped-def]
    """Monic orthogonal polynomials with p_{n+1} = x p_n - beta(n) p_{n-1}, in exact arithmetic."""
    before, now = [Fraction(0)], [Fraction(1)]
    for n in range(degree):
        following = [*now, Fraction(0)]
        for place, value in enumerate(before if n else [], start=2):
            following[place] -= beta(n) * value
        before, now = now, following
    return tuple(float(value) for value in now[1:])
