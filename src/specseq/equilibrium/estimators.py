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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import (
    AdaptiveLength,
    AdjointEstimator,
    Estimator,
    Holomorphic,
    LockIn,
    Nudged,
    OneSided,
    Products,
    Settled,
)
from specseq.equilibrium.fields import AdjointFlow
from specseq.equilibrium.nudging import NudgedPhase
from specseq.equilibrium.solver_config import Solver
from specseq.equilibrium.solvers import Solution, solve
from specseq.equilibrium.solvers.gmres import gmres
from specseq.equilibrium.solvers.interface import per_sample
from specseq.errors import InputError
from specseq.spectra.operators import Jacobian


@dataclass(frozen=True)
class Problem:
    """A free equilibrium and the cost whose adjoint is wanted there.

    Attributes:
        block: force and cost.
        x_BTC: input, detached.
        root_BTC: z*, or what the free phase left.
        targets_BT: symbols to predict.
        products: precision of the products that act on a nudged phase's difference from the free state.
    """

    block: EquilibriumBlock
    x_BTC: Tensor
    root_BTC: Tensor
    targets_BT: Tensor
    products: Products = "float32"


@dataclass(frozen=True)
class Adjoint:
    """An estimate of the adjoint.

    Attributes:
        a_BTC: the estimate.
        residual_B: largest force residual among the phases of a sample; not finite where one diverged.
        evaluations: number spent.
        facts: the nudged solver's ``facts``, see :class:`Solution`; with an adaptive length ``length_B``, the
            number of evaluations after which each sample's estimate was taken.
    """

    a_BTC: Tensor
    residual_B: Tensor
    evaluations: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@singledispatch
