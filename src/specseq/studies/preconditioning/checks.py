"""Checks of the preconditioning study's claims: which design taps are, and what they do to errors."""

from typing import Any

import numpy as np

from specseq.filters import design
from specseq.filters.stability import noise_gain as noise_gain_of
from specseq.report.claims.rounding import Range, point, rounded, rounded_list


def _optimum(family: str, degree: Any, lam: Any) -> np.ndarray:
    spec: dict[str, Any] = {"family": family, "degree": int(rounded(degree).value)}
    if lam is not None:
        spec["lam"] = rounded(lam).value
    return design(spec).array


def noise_gain(taps: Any) -> Range:
    """G = Σ h_k² of 1/A: the factor by which recursive reversal multiplies the variance of white errors."""
    return point(noise_gain_of(np.array([tap.value for tap in rounded_list(taps)])))


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
