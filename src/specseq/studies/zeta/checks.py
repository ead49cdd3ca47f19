"""Checks of the zeta study's claims: counting function, mean spacing, reference spreads, parameter counts."""

import math
from typing import Any

from specseq.report.claims.rounding import Range, over_rounding, point, rounded

_FIRST_ZERO = 14.134725141734695


def _smooth_count(t: float) -> float:
    """θ(t)/π + 1, the Riemann–von Mangoldt count without S(t)."""
    return t / (2 * math.pi) * math.log(t / (2 * math.pi * math.e)) + 7 / 8 + 1 / (48 * math.pi * t)


def _unfold(t: float) -> float:
    """u(γ) = (γ/2π)·ln(γ/2πe)."""
    return t / (2 * math.pi) * math.log(t / (2 * math.pi * math.e))


def zeros_below(height: Any) -> Range:
    """Number of zeros up to a height, without S(t), which stays below 2 in size at these heights."""
    return over_rounding(_smooth_count, rounded(height))


def mean_unfolded_spacing(zeros: Any, last: Any) -> Range:
    """(u(γ_N) - u(γ_1))/(N - 1): the sum of spacings telescopes."""
    n = rounded(zeros).value
    return over_rounding(lambda t: (_unfold(t) - _unfold(_FIRST_ZERO)) / (n - 1), rounded(last))


def gue_spread() -> Range:
    """Standard deviation of GUE spacings: √.17997, from the exact distribution (Mehta, chapter 16)."""
    return point(math.sqrt(0.17997))


def rows_of_spacings(zeros: Any, length: Any) -> Range:
    """Whole rows that N zeros give: ⌊(N - 1)/length⌋."""
    return point((int(rounded(zeros).value) - 1) // int(rounded(length).value))


def mdn_parameters(
    width: Any, blocks: Any, context: Any, components: Any, slots: Any = 0, extra_positions: Any = 0
) -> Range:
    """Parameters of SpacingMDN: scalar embedding, learned positions, pre-LN blocks without biases, head.

    Memory adds ``slots`` vectors, and ``extra_positions`` rows where they carry learned positions.
    """
    d, n, k = rounded(width).value, rounded(blocks).value, rounded(components).value
    positions = rounded(context).value + rounded(extra_positions).value
    block = 12 * d * d + 4 * d
    head = 3 * k * (d + 1)
    return point(2 * d + positions * d + n * block + 2 * d + head + rounded(slots).value * d)


def memory_parameters(width: Any, slots: Any, extra_positions: Any = 0) -> Range:
    """Parameters that memory slots add: their vectors, and learned positions for them."""
    return point((rounded(slots).value + rounded(extra_positions).value) * rounded(width).value)


def points_needed(context: Any, horizon: Any) -> Range:
    """Row length that a rollout needs: its context and its horizon."""
    return point(rounded(context).value + rounded(horizon).value)


def predictions_from_context(length: Any, context: Any) -> Range:
    """Number of a training row's predictions that a causal model makes from exactly so many known values."""
    known = range(1, int(rounded(length).value))
    return point(sum(number == int(rounded(context).value) for number in known))
