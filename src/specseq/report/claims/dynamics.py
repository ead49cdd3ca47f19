"""Arithmetic of relaxation: multipliers of integrators, critical steps, residuals, spectral bounds."""

import math
from typing import Any

from specseq.report.claims.arithmetic import check_function
from specseq.report.claims.printed import Exact, corners, exact, printed


def critical(a: float, b: float) -> float:
    """Largest stable step of explicit Euler for μ = a + ib; 0 where a ≥ 0."""
    return -2 * a / (a * a + b * b) if a < 0 else 0.0


@check_function
def euler_multiplier(re: Any, im: Any, eps: Any) -> Exact:
    """|1 + εμ| of explicit Euler for the eigenvalue μ = re + i·im."""
    return corners(lambda a, b, e: abs(1 + e * complex(a, b)), printed(re), printed(im), printed(eps))


@check_function
def critical_step(re: Any, im: Any) -> Exact:
    """ε_crit = -2a/(a² + b²) for a < 0, otherwise 0."""
    return corners(critical, printed(re), printed(im))


@check_function
def multiplier_at_critical(re: Any, im: Any, times: Any) -> Exact:
    """|1 + εμ| at ``times`` the critical step: below 1 before it, above 1 beyond it."""
    a, b = printed(re).value, printed(im).value
    return exact(abs(1 + printed(times).value * critical(a, b) * complex(a, b)))


@check_function
def implicit_multiplier(re: Any, im: Any, step: Any) -> Exact:
    """|1/(1 - hμ)| of backward Euler."""
    return corners(lambda a, b, h: abs(1 / (1 - h * complex(a, b))), printed(re), printed(im), printed(step))


@check_function
def largest_implicit_multiplier(step: Any) -> Exact:
    """The largest |1/(1 - hμ)| over a grid of μ in the open left half plane."""
    h = printed(step).value
    real = [-(10.0**k) for k in range(-6, 4)]
    imaginary = [0.0, *(10.0**k for k in range(-3, 5))]
    return exact(max(abs(1 / (1 - h * complex(a, b))) for a in real for b in imaginary))


@check_function
def imex_multiplier(re_nc: Any, im_nc: Any, step: Any, leak: Any = 2) -> Exact:
    """|1 + hμ_nc| / (1 + h·leak): the leak -(1+c)z taken implicitly, the rest explicitly."""
    return corners(
        lambda a, b, h, c: abs(1 + h * complex(a, b)) / (1 + h * c),
        printed(re_nc), printed(im_nc), printed(step), printed(leak),
    )  # fmt: skip


@check_function
def imaginary_for_critical(re: Any, eps: Any) -> Exact:
    """|Im μ| at which the critical step is ε, for a given Re μ < 0."""
    a, e = printed(re).value, printed(eps).value
    return exact(math.sqrt(max(0.0, -2 * a / e - a * a)))


@check_function
def damping_slope(re: Any, im: Any) -> Exact:
    """dε_crit/d|Im μ| = 4ab/(a² + b²)²: negative where a smaller rotation allows a larger step."""
    return corners(lambda a, b: 4 * a * abs(b) / (a * a + b * b) ** 2, printed(re), printed(im))


@check_function
def rest_point_leak(c: Any) -> Exact:
    """Coefficient of z in -(z - x) - c·z."""
    return corners(lambda x: -(1 + x), printed(c))
