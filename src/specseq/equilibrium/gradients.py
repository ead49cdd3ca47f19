"""From an adjoint to the gradient of the weights, and the two exact references.

B sample, T position, C channel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.estimators import Adjoint, Estimator, Problem
from specseq.equilibrium.solvers import Solver
from specseq.equilibrium.solvers.gmres import gmres
from specseq.spectra.operators import Jacobian


def surrogate(
    block: EquilibriumBlock, root_BTC: Tensor, tokens_BT: Tensor, targets_BT: Tensor, a_BTC: Tensor
) -> Tensor:
    """A scalar whose gradient in the weights is ⟨a, ∂F/∂θ⟩ + ∂cost/∂θ, divided by the number of tokens.

    Its value is not the loss; z* and a are constants in it.
    """
    root_BTC = root_BTC.detach()
    force_BTC = block.force(root_BTC, block.embed(tokens_BT))
    return ((a_BTC.detach() * force_BTC).sum() + block.cost(root_BTC, targets_BT)) / targets_BT.numel()


@dataclass(frozen=True)
class Implicit(Estimator):
    """The exact adjoint by GMRES on Jᵀ a = -∂cost/∂z; whatever solver the free phase has.

    Attributes:
        krylov: largest Krylov space.
    """

    krylov: int = 60

    def estimate(self, problem: Problem, solver: Solver, budget: int, tolerance: float) -> Adjoint:
        block, x_BTC, root = problem.block, problem.x_BTC, problem.root_BTC
        jacobian = Jacobian(lambda z: block.force(z, x_BTC), root)
        source = block.cost_gradient(root, problem.targets_BT).detach()
        products = 0

        def minus_transposed(v: Tensor) -> Tensor:
            nonlocal products
            products += 1
            return -jacobian.rmatvec(v)

        a_BTC, residual_B = gmres(minus_transposed, source, min(self.krylov, budget), tolerance)
        return Adjoint(a_BTC, residual_B, products)


def bptt_loss(
    block: EquilibriumBlock, tokens_BT: Tensor, targets_BT: Tensor, step: float, steps: int
) -> tuple[Tensor, Tensor]:
    """The loss after a finite relaxation from z = x, differentiable through all of it.

    Args:
        step: ε.
        steps: Euler steps unrolled; memory grows with them.

    Returns:
        Mean cost in nats a token, and the last state, detached.
    """
    x_BTC = block.embed(tokens_BT)
    z_BTC = x_BTC
    for _ in range(steps):
        z_BTC = z_BTC + step * block.force(z_BTC, x_BTC)
    return block.cost(z_BTC, targets_BT) / targets_BT.numel(), z_BTC.detach()


def operator_gradient(block: EquilibriumBlock, scalar: Tensor) -> Tensor:
    """Gradient of a scalar in the weights that shape the Jacobian, as one vector."""
    weights = [getattr(block, name) for name in block.operator_names()]
    grads = torch.autograd.grad(scalar, weights, retain_graph=True)
    return torch.cat([grad.flatten() for grad in grads])


def cosine(u: Tensor, v: Tensor) -> float:
    """Cosine of two vectors, in double precision."""
    u, v = u.double(), v.double()
    return (u @ v / (u.norm() * v.norm()).clamp_min(1e-300)).item()