def estimate(
    estimator: Estimator | Settled, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    """Estimate the adjoint at a free equilibrium.

    Args:
        estimator: which method, with its constants.
        problem: the free equilibrium and the targets.
        solver: solver of the nudged phases.
        budget: evaluations allowed for the stacked nudged phases.
        tolerance: tolerance of the adjoint, as a force residual.
    """
    raise TypeError(f"{estimator!r} is no estimator")


@estimate.register
def _by_nudges(
    estimator: Settled, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    """Estimate from the states at all nudge points, solved as one batch."""
    nudged = _nudged(estimator, problem, _betas(estimator, problem.root_BTC))
    # The adjoint is a difference of states divided by r, so the states need a tolerance smaller by r.
    sharper = tolerance * estimator.radius

    def stretch(state: Tensor, evaluations: int) -> Solution:
        return solve(solver, nudged, state, evaluations, sharper)

    def read(solution: Solution) -> Adjoint:
        z_NBTC = solution.state.unflatten(0, (-1, len(problem.root_BTC)))
        residual_B = solution.residual_B.unflatten(0, (-1, len(problem.root_BTC))).amax(0)
        return Adjoint(_response(estimator, z_NBTC, problem.root_BTC), residual_B, nudged.evaluations)

    if estimator.length is not None:
        return _adaptive(estimator.length, problem, nudged, budget, stretch, read)
    solution = stretch(nudged.start, budget)
    adjoint = read(solution)
    return Adjoint(adjoint.a_BTC, adjoint.residual_B, adjoint.evaluations, solution.facts)


def _adaptive(
    length: AdaptiveLength,
    problem: Problem,
    nudged: NudgedPhase,
    budget: int,
    stretch: Callable[[Tensor, int], Solution],
    read: Callable[[Solution], Adjoint],
) -> Adjoint:
    """Check the estimate every ``length.every`` evaluations.

    ``select`` measures each time how well the estimate solves Jᵀ a = -∂cost/∂z and keeps each sample's best
    estimate, so that a phase that later runs away does no harm. The check takes one product with Jᵀ, which
    counts as an evaluation. ``track`` keeps the last estimate and ends when no sample's estimate moves.
    """
    block, x_BTC, root = problem.block, problem.x_BTC, problem.root_BTC
    jacobian = Jacobian(lambda z: block.force(z, x_BTC), root)
    source = block.cost_gradient(root, problem.targets_BT).detach()
    state, kept = nudged.start, Adjoint(root * torch.nan, torch.full_like(root[:, 0, 0], torch.inf), 0)
    score_B = torch.full_like(kept.residual_B, torch.inf)
    length_B = torch.zeros_like(score_B)
    while nudged.evaluations < budget:
        solution = stretch(state, min(length.every, budget - nudged.evaluations))
        state, look = solution.state, read(solution)
        spent = nudged.evaluations
        if length.method == "select":
            nudged.evaluations += 1
            new_B = _share(jacobian.rmatvec(look.a_BTC) + source, source)
            better_B = ~(new_B >= score_B)
        else:
            new_B = _share(look.a_BTC - kept.a_BTC, look.a_BTC)
            better_B = torch.ones_like(new_B, dtype=torch.bool)
        score_B = torch.where(better_B, new_B, score_B)
        length_B = torch.where(better_B, float(spent), length_B)
        kept = Adjoint(
            torch.where(per_sample(better_B, root), look.a_BTC, kept.a_BTC),
            torch.where(better_B, look.residual_B, kept.residual_B),
            nudged.evaluations,
        )
        still = length.method == "track" and bool((score_B <= length.change).all())
        if still or bool(solution.converged_B.all()):
            break
    return Adjoint(kept.a_BTC, kept.residual_B, nudged.evaluations, {"length_B": length_B.tolist()})


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """‖part‖/‖whole‖ of each sample; infinite where anything is not finite."""
    ratio_B = part.flatten(1).norm(dim=1) / whole.flatten(1).norm(dim=1)
    return ratio_B.nan_to_num(torch.inf, torch.inf)


def _nudged(estimator: Nudged, problem: Problem, betas_N: Tensor) -> NudgedPhase:
    return NudgedPhase(
        problem.block,
        problem.x_BTC,
        problem.root_BTC,
        problem.targets_BT,
        betas_N,
        estimator.corrected,
        estimator.drift_cancelled,
        problem.products,
    )


def _betas(estimator: Settled, root: Tensor) -> Tensor:
    """The nudge points; only the upper half of a circle, since z(β̄) is the conjugate of z(β)."""
    match estimator:
        case OneSided():
            return root.new_tensor([estimator.radius])
        case Holomorphic():
            return estimator.radius * _turns(estimator, root)
        case _:
            return root.new_tensor([estimator.radius, -estimator.radius])


def _response(estimator: Settled, z: Tensor, root: Tensor) -> Tensor:
    """-dz/dβ from the states of the nudge points."""
    match estimator:
        case OneSided():
            return (root - z[0]) / estimator.radius
        case Holomorphic():
            weighted = (z * _turns(estimator, root).conj().view(-1, 1, 1, 1)).real.sum(0)
            return -2 * weighted / (estimator.points * estimator.radius)
        case _:
            return (z[1] - z[0]) / (2 * estimator.radius)


def _turns(estimator: Holomorphic, root: Tensor) -> Tensor:
    """e^{iφ} at the phases π(2k+1)/N."""
    phases = torch.arange(estimator.points // 2, device=root.device, dtype=root.dtype)
    phases = math.pi * (2 * phases + 1) / estimator.points
    return torch.polar(torch.ones_like(phases), phases)


@estimate.register
def _lock_in(estimator: LockIn, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
    """Nudge with β(t) = r cos Ωt along the flow and demodulate, as a physical device would.

    It follows the flow by its own Euler steps, so it needs a stable flow and a step below ε_crit; its bias
    has a part of order Ω² besides the one in r. The residual reported is the free state's, since the nudged
    state never rests.
    """
    if estimator.evaluations > budget:
        raise InputError(
            "estimator.period",
            f"needs {estimator.evaluations} evaluations of {budget}",
            "raise nudged.evaluations, or shorten period or cycles",
        )
    root, settle = problem.root_BTC, estimator.cycles * estimator.period
    nudged = _nudged(estimator, problem, root.new_ones(1))
    z, total = root, torch.zeros_like(root)
    for tick in range(2 * settle):
        carrier = math.cos(2 * math.pi * tick / estimator.period)
        if tick >= settle:
            total += carrier * (z - root)
        nudged.betas_K = torch.full_like(nudged.betas_K, estimator.radius * carrier)
        z = z + estimator.step * nudged(z)
    a_BTC = -2 * total / (estimator.radius * settle)
    at_rest = problem.block.force(root, problem.x_BTC).detach().flatten(1).norm(dim=1)
    finite = torch.isfinite(a_BTC).flatten(1).all(1)
    residual_B = torch.where(finite, at_rest / root.flatten(1).norm(dim=1), torch.inf)
    return Adjoint(a_BTC, residual_B, nudged.evaluations)


@estimate.register
def _adjoint_flow(
    estimator: AdjointEstimator, problem: Problem, solver: Solver, budget: int, tolerance: float
) -> Adjoint:
    """The rest point of a' = Jᵀ a + ∂cost/∂z: no nudge, no bias, no forward evaluation."""
    block, x_BTC, root = problem.block, problem.x_BTC, problem.root_BTC
    jacobian = Jacobian(lambda z: block.force(z, x_BTC), root)
    source = block.cost_gradient(root, problem.targets_BT).detach()
    flow = AdjointFlow(jacobian, source, block.leak)
    solution = solve(solver, flow, source / block.leak, budget, tolerance)
    return Adjoint(solution.state, solution.residual_B, flow.evaluations, solution.facts)


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
