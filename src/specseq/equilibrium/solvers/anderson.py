"""Anderson acceleration, one mixing a sample, safeguarded (Anderson 1965; Walker & Ni 2011).

B sample, N entry of a flattened state, M memory column.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from specseq.equilibrium.fields import Field
from specseq.equilibrium.solvers.interface import Monitor, Solution, Solver, flatten, restore


@dataclass(frozen=True)
class Anderson(Solver):
    """Mixes the last few steps of z + ε F(z) so that the extrapolated residual is least.

    Fast, and indifferent to the stability of what it finds: it converges to roots that the flow leaves. Where
    no root exists it wanders; the best state of each sample is returned.

    Attributes:
        step: ε of the fixed-point map.
        memory: differences kept.
        damping: share of the mixed residual that is added.
        restart_ratio: a sample whose residual exceeds its best by this factor forgets, and starts anew from
            its best state. Ratios near one forget too often to get anywhere.
        regularisation: added to the normal matrix in units of its trace; by default 1e-10 in double and 1e-6
            in single precision.
    """

    step: float = 0.2
    memory: int = 8
    damping: float = 1.0
    restart_ratio: float = 2.0
    regularisation: float | None = None

    def solve(self, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8) -> Solution:
        monitor, z = Monitor(force, start, budget, tolerance), start
        history = _History(self, start)
        restarts = 0
        while monitor.going:
            best_B = monitor.best_B
            f, g_B = monitor.evaluate(z)
            fallen = ~(g_B <= self.restart_ratio * best_B)
            z = history.advance(z, f, fallen, monitor.best_state, monitor.best_force)
            restarts += int(fallen.sum())
        return monitor.solution(restarts=restarts)


class _History:
    """Differences of states and residuals; a zero column is an empty one and takes no part in the mixing."""

    def __init__(self, settings: Anderson, start: Tensor) -> None:
        self.settings = settings
        flat = flatten(start)
        single = torch.finfo(flat.dtype).eps > 1e-10
        default = 1e-6 if single else 1e-10
        self.ridge = default if settings.regularisation is None else settings.regularisation
        self.states_BNM = flat.new_zeros(*flat.shape, settings.memory)
        self.forces_BNM = torch.zeros_like(self.states_BNM)
        self.last: tuple[Tensor, Tensor] | None = None
        self.column = 0

    def advance(self, z: Tensor, f: Tensor, fallen: Tensor, best: Tensor, best_force: Tensor) -> Tensor:
        """The next state; fallen samples go back to their best one and take a short plain step from it."""
        fell = fallen.unsqueeze(-1)
        state_BN = torch.where(fell, flatten(best), flatten(z))
        step_BN = self.settings.step * torch.where(fell, flatten(best_force), flatten(f))
        if self.last is not None:
            keep = ~fell
            self.states_BNM[..., self.column] = (state_BN - self.last[0]) * keep
            self.forces_BNM[..., self.column] = (step_BN - self.last[1]) * keep
            self.column = (self.column + 1) % self.settings.memory
        if bool(fallen.any()):
            self.states_BNM[fallen] = 0
            self.forces_BNM[fallen] = 0
        self.last = state_BN, step_BN
        move_BN = self.settings.damping * step_BN - self._mix(step_BN)
        move_BN = torch.where(fell, 0.3 * step_BN, move_BN)
        return restore(state_BN + move_BN, z)

    def _mix(self, step_BN: Tensor) -> Tensor:
        normal_BMM = self.forces_BNM.mT @ self.forces_BNM
        trace_B = normal_BMM.diagonal(dim1=-2, dim2=-1).sum(-1)
        ridge_B = self.ridge * trace_B + torch.finfo(step_BN.dtype).tiny
        eye = torch.eye(normal_BMM.shape[-1], dtype=step_BN.dtype, device=step_BN.device)
        right = self.forces_BNM.mT @ step_BN.unsqueeze(-1)
        weights, _ = torch.linalg.solve_ex(normal_BMM + ridge_B[:, None, None] * eye, right)
        # A singular or overflowing system says nothing: the step is then a plain one.
        usable = torch.isfinite(weights).all(1, keepdim=True)
        weights = torch.where(usable, weights, 0.0)
        return ((self.states_BNM + self.settings.damping * self.forces_BNM) @ weights).squeeze(-1)
