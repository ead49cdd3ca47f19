"""A measured quantity, whatever measured it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

Back = Callable[[float], float]


@dataclass(frozen=True)
class Measured:
    """A measured quantity.

    Attributes:
        value: the estimate; NaN where it was measured and is undefined.
        low, high: its interval; NaN where there is none.
        exact: whether the interval is a range of rounding and no statistic.
        n: replicates behind it.
        evidence: what decided it: files and rows, or the formula.
        note: why there is no interval, or what was left out.
    """

    value: float
    low: float
    high: float
    exact: bool
    n: int
    evidence: str
    note: str = ""


def percent(log_ratio: float) -> float:
    """A log ratio as a percentage of change."""
    return 100 * math.expm1(log_ratio)


# From the scale on which two quantities are compared (logarithms for ratios) back to that of the claim.
BACK: dict[str, Back] = {"difference": float, "ratio": math.exp, "percent": percent}
