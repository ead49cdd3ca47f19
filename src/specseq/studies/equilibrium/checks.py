"""Checks of the equilibrium study's claims: multipliers of integrators, critical steps, bounds."""

import math
from typing import Any

from specseq.report.claims.rounding import Range, over_rounding, point, rounded


def _critical(a: float, b: float) -> float:
    """Largest stable step of explicit Euler for μ = a + ib; 0 where a ≥ 0."""
    return -2 * a / (a * a + b * b) if a < 0 else 0.0


def critical_step(re: Any, im: Any) -> Range:
    """ε_crit = -2a/(a² + b²) for a < 0, otherwise 0."""
    return over_rounding(_critical, rounded(re), rounded(im))


def multiplier_at_critical(re: Any, im: Any, times: Any) -> Range:
    """|1 + εμ| at ``times`` the critical step: below 1 before it, above 1 beyond it."""
    a, b = rounded(re).value, rounded(im).value
    return point(abs(1 + rounded(times).value * _critical(a, b) * complex(a, b)))


def flow_multiplier(re: Any, step: Any) -> Range:
    """exp(h·Re μ): the factor by which the flow multiplies a mode in a time h."""
    return over_rounding(lambda a, h: math.exp(a * h), rounded(re), rounded(step))


def largest_implicit_multiplier(step: Any) -> Range:
    """The largest |1/(1 - hμ)| over a grid of μ in the open left half plane."""
    h = rounded(step).value
    real = [-(10.0**k) for k in range(-6, 4)]
    imaginary = [0.0, *(10.0**k for k in range(-3, 5))]
    return point(max(abs(1 / (1 - h * complex(a, b))) for a in real for b in imaginary))


def imex_multiplier(re_nc: Any, im_nc: Any, step: Any, leak: Any = 2) -> Range:
    """|1 + hμ_nc| / (1 + h·leak): the leak -(1+c)z taken implicitly, the rest explicitly."""
    return over_rounding(
        lambda a, b, h, c: abs(1 + h * complex(a, b)) / (1 + h * c),
        rounded(re_nc), rounded(im_nc), rounded(step), rounded(leak),
    )  # fmt: skip


def damping_slope(re: Any, im: Any) -> Range:
    """dε_crit/d|Im μ| = 4ab/(a² + b²)²: negative where a smaller rotation allows a larger step."""
    return over_rounding(lambda a, b: 4 * a * abs(b) / (a * a + b * b) ** 2, rounded(re), rounded(im))


def rest_point_leak(c: Any) -> Range:
    """Coefficient of z in -(z - x) - c·z."""
    return over_rounding(lambda x: -(1 + x), rounded(c))
