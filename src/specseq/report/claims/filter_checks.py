"""Arithmetic of filters, for claims on taps: what they are, what they are optimal for, what they do."""

from typing import Any

import numpy as np

from specseq.filters import design
from specseq.filters.diagnostics import sup_norm as sup_norm_of
from specseq.filters.stability import noise_gain as noise_gain_of
from specseq.filters.stability import spectral_radius as spectral_radius_of
from specseq.report.claims.arithmetic import check_function
from specseq.report.claims.printed import Exact, exact, numbers, printed


def _taps(source: Any) -> np.ndarray:
    return np.array([number.value for number in numbers(source)])


def _optimum(family: str, degree: Any, lam: Any) -> np.ndarray:
    spec: dict[str, Any] = {"family": family, "degree": int(printed(degree).value)}
    if lam is not None:
        spec["lam"] = printed(lam).value
    return design(spec).array


@check_function
def spectral_radius(taps: Any) -> Exact:
    """max |root of p|: from 1 on, undoing the filter recursively is unstable."""
    return exact(spectral_radius_of(_taps(taps)))


@check_function
def sup_norm(taps: Any) -> Exact:
    """max over [-1, 1] of |p|: below 1 the filter shrinks, the identity has 1."""
    return exact(sup_norm_of(_taps(taps)))


@check_function
def noise_gain(taps: Any) -> Exact:
    """G = Σ h_k² of 1/A: by how much recursive reversal multiplies the variance of white errors."""
    return exact(noise_gain_of(_taps(taps)))


@check_function
def tap_distance(taps: Any, family: str, degree: Any = None, lam: Any = None) -> Exact:
    """max |c_i - c*_i| to the exact design; where one list is longer, the rest counts as zeros.

    The range allows for the rounding of the printed taps.
    """
    found = numbers(taps)
    best = _optimum(family, len(found) if degree is None else degree, lam)
    length = max(len(found), len(best))
    gaps = []
    for place in range(length):
        target = best[place] if place < len(best) else 0.0
        given = found[place].value if place < len(found) else 0.0
        half = found[place].half if place < len(found) else 0.0
        gap = abs(given - target)
        gaps.append((gap, max(0.0, gap - half), gap + half))
    middle, low, high = (max(column) for column in zip(*gaps, strict=True))
    return Exact(middle, low, high)


@check_function
def excess_over_identity(taps: Any, lam: Any) -> Exact:
    """Objective max|p| + λ·G of the taps minus that of the identity, 1 + λ: above 0 no filter is better."""
    listed, weight = _taps(taps), printed(lam).value
    return exact(sup_norm_of(listed) + weight * noise_gain_of(listed) - 1 - weight)


@check_function
def excess_over_optimum(taps: Any, lam: Any) -> Exact:
    """Objective max|p| + λ·G of the taps minus the least one at their degree."""
    listed, weight = _taps(taps), printed(lam).value
    best = _optimum("lyapunov", len(listed), lam)
    objective = [sup_norm_of(c) + weight * noise_gain_of(c) for c in (listed, best)]
    return exact(objective[0] - objective[1])


@check_function
def excess_over_chebyshev(taps: Any, degree: Any) -> Exact:
    """max over [-1, 1] of |p| minus 2^(1-d), the least that a monic polynomial of degree d can have."""
    return exact(sup_norm_of(_taps(taps)) - 2 ** (1 - printed(degree).value))


@check_function
def dc_response(taps: Any) -> Exact:
    """A(1) = 1 + Σ c_i: what the filter leaves of a constant."""
    found = numbers(taps)
    middle, half = 1 + sum(x.value for x in found), sum(x.half for x in found)
    return Exact(middle, middle - half, middle + half)
