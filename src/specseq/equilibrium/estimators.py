"""Estimators of the adjoint a = -dz*/dβ, from nudged equilibria or from the adjoint flow.

The exact adjoint solves Jᵀ a = -∂cost/∂z, and the gradient of the cost is ⟨a, ∂F/∂θ⟩ plus the direct term of
the read-out. Estimators differ in their bias in the nudge radius r:

============== ========== ====================================================================
name           bias       source
============== ========== ====================================================================
one_sided      O(r)       Scellier & Bengio 2017
two_sided      O(r²)      Laborieux et al. 2021
holomorphic    O(r^N)     Laborieux & Zenke 2022, N points on a circle, the upper half computed
lock_in        O(r²+Ω²)   slow sinusoidal nudge of frequency Ω, demodulated
adjoint        none       the limit r → 0 by vector-Jacobian products (Almeida 1987, Pineda 1987)
============== ========== ====================================================================

Shapes: B sample, T position, C channel, N nudge point.
"""

import math
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import (
    AdjointEstimator,
    Estimator,
    Holomorphic,
    LockIn,
    Nudged,
    OneSided,
    TwoSided,
)
from specseq.equilibrium.fields import AdjointFlow
from specseq.equilibrium.nudging import NudgedPhase
from specseq.equilibrium.solver_config import Solver
from specseq.equilibrium.solvers import solve
from specseq.equilibrium.solvers.gmres import gmres
from specseq.errors import InputError
from specseq.spectra.operators import Jacobian


@dataclass(frozen=True)
class Problem:
    """A free equilibrium and what is asked of it.

    Attributes:
        block: force and cost.
        x_BTC: input, detached.
        root_BTC: z*, or what the free phase left.
        targets_BT: symbols to predict.
    """

    block: EquilibriumBlock
    x_BTC: Tensor
    root_BTC: Tensor
    targets_BT: Tensor


@dataclass(frozen=True)
class Adjoint:
    """An estimate of the adjoint.

    Attributes:
        a_BTC: the estimate.
        residual_B: largest force residual among the phases of a sample; not finite where one diverged.
        evaluations: spent.
    """

    a_BTC: Tensor
    residual_B: Tensor
    evaluations: int


