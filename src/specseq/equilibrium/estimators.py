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

B sample, T position, C channel, N nudge point.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.fields import AdjointFlow
from specseq.equilibrium.nudging import NudgedPhase
from specseq.equilibrium.solvers import Solution, Solver
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


class Estimator(ABC):
    """Estimates the adjoint with the solver of the free phase: any other would answer another question."""

    @abstractmethod
    def estimate(self, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
        """Spend at most ``budget`` evaluations of the stacked phases; ``tolerance`` is the adjoint's."""


@dataclass(frozen=True)
class _Nudged(Estimator):
    """What the estimators by nudged equilibria share.

    Attributes:
        radius: r; nudges act per token.
        corrected: whether the nudged phase has its non-conservative term.
        drift_cancelled: whether the free drift is taken out of the nudged force.
    """

    radius: float = 0.02
    corrected: bool = True
    drift_cancelled: bool = False

    def _phases(
        self, problem: Problem, betas_N: Tensor, solver: Solver, budget: int, tolerance: float
    ) -> tuple[Tensor, Adjoint]:
        field = NudgedPhase(
            problem.block,
            problem.x_BTC,
            problem.root_BTC,
            problem.targets_BT,
            betas_N,
            self.corrected,
            self.drift_cancelled,
        )
        # The adjoint is a difference of states over r: the states must be as much sharper.
        solution: Solution = solver.solve(field, field.start, budget, tolerance * self.radius)
        points = betas_N.shape[0]
        residual_B = solution.residual_B.view(points, -1).amax(0)
        z_NBTC = solution.state.unflatten(0, (points, -1))
        return z_NBTC, Adjoint(problem.root_BTC, residual_B, field.evaluations)


@dataclass(frozen=True)
class OneSided(_Nudged):
    """(z* - z(r)) / r."""

    def estimate(self, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
        betas = problem.root_BTC.new_tensor([self.radius])
        z, done = self._phases(problem, betas, solver, budget, tolerance)
        return Adjoint((problem.root_BTC - z[0]) / self.radius, done.residual_B, done.evaluations)


@dataclass(frozen=True)
class TwoSided(_Nudged):
    """(z(-r) - z(r)) / 2r."""

    def estimate(self, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
        betas = problem.root_BTC.new_tensor([self.radius, -self.radius])
        z, done = self._phases(problem, betas, solver, budget, tolerance)
        return Adjoint((z[1] - z[0]) / (2 * self.radius), done.residual_B, done.evaluations)


@dataclass(frozen=True)
class Holomorphic(_Nudged):
    """The first Fourier coefficient of z(r e^{iφ}) over N points of a circle.

    z(β̄) is the conjugate of z(β), so with phases π(2k+1)/N half of the points are enough.

    Attributes:
        points: N, even; the bias is O(r^N).
    """

    points: int = 4

    def __post_init__(self) -> None:
        if self.points < 2 or self.points % 2:
            raise InputError("estimator.points", f"{self.points} is not an even number of points")

    def estimate(self, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
        root = problem.root_BTC
        phases = torch.arange(self.points // 2, device=root.device, dtype=root.dtype)
        phases = math.pi * (2 * phases + 1) / self.points
        turns = torch.polar(torch.ones_like(phases), phases)
        z, done = self._phases(problem, self.radius * turns, solver, budget, tolerance)
        weighted = (z * turns.conj().view(-1, 1, 1, 1)).real.sum(0)
        return Adjoint(-2 * weighted / (self.points * self.radius), done.residual_B, done.evaluations)


@dataclass(frozen=True)
class LockIn(_Nudged):
    """Nudge with β(t) = r cos Ωt along the flow and demodulate, as a physical device would.

    Follows the flow by Euler steps of its own, so it needs a stable flow and a step below ε_crit, and its
    bias has a part of order Ω² beside that in r. The residual it reports is that of the free state, since
    the nudged state never rests.

    Attributes:
        step: ε.
        period: steps in a cycle; Ω = 2π / (ε · period).
        cycles: cycles averaged over, after as many to settle.
    """

    step: float = 0.1
    period: int = 400
    cycles: int = 2

    def estimate(self, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
        root, settle = problem.root_BTC, self.cycles * self.period
        if 2 * settle > budget:
            raise InputError(
                "estimator.period",
                f"{2 * settle} steps to settle and average are more than the {budget} evaluations at hand",
                "raise nudged.evaluations, or shorten period or cycles",
            )
        field = NudgedPhase(
            problem.block,
            problem.x_BTC,
            root,
            problem.targets_BT,
            root.new_ones(1),
            self.corrected,
            self.drift_cancelled,
        )
        z, total = root, torch.zeros_like(root)
        for tick in range(2 * settle):
            carrier = math.cos(2 * math.pi * tick / self.period)
            if tick >= settle:
                total += carrier * (z - root)
            field.betas_K = torch.full_like(field.betas_K, self.radius * carrier)
            z = z + self.step * field(z)
        a_BTC = -2 * total / (self.radius * settle)
        at_rest = problem.block.force(root, problem.x_BTC).detach().flatten(1).norm(dim=1)
        finite = torch.isfinite(a_BTC).flatten(1).all(1)
        residual_B = torch.where(finite, at_rest / root.flatten(1).norm(dim=1), torch.inf)
        return Adjoint(a_BTC, residual_B, field.evaluations)


@dataclass(frozen=True)
class AdjointEstimator(Estimator):
    """The rest point of a' = Jᵀ a + ∂cost/∂z: no nudge, no bias, no forward evaluation."""

    def estimate(self, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
        block, x_BTC, root = problem.block, problem.x_BTC, problem.root_BTC
        jacobian = Jacobian(lambda z: block.force(z, x_BTC), root)
        source = block.cost_gradient(root, problem.targets_BT).detach()
        field = AdjointFlow(jacobian, source, block.leak)
        solution = solver.solve(field, source / block.leak, budget, tolerance)
        return Adjoint(solution.state, solution.residual_B, field.evaluations)


ESTIMATORS: dict[str, type[Estimator]] = {
    "one_sided": OneSided,
    "two_sided": TwoSided,
    "holomorphic": Holomorphic,
    "lock_in": LockIn,
    "adjoint": AdjointEstimator,
}


def make_estimator(params: Mapping[str, Any]) -> Estimator:
    """An estimator from ``{"name": ..., <its constants>}``.

    Raises:
        InputError: an unknown name or constant.
    """
    constants = dict(params)
    name = constants.pop("name", None)
    if name not in ESTIMATORS:
        raise InputError(
            "estimator.name", f"unknown estimator {name!r}", f"known are {', '.join(ESTIMATORS)}"
        )
    known = {entry.name for entry in fields(ESTIMATORS[name])}  # type: ignore[arg-type]
    for constant in constants:
        if constant not in known:
            found = ", ".join(sorted(known)) or "none"
            raise InputError(f"estimator.{constant}", f"{name} has no such constant", f"it has {found}")
    return ESTIMATORS[name](**constants)
