"""Correction of claims that form one search: Holm's step-down procedure over p-values from intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from specseq.report.claims.intervals import FORWARD, Measured
from specseq.report.claims.language import Verdict
from specseq.report.claims.relations import Region


@dataclass(frozen=True)
class Correction:
    """A claim's place in its search.

    Attributes:
        comparisons: claims of the search that were measured.
        p: the claim's p-value, corrected for them.
        verdict: its verdict at 5 % after correction.
    """

    comparisons: int
    p: float
    verdict: Verdict


def p_value(region: Region, found: Measured) -> float:
    """Two-sided p-value of a measurement against the ends of the region that its claim names.

    Each half of the interval is read as Student's t on the scale of the comparison, with one degree of
    freedom less than there are replicates of the scarcest kind (as normal where none are counted). The
    interval excludes an end exactly where p is below 5 %; far out, few seeds do not have the thin tail of
    the normal distribution.

    Returns:
        The largest over the ends if the value lies inside, else that of the end it lies beyond; NaN without
        an interval.
    """
    if not all(map(math.isfinite, (found.value, found.low, found.high))) or found.low == found.high:
        return math.nan
    ends = [end for end in (region.low, region.high) if math.isfinite(end)]
    if not region.contains(found.value):
        ends = [min(ends, key=lambda end: abs(found.value - end))]
    freedom = min((axis.n - 1 for axis in found.axes if axis.n > 1), default=math.inf)
    return max(_tail(found, found.high if end > found.value else found.low, end, freedom) for end in ends)


def _tail(found: Measured, side: float, end: float, freedom: float) -> float:
    """Two-sided p-value of an end, by the interval's half on its side."""
    from scipy.special import stdtr, stdtrit

    value, side, end = map(FORWARD[found.scale], (found.value, side, end))
    if math.isnan(end):  # no ratio is as low as the end
        return 0.0
    reach = abs(side - value) / float(stdtrit(freedom, 0.975))
    if reach == 0:
        return 0.0 if end != value else 1.0
    return 2 * float(stdtr(freedom, -abs(value - end) / reach))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Scand. J. Statist. 1979), in the given order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