@singledispatch
def estimate(
    estimator: Estimator, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    """Estimate the adjoint at a free equilibrium.

    Args:
        estimator: which method, with its constants.
        problem: the free equilibrium and the targets.
        solver: that of the free phase: any other would answer another question.
        budget: evaluations of the stacked nudged phases.
        tolerance: of the adjoint, as a force residual.
    """
    raise TypeError(f"{estimator!r} is no estimator")


def _phases(
    estimator: Nudged, problem: Problem, betas_N: Tensor, solver: Solver, budget: int, tolerance: float
) -> tuple[Tensor, Adjoint]:
    """States of the nudged phases, and their residuals and evaluations."""
    field = _field(estimator, problem, betas_N)
    # The adjoint is a difference of states over r: the states must be as much sharper.
    solution = solve(solver, field, field.start, budget, tolerance * estimator.radius)
    points = betas_N.shape[0]
    residual_B = solution.residual_B.view(points, -1).amax(0)
    z_NBTC = solution.state.unflatten(0, (points, -1))
    return z_NBTC, Adjoint(problem.root_BTC, residual_B, field.evaluations)


def _field(estimator: Nudged, problem: Problem, betas_N: Tensor) -> NudgedPhase:
    return NudgedPhase(
        problem.block,
        problem.x_BTC,
        problem.root_BTC,
        problem.targets_BT,
        betas_N,
        estimator.corrected,
        estimator.drift_cancelled,
    )


@estimate.register
def _one_sided(
    estimator: OneSided, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    betas = problem.root_BTC.new_tensor([estimator.radius])
    z, done = _phases(estimator, problem, betas, solver, budget, tolerance)
    return Adjoint((problem.root_BTC - z[0]) / estimator.radius, done.residual_B, done.evaluations)


@estimate.register
def _two_sided(
    estimator: TwoSided, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    betas = problem.root_BTC.new_tensor([estimator.radius, -estimator.radius])
    z, done = _phases(estimator, problem, betas, solver, budget, tolerance)
    return Adjoint((z[1] - z[0]) / (2 * estimator.radius), done.residual_B, done.evaluations)


@estimate.register
def _holomorphic(
    estimator: Holomorphic, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    """z(β̄) is the conjugate of z(β), so with phases π(2k+1)/N half of the points are enough."""
    root = problem.root_BTC
    phases = torch.arange(estimator.points // 2, device=root.device, dtype=root.dtype)
    phases = math.pi * (2 * phases + 1) / estimator.points
    turns = torch.polar(torch.ones_like(phases), phases)
    z, done = _phases(estimator, problem, estimator.radius * turns, solver, budget, tolerance)
    weighted = (z * turns.conj().view(-1, 1, 1, 1)).real.sum(0)
    a_BTC = -2 * weighted / (estimator.points * estimator.radius)
    return Adjoint(a_BTC, done.residual_B, done.evaluations)


@estimate.register
def _lock_in(estimator: LockIn, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
    """Nudge with β(t) = r cos Ωt along the flow and demodulate, as a physical device would.

    Follows the flow by Euler steps of its own, so it needs a stable flow and a step below ε_crit, and its
    bias has a part of order Ω² beside that in r. The residual it reports is that of the free state, since
    the nudged state never rests.
    """
    if estimator.evaluations > budget:
        raise InputError(
            "estimator.period",
            f"needs {estimator.evaluations} evaluations of {budget}",
            "raise nudged.evaluations, or shorten period or cycles",
        )
    root, settle = problem.root_BTC, estimator.cycles * estimator.period
    field = _field(estimator, problem, root.new_ones(1))
    z, total = root, torch.zeros_like(root)
    for tick in range(2 * settle):
        carrier = math.cos(2 * math.pi * tick / estimator.period)
        if tick >= settle:
            total += carrier * (z - root)
        field.betas_K = torch.full_like(field.betas_K, estimator.radius * carrier)
        z = z + estimator.step * field(z)
    a_BTC = -2 * total / (estimator.radius * settle)
    at_rest = problem.block.force(root, problem.x_BTC).detach().flatten(1).norm(dim=1)
    finite = torch.isfinite(a_BTC).flatten(1).all(1)
    residual_B = torch.where(finite, at_rest / root.flatten(1).norm(dim=1), torch.inf)
    return Adjoint(a_BTC, residual_B, field.evaluations)


@estimate.register
def _adjoint_flow(
    estimator: AdjointEstimator, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    """The rest point of a' = Jᵀ a + ∂cost/∂z: no nudge, no bias, no forward evaluation."""
    block, x_BTC, root = problem.block, problem.x_BTC, problem.root_BTC
    jacobian = Jacobian(lambda z: block.force(z, x_BTC), root)
    source = block.cost_gradient(root, problem.targets_BT).detach()
    field = AdjointFlow(jacobian, source, block.leak)
    solution = solve(solver, field, source / block.leak, budget, tolerance)
    return Adjoint(solution.state, solution.residual_B, field.evaluations)


def implicit_adjoint(problem: Problem, tolerance: float, krylov: int = 60) -> Adjoint:
    """The exact adjoint by GMRES on Jᵀ a = -∂cost/∂z.

    Args:
        problem: the free equilibrium and the targets.
        tolerance: relative residual at which to stop.
        krylov: largest Krylov space.
    """
    block, x_BTC, root = problem.block, problem.x_BTC, problem.root_BTC
    jacobian = Jacobian(lambda z: block.force(z, x_BTC), root)
    source = block.cost_gradient(root, problem.targets_BT).detach()
    products = 0

    def minus_transposed(v: Tensor) -> Tensor:
        nonlocal products
        products += 1
        return -jacobian.rmatvec(v)

    a_BTC, residual_B = gmres(minus_transposed, source, krylov, tolerance)
    return Adjoint(a_BTC, residual_B, products)
