"""Anderson acceleration, one mixing per sample, safeguarded (Anderson 1965; Walker & Ni 2011).

Shapes: B sample, M row of the memory, N entry of a flattened state.
"""

import torch
from torch import Tensor

from specseq.equilibrium.fields import Field
from specseq.equilibrium.solver_config import Anderson
from specseq.equilibrium.solvers.interface import Monitor, Solution, flatten, restore, solve


@solve.register
def _anderson(
    solver: Anderson, force: Field, start: Tensor, budget: int, tolerance: float = 1e-8
) -> Solution:
    """Mix the last few steps of z + ε F(z) to minimise the extrapolated residual.

    Fast, and indifferent to stability: it also converges to roots that the flow leaves. Where no root exists
    it wanders. The best state of each sample is returned.
    """
    monitor, z = Monitor(force, start, budget, tolerance), start
    history = _History(solver, start)
    restarts = torch.zeros((), dtype=torch.long, device=start.device)
    while monitor.going:
        best_B = monitor.best_B
        f, g_B = monitor.evaluate(z)
        fallen = ~(g_B <= solver.restart_ratio * best_B)
        z = history.advance(z, f, fallen, monitor.best_state, monitor.best_force)
        restarts = restarts + fallen.sum()
    return monitor.solution(restarts=int(restarts))


class _History:
    """Differences of states and residuals; a zero row is empty and takes no part in the mixing."""

    def __init__(self, settings: Anderson, start: Tensor) -> None:
        self.settings = settings
        flat = flatten(start)
        samples, size = flat.shape
        single = torch.finfo(flat.dtype).eps > 1e-10
        default = 1e-6 if single else 1e-10
        self.ridge = default if settings.regularisation is None else settings.regularisation
        self.forces_BMN = flat.new_zeros(samples, settings.memory, size)
        # Mixing needs only damping · residual + state, so states and residuals are not kept separately.
        self.moves_BMN = torch.zeros_like(self.forces_BMN)
        self.normal_BMM = flat.new_zeros(samples, settings.memory, settings.memory)
        self.eye = torch.eye(settings.memory, dtype=flat.dtype, device=flat.device)
        self.last: tuple[Tensor, Tensor] | None = None
        self.slot = 0

    def advance(self, z: Tensor, f: Tensor, fallen: Tensor, best: Tensor, best_force: Tensor) -> Tensor:
        """The next state; fallen samples go back to their best one and take a short plain step from it."""
        state_BN, step_BN, fell = flatten(z), self.settings.step * flatten(f), bool(fallen.any())
        if fell:
            choose = fallen.unsqueeze(-1)
            state_BN = torch.where(choose, flatten(best), state_BN)
            step_BN = torch.where(choose, self.settings.step * flatten(best_force), step_BN)
        if self.last is not None:
            self._remember(state_BN - self.last[0], step_BN - self.last[1])
        if fell:
            for rows in (self.forces_BMN, self.moves_BMN, self.normal_BMM):
                rows[fallen] = 0
        self.last = state_BN, step_BN
        move_BN = self.settings.damping * step_BN
        move_BN = move_BN - self._mix(step_BN)
        if fell:
            move_BN = torch.where(choose, 0.3 * step_BN, move_BN)
        return restore(state_BN + move_BN, z)

    def _remember(self, state_BN: Tensor, step_BN: Tensor) -> None:
        slot = self.slot % self.settings.memory
        self.slot += 1
        self.forces_BMN[:, slot] = step_BN
        self.moves_BMN[:, slot] = state_BN + self.settings.damping * step_BN
        products_BM = (self.forces_BMN @ step_BN.unsqueeze(-1)).squeeze(-1)
        self.normal_BMM[:, slot] = products_BM
        self.normal_BMM[:, :, slot] = products_BM

    def _mix(self, step_BN: Tensor) -> Tensor:
        trace_B = self.normal_BMM.diagonal(dim1=-2, dim2=-1).sum(-1)
        ridge_B = self.ridge * trace_B + torch.finfo(step_BN.dtype).tiny
        right = self.forces_BMN @ step_BN.unsqueeze(-1)
        weights, _ = torch.linalg.solve_ex(self.normal_BMM + ridge_B[:, None, None] * self.eye, right)
        # A singular or overflowing system gives no mixing; take a plain step instead.
        weights = torch.where(torch.isfinite(weights).all(1, keepdim=True), weights, 0.0)
        return (weights.mT @ self.moves_BMN).squeeze(1)
