"""Arithmetic of zeta zeros and spacings: counting function, mean spacing, reference spreads."""

import math
from typing import Any

from specseq.report.claims.arithmetic import check_function
from specseq.report.claims.printed import Exact, corners, exact, printed

FIRST_ZERO = 14.134725141734695


def smooth_count(t: float) -> float:
    """θ(t)/π + 1, the Riemann–von Mangoldt count without S(t)."""
    return t / (2 * math.pi) * math.log(t / (2 * math.pi * math.e)) + 7 / 8 + 1 / (48 * math.pi * t)


def unfold(t: float) -> float:
    """u(γ) = (γ/2π)·ln(γ/2πe)."""
    return t / (2 * math.pi) * math.log(t / (2 * math.pi * math.e))


@check_function
def zeros_below(height: Any) -> Exact:
    """Number of zeros up to a height, without S(t), which stays below 2 in size at these heights."""
    return corners(smooth_count, printed(height))


@check_function
def mean_unfolded_spacing(zeros: Any, last: Any) -> Exact:
    """(u(γ_N) - u(γ_1))/(N - 1): the sum of spacings telescopes."""
    n = printed(zeros).value
    return corners(lambda t: (unfold(t) - unfold(FIRST_ZERO)) / (n - 1), printed(last))


@check_function
def gue_spread() -> Exact:
    """Standard deviation of GUE spacings: √.17997, from the exact distribution (Mehta, chapter 16)."""
    return exact(math.sqrt(0.17997))


@check_function
def rows_of_spacings(zeros: Any, length: Any) -> Exact:
    """Whole rows that N zeros give: ⌊(N - 1)/length⌋."""
    return exact((int(printed(zeros).value) - 1) // int(printed(length).value))


@check_function
def points_needed(context: Any, horizon: Any) -> Exact:
    """Row length that a rollout needs: its context and its horizon."""
    return exact(printed(context).value + printed(horizon).value)


@check_function
def gue_form_factor(low: Any, high: Any) -> Exact:
    """Mean of the GUE's K(τ) = min(τ, 1) over low < 2πτ < high (Mehta, chapter 6)."""
    a, b = (printed(end).value / (2 * math.pi) for end in (low, high))

    def integral(tau: float) -> float:
        return tau * tau / 2 if tau < 1 else tau - 0.5

    return exact((integral(b) - integral(a)) / (b - a))
