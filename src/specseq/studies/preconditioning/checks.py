"""Checks of the preconditioning study's claims on taps: which design they are, what they minimise and do."""

from typing import Any

import numpy as np

from specseq.filters import design
from specseq.filters.diagnostics import sup_norm as sup_norm_of
from specseq.filters.stability import noise_gain as noise_gain_of
from specseq.filters.stability import spectral_radius as spectral_radius_of
from specseq.report.claims.rounding import Range, point, rounded, rounded_list


def _taps(source: Any) -> np.ndarray:
    return np.array([number.value for number in rounded_list(source)])


def _optimum(family: str, degree: Any, lam: Any) -> np.ndarray:
    spec: dict[str, Any] = {"family": family, "degree": int(rounded(degree).value)}
    if lam is not None:
        spec["lam"] = rounded(lam).value
    return design(spec).array


def spectral_radius(taps: Any) -> Range:
    """max |root of p|: from 1 on, undoing the filter recursively is unstable."""
    return point(spectral_radius_of(_taps(taps)))


def sup_norm(taps: Any) -> Range:
    """max over [-1, 1] of |p|: below 1 the filter shrinks, the identity has 1."""
    return point(sup_norm_of(_taps(taps)))


def noise_gain(taps: Any) -> Range:
    """G = Σ h_k² of 1/A: by how much recursive reversal multiplies the variance of white errors."""
    return point(noise_gain_of(_taps(taps)))


def tap_distance(taps: Any, family: str, degree: Any = None, lam: Any = None) -> Range:
    """max |c_i - c*_i| to the exact design; where one list is longer, the rest counts as zeros.

    The range allows for the rounding of the printed taps.
    """
    found = rounded_list(taps)
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
    return Range(middle, low, high)


def excess_over_identity(taps: Any, lam: Any) -> Range:
    """Objective max|p| + λ·G of the taps minus that of the identity, 1 + λ: above 0 no filter is better."""
    listed, weight = _taps(taps), rounded(lam).value
    return point(sup_norm_of(listed) + weight * noise_gain_of(listed) - 1 - weight)


def excess_over_optimum(taps: Any, lam: Any) -> Range:
    """Objective max|p| + λ·G of the taps minus the least one at their degree."""
    listed, weight = _taps(taps), rounded(lam).value
    best = _optimum("lyapunov", len(listed), lam)
    objective = [sup_norm_of(c) + weight * noise_gain_of(c) for c in (listed, best)]
    return point(objective[0] - objective[1])


def excess_over_chebyshev(taps: Any, degree: Any) -> Range:
    """max over [-1, 1] of |p| minus 2^(1-d), the least that a monic polynomial of degree d can have."""
    return point(sup_norm_of(_taps(taps)) - 2 ** (1 - rounded(degree).value))


def dc_response(taps: Any) -> Range:
    """A(1) = 1 + Σ c_i: what the filter leaves of a constant."""
    found = rounded_list(taps)
    middle, half = 1 + sum(x.value for x in found), sum(x.half for x in found)
    return Range(middle, middle - half, middle + half)
