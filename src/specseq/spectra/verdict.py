"""A one-word verdict on the stability of an equilibrium, from its spectrum and residual.

========== ================================================================================================
verdict    meaning
========== ================================================================================================
HOPF       a root of the force, unstable for the flow: a rotating pair grows (α ≥ 0, Im μ ≠ 0)
SADDLE     a root, unstable for the flow: a real mode grows (α ≥ 0, Im μ = 0)
DOUBTFUL   a root, but α or ρ is nearer to its bound (0 or 1) than its error
EULER-WALL a root, stable for the flow (α < 0), but Euler with the step in use leaves it (ρ ≥ 1)
STABLE     a root, stable for the flow and for Euler (α < 0, ρ < 1)
TRANSIENT  no root yet, but the flow and the Euler map contract here: more steps would help
NO-ROOT    no root, and no sign that one is near
========== ================================================================================================

Convergence of a solver does not distinguish the first five: several solvers converge to unstable roots.
"""

from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

TOLERANCE = 1e-6
"""Largest force residual at which a state counts as a root, unless a caller says otherwise."""


class Verdict(StrEnum):
    """See the table in the module docstring; from most to least serious, to find the worst of many."""

    NO_ROOT = "NO-ROOT"
    HOPF = "HOPF"
    SADDLE = "SADDLE"
    DOUBTFUL = "DOUBTFUL"
    TRANSIENT = "TRANSIENT"
    EULER_WALL = "EULER-WALL"
    STABLE = "STABLE"


def verdicts(
    alpha: ArrayLike,
    rotation: ArrayLike,
    radius: ArrayLike,
    residual: ArrayLike,
    tolerance: float = TOLERANCE,
    error: ArrayLike = 0.0,
    step: float = 0.0,
) -> NDArray[np.str_]:
    """Verdicts, element by element.

    Args:
        alpha: α, real part of the rightmost mode.
        rotation: imaginary part of that mode.
        radius: ρ(ε) of the Euler map with the step in use.
        residual: force residual ‖F‖/‖z‖ (not the step residual, which is ε times as large).
        tolerance: largest force residual at which a state counts as a root.
        error: error of the mode. Up to it, a mode with |Im μ| > 0 counts as real and |α| as 0.
        step: ε, the factor from the error of the mode to the error of ρ.

    Returns:
        Verdict names. Anything not finite is NO-ROOT.

    Shapes:
        All arguments broadcast to the shape of the result.
    """
    given = (alpha, rotation, radius, residual, error)
    a, b, rho, g, e = np.broadcast_arrays(*(np.asarray(x, float) for x in given))
    known = np.isfinite(a) & np.isfinite(b) & np.isfinite(rho) & np.isfinite(g)
    root = known & (g <= tolerance)
    growing = a >= 0
    # With an error of NaN everything is doubtful, with one of 0 nothing is.
    doubtful = (e != 0) & (~(e < np.abs(a)) | (~growing & ~(step * e < np.abs(rho - 1))))
    rotating = np.abs(b) > np.maximum(e, 1e-9 * np.minimum(1, np.hypot(a, b)))
    return np.select(
        [
            root & doubtful,
            root & growing & rotating,
            root & growing,
            root & (rho >= 1),
            root,
            known & ~growing & (rho < 1),
        ],
        [
            Verdict.DOUBTFUL,
            Verdict.HOPF,
            Verdict.SADDLE,
            Verdict.EULER_WALL,
            Verdict.STABLE,
            Verdict.TRANSIENT,
        ],
        default=str(Verdict.NO_ROOT),
    )


def worst(names: ArrayLike) -> Verdict:
    """The most serious of several verdicts."""
    found = {str(name) for name in np.asarray(names).ravel()}
    return next(verdict for verdict in Verdict if verdict in found)
