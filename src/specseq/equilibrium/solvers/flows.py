"""Solvers that follow the flow z' = F(z) and settle only where the discretised flow is stable."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.fields import Field
from specseq.equilibrium.solver_config import (
    AdaptiveEuler,
    Anderson,
    Euler,
    HeunEuler,
    RungeKutta4,
    SemiImplicitEuler,
)
from specseq.equilibrium.solvers.interface import Monitor, Solution, per_sample, residuals, solve


@solve.register
def _euler(solver: Euler, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8) -> Solution:
    """z ← z + ε F(z), the relaxation of the studied work. Does not settle when ε > ε_crit.

    Returns the last state, not the best one, as a fixed number of relaxation steps would.
    """
    monitor, z = Monitor(force, start, budget, tolerance), start
    while monitor.going:
        f, _ = monitor.evaluate(z)
        z = z + solver.step * f
    return monitor.solution(last=True)


@solve.register
def _adaptive(
    solver: AdaptiveEuler, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8
) -> Solution:
    """Euler whose step shrinks on any overshoot of the force residual and grows otherwise.

    Its facts give each sample's last step, typical step (the geometric mean over the second half of the steps
    taken) and number of overshoots at the floor, and whether Anderson took over.

    It removes the Euler wall if the floor is below ε_crit, but slowly: where a rotating mode limits the step,
    the residual overshoots long before it diverges. When some sample has shrunk ``patience`` times at
    the floor, Anderson takes over from the best states with the budget that is left.
    """
    monitor, z = Monitor(force, start, budget, tolerance), start
    f, g_B = monitor.evaluate(z)
    step_B = torch.full_like(g_B, solver.step)
    stuck_B = torch.zeros_like(g_B, dtype=torch.long)
    taken = [step_B]
    while monitor.going:
        taken.append(step_B)
        z = z + per_sample(step_B, z) * f
        before_B = g_B
        f, g_B = monitor.evaluate(z)
        overshoot = g_B > solver.contraction * before_B
        stuck_B = stuck_B + (overshoot & (step_B <= solver.floor))
        factor_B = torch.where(overshoot, solver.shrink, solver.grow)
        step_B = (step_B * factor_B).clamp(solver.floor, solver.ceiling)
        stuck = solver.patience > 0 and bool((stuck_B >= solver.patience).any())
        if stuck and monitor.spent < budget:
            facts = {**_steps(solver, step_B, taken, stuck_B), "handed_off": True}
            return _hand_off(monitor, force, budget, tolerance, facts)
    return monitor.solution(**_steps(solver, step_B, taken, stuck_B), handed_off=False)


def _steps(solver: AdaptiveEuler, step_B: Tensor, taken: Sequence[Tensor], stuck_B: Tensor) -> dict[str, Any]:
    """What the step-size controller did, for each sample."""
    late = torch.stack([step.log() for step in taken[len(taken) // 2 :]])
    typical_B = late.mean(0).exp().clamp(solver.floor, solver.ceiling)  # only rounding can take it outside
    return {
        "step": step_B.tolist(),
        "typical_step": typical_B.tolist(),
        "floor_overshoots": stuck_B.tolist(),
    }


def _hand_off(
    monitor: Monitor, force: Field, budget: int, tolerance: float, facts: dict[str, Any]
) -> Solution:
    spent = monitor.spent
    rest = solve(Anderson(), force, monitor.best_state, budget - spent, tolerance)
    trace, evaluations_B = monitor.seen()
    trace = trace + [(spent + count, g_B) for count, g_B in rest.trace]
    evaluations_B = torch.where(monitor.converged_B.cpu(), evaluations_B, spent + rest.evaluations_B)
    facts = {**rest.facts, **facts}
    return Solution(rest.state, rest.residual_B, rest.converged_B, monitor.spent, evaluations_B, trace, facts)


@solve.register
def _rk4(solver: RungeKutta4, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8) -> Solution:
    """The classical fourth-order method with a fixed step.

    Its stability region extends across the imaginary axis, so it may settle at a slightly unstable root.
    """
    monitor, z, h = Monitor(force, start, budget, tolerance), start, solver.step
    while monitor.going:
        k1, _ = monitor.evaluate(z)
        if not monitor.going:
            break
        k2 = force(z + h / 2 * k1)
        k3 = force(z + h / 2 * k2)
        k4 = force(z + h * k3)
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return monitor.solution()


@solve.register
def _heun(solver: HeunEuler, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8) -> Solution:
    """The embedded pair of Heun and Euler with local error control; the residual may rise on the way."""
    monitor, z = Monitor(force, start, budget, tolerance), start
    f, g_B = monitor.evaluate(z)
    h_B = torch.full_like(g_B, solver.step)
    while monitor.going:
        trial = force(z + per_sample(h_B, z) * f)
        error_B = residuals(trial - f, f) / 2
        accept = (error_B <= solver.error) | (h_B <= solver.floor)
        moved = z + per_sample(h_B / 2, z) * (f + trial)
        factor_B = (0.9 * solver.error / error_B.clamp_min(1e-12)).clamp(0.3, 1.5)
        h_B = (h_B * factor_B).clamp(solver.floor, solver.ceiling)
        if bool(accept.any()):
            z = torch.where(per_sample(accept, z), moved, z)
            f, _ = monitor.evaluate(z)
    return monitor.solution(step=h_B.tolist())


@solve.register
def _imex(
    solver: SemiImplicitEuler, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8
) -> Solution:
    """IMEX Euler, the leak implicit and the learned part explicit: z ← (z + h (F(z) + l z)) / (1 + h l).

    Bounded at any step, but no help against rotation in the learned part.
    """
    monitor, z = Monitor(force, start, budget, tolerance), start
    while monitor.going:
        f, _ = monitor.evaluate(z)
        z = z + solver.step / (1 + solver.step * force.leak) * f
    return monitor.solution(last=True)
