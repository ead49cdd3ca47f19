"""Newton's method and backward Euler, both with GMRES on exact Jacobian products."""

import torch
from torch import Tensor

from specseq.equilibrium.fields import Field
from specseq.equilibrium.solver_config import BackwardEuler, NewtonGMRES
from specseq.equilibrium.solvers.gmres import gmres
from specseq.equilibrium.solvers.interface import Monitor, Solution, per_sample, solve
from specseq.spectra.operators import Map


def _solve_shifted(product: Map, f: Tensor, inverse_step_B: Tensor, size: int, tolerance_B: Tensor) -> Tensor:
    """Solve (I/h - J) d = F for d; complex states are stacked on the batch as real and imaginary parts."""
    if f.is_complex():
        parts = torch.cat([f.real, f.imag])
        twice = torch.cat([inverse_step_B] * 2), torch.cat([tolerance_B] * 2)

        def joint(v: Tensor) -> Tensor:
            real, imaginary = v.chunk(2)
            image = product(torch.complex(real, imaginary))
            return per_sample(twice[0], v) * v - torch.cat([image.real, image.imag])

        real, imaginary = gmres(joint, parts, size, twice[1])[0].chunk(2)
        return torch.complex(real, imaginary)
    return gmres(lambda v: per_sample(inverse_step_B, v) * v - product(v), f, size, tolerance_B)[0]


@solve.register
def _newton(
    solver: NewtonGMRES, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8
) -> Solution:
    """Newton's method with inexact linear solves and a line search per sample.

    It needs few evaluations from a start near the root, and ignores stability. It costs more than Anderson
    where the spectrum is wide, since GMRES then needs many products.
    """
    monitor, z = Monitor(force, start, budget, tolerance), start
    f, g_B = monitor.evaluate(z)
    while monitor.going:
        active = ~monitor.converged_B & monitor.alive_B
        enough_B = (0.5 * tolerance / g_B).clamp(solver.linear_tolerance, 0.5)
        enough_B = torch.where(active, enough_B, torch.inf)
        d = _solve_shifted(force.linearise(z), f, torch.zeros_like(g_B), solver.krylov, enough_B)
        t_B = active.to(g_B)
        while True:
            trial = z + per_sample(t_B, z) * d
            trial_f, trial_B = monitor.evaluate(trial)
            halve = active & (trial_B > solver.growth * g_B) & (t_B >= solver.shortest)
            if not bool(halve.any()) or monitor.spent >= budget:
                break
            t_B = torch.where(halve, t_B / 2, t_B)
        z, f, g_B = trial, trial_f, trial_B
    return monitor.solution()


@solve.register
def _backward_euler(
    solver: BackwardEuler, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8
) -> Solution:
    """Pseudo-transient continuation: linearly implicit Euler, (I/h - J) d = F, whose step h grows as F falls.

    A-stable, so no rotation limits the step; as h grows it turns into Newton's method and, like it, converges
    to unstable roots (Kelley & Keyes 1998).
    """
    monitor, z = Monitor(force, start, budget, tolerance), start
    f, g_B = monitor.evaluate(z)
    h_B = torch.full_like(g_B, solver.step)
    while monitor.going:
        active = ~monitor.converged_B & monitor.alive_B
        enough_B = (0.5 * tolerance / g_B).clamp(solver.linear_tolerance, 0.5)
        enough_B = torch.where(active, enough_B, torch.inf)
        d = _solve_shifted(force.linearise(z), f, 1 / h_B, solver.krylov, enough_B)
        z = z + per_sample(active.to(g_B), z) * d
        before_B = g_B
        f, g_B = monitor.evaluate(z)
        # Switched evolution relaxation (Mulder & van Leer 1985), bounded both ways.
        ratio_B = (before_B / g_B).nan_to_num(0.5).clamp(0.5, 5.0)
        h_B = (h_B * ratio_B.clamp_max(solver.growth)).clamp_max(solver.ceiling)
    return monitor.solution(step=h_B.tolist())
