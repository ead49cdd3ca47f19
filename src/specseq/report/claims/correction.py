"""Correction of claims that form one search: Holm's step-down procedure over p-values from intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from specseq.report.claims.language import Verdict
from specseq.report.claims.relations import Region

_NORMAL_QUANTILE = 1.959963984540054  # of 97.5 %: standard errors to each side of a 95 % interval


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


def p_value(region: Region, value: float, low: float, high: float) -> float:
    """Two-sided p-value of a quantity against the ends of the region that its claim names.

    The interval is read as normal on each side, so that it excludes an end exactly where p is below 5 %.

    Returns:
        The largest over the ends if the value lies inside, else that of the end it lies beyond; NaN without
        an interval.
    """
    if not all(map(math.isfinite, (value, low, high))) or low == high:
        return math.nan
    ends = [end for end in (region.low, region.high) if math.isfinite(end)]
    if not region.contains(value):
        ends = [min(ends, key=lambda end: abs(value - end))]
    return max(_tail(value, high if end > value else low, end) for end in ends)


def _tail(value: float, side: float, end: float) -> float:
    """Two-sided p-value of an end, by the interval's half on its side."""
    reach = abs(side - value) / _NORMAL_QUANTILE
    if reach == 0:
        return 0.0 if end != value else 1.0
    return math.erfc(abs(value - end) / reach / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Scand. J. Statist. 1979), in the given order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted
