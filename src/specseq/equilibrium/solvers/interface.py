"""One interface for all solvers: a field, a start and a budget of evaluations, solved per sample.

Shapes: B sample, N entry of a flattened state.
"""

from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.fields import Field
from specseq.equilibrium.solver_config import Solver


@dataclass(frozen=True)
class Solution:
    """Where a solver ended. Convergence says nothing about stability; the audit does.

    Attributes:
        state: ``[B, ...]``.
        residual_B: force residual ‖F‖/‖z‖ at the state (the step residual is ε times it).
        converged_B: residual at most the tolerance.
        evaluations: forces and Jacobian products spent; one covers the whole batch.
        evaluations_B: number spent when each sample converged; all if it did not.
        trace: (evaluations so far, residual of each sample) at every state seen.
        facts: anything else the solver reports (restarts, hand-off, step sizes).
    """

    state: Tensor
    residual_B: Tensor
    converged_B: Tensor
    evaluations: int
    evaluations_B: Tensor
    trace: list[tuple[int, Tensor]]
    facts: dict[str, Any] = field(default_factory=dict)


@singledispatch
def solve(solver: Solver, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8) -> Solution:
    """Find z with F(z) = 0.

    Args:
        solver: which method, with its constants.
        force: the field; its counter counts what is spent.
        start: initial state, real or complex.
        budget: evaluations not to exceed by more than one inner step.
        tolerance: largest force residual ‖F‖/‖z‖ of a root.

    Returns:
        A solution even if the budget ran out before convergence, as ``converged_B`` shows.

    Shapes:
        start: ``[B, ...]``, samples first.
    """
    raise TypeError(f"{solver!r} is no solver")


def flatten(state: Tensor) -> Tensor:
    """``[B, N]`` real; complex entries become pairs."""
    return (torch.view_as_real(state) if state.is_complex() else state).flatten(1)


def restore(flat_BN: Tensor, like: Tensor) -> Tensor:
    """Undo :func:`flatten`."""
    if like.is_complex():
        return torch.view_as_complex(flat_BN.view(*like.shape, 2))
    return flat_BN.view_as(like)


def per_sample(value_B: Tensor, like: Tensor) -> Tensor:
    """Reshape ``[B]`` to broadcast against a state."""
    return value_B.view(-1, *[1] * (like.ndim - 1))


def residuals(force: Tensor, state: Tensor) -> Tensor:
    """Force residual of each sample; infinite where anything is not finite."""
    return _ratio(norms(force), norms(state))


def norms(state: Tensor) -> Tensor:
    """Euclidean norm of each sample, ``[B]``."""
    return torch.linalg.vector_norm(flatten(state), dim=1)


def _ratio(force_B: Tensor, size_B: Tensor) -> Tensor:
    tiny = torch.finfo(force_B.dtype).tiny
    return (force_B / size_B.clamp_min(tiny)).nan_to_num(torch.inf, torch.inf)


class Monitor:
    """Book-keeping shared by all solvers: residuals, the best state of each sample, budget and trace.

    Attributes:
        converged_B: samples that have reached a root.
    """

    def __init__(self, force: Field, start: Tensor, budget: int, tolerance: float) -> None:
        self.force, self.budget, self.tolerance = force, budget, tolerance
        self.first = force.evaluations
        samples = start.shape[0]
        real = start.real.dtype if start.is_complex() else start.dtype
        self.best_state = start
        self.best_force = torch.zeros_like(start)
        self.best_B = torch.full((samples,), torch.inf, dtype=real, device=start.device)
        self.last_state, self.last_B = start, self.best_B
        self.alive_B = torch.ones_like(self.best_B, dtype=torch.bool)
        self.converged_B = torch.zeros_like(self.alive_B)
        self._trace: list[tuple[int, Tensor]] = []
        self._active = samples > 0

    @property
    def spent(self) -> int:
        """Evaluations so far."""
        return self.force.evaluations - self.first

    @property
    def going(self) -> bool:
        """Whether budget is left and some sample is neither lost nor converged."""
        return self.spent < self.budget and self._active

    def seen(self) -> tuple[list[tuple[int, Tensor]], Tensor]:
        """Evaluations so far and residuals at every state seen, and evaluations until each sample converged.

        These are all evaluations where it did not. Both are on the CPU.
        """
        if not self._trace:
            return [], torch.zeros(len(self.best_B), dtype=torch.long)
        spent = [count for count, _ in self._trace]
        g_SB = torch.stack([g_B for _, g_B in self._trace]).cpu()
        settled_SB = g_SB <= self.tolerance
        settled_SB[-1] = True
        first_B = settled_SB.to(torch.uint8).argmax(0)
        return list(zip(spent, g_SB, strict=True)), torch.tensor(spent)[first_B]

    def evaluate(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate and record a state; returns its force and its residuals."""
        force = self.force(state)
        return force, self.note(state, force)

    def note(self, state: Tensor, force: Tensor) -> Tensor:
        """Record a state whose force is known; returns its residuals."""
        force_B, size_B = norms(force), norms(state)
        g_B = _ratio(force_B, size_B)
        # The residual does not show whether a sample is lost: at z = 0 it is infinite and all is well.
        self.alive_B = force_B + size_B < torch.inf
        if not self._trace:
            self.best_force = force
        better = g_B < self.best_B
        self.best_B = torch.minimum(self.best_B, g_B)
        self.converged_B = self.best_B <= self.tolerance
        active_B = self.alive_B & ~self.converged_B
        # One transfer of all that the host needs: each one stalls an accelerator.
        improved, active = torch.stack([better, active_B]).tolist()
        self._active = any(active)
        if all(improved):
            self.best_state, self.best_force = state, force
        elif any(improved):
            choose = per_sample(better, state)
            self.best_state = torch.where(choose, state, self.best_state)
            self.best_force = torch.where(choose, force, self.best_force)
        self.last_state, self.last_B = state, g_B
        self._trace.append((self.spent, g_B))
        return g_B

    def solution(self, last: bool = False, **facts: Any) -> Solution:
        """The best state of each sample, or the last one, where the physical flow would have ended."""
        state, g_B = (self.last_state, self.last_B) if last else (self.best_state, self.best_B)
        trace, evaluations_B = self.seen()
        return Solution(state, g_B, g_B <= self.tolerance, self.spent, evaluations_B, trace, facts)
