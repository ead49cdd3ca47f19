"""From an adjoint to the gradient of the weights, and backpropagation through a relaxation.

Shapes: B sample, T position, C channel.
"""

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock


def surrogate(
    block: EquilibriumBlock, root_BTC: Tensor, tokens_BT: Tensor, targets_BT: Tensor, a_BTC: Tensor
) -> Tensor:
    """A scalar whose gradient in the weights is ⟨a, ∂F/∂θ⟩ + ∂cost/∂θ, divided by the number of tokens.

    Its value is not the loss; it treats z* and a as constants.
    """
    root_BTC = root_BTC.detach()
    force_BTC = block.force(root_BTC, block.embed(tokens_BT))
    return ((a_BTC.detach() * force_BTC).sum() + block.cost(root_BTC, targets_BT)) / targets_BT.numel()


def bptt_loss(
    block: EquilibriumBlock, tokens_BT: Tensor, targets_BT: Tensor, step: float, steps: int
) -> tuple[Tensor, Tensor]:
    """The loss after a finite relaxation from z = x, differentiable through all of it.

    Args:
        steps: Euler steps unrolled; memory grows with them.

    Returns:
        Mean cost in nats per token, and the last state, detached.
    """
    x_BTC = block.embed(tokens_BT)
    z_BTC = x_BTC
    for _ in range(steps):
        z_BTC = z_BTC + step * block.force(z_BTC, x_BTC)
    return block.cost(z_BTC, targets_BT) / targets_BT.numel(), z_BTC.detach()


def transformer_loss(block: EquilibriumBlock, tokens_BT: Tensor, targets_BT: Tensor) -> Tensor:
    """Mean cost in nats per token of one pass as a plain transformer."""
    return block.cost(block.transformed(block.embed(tokens_BT)), targets_BT) / targets_BT.numel()


def operator_gradient(block: EquilibriumBlock, scalar: Tensor) -> Tensor:
    """Gradient of a scalar in the weights that shape the Jacobian, as one vector."""
    weights = [getattr(block, name) for name in block.operator_names()]
    grads = torch.autograd.grad(scalar, weights, retain_graph=True)
    return torch.cat([grad.flatten() for grad in grads])


def cosine(u: Tensor, v: Tensor) -> float:
    """Cosine of two vectors, in double precision."""
    u, v = u.double(), v.double()
    return (u @ v / (u.norm() * v.norm()).clamp_min(1e-300)).item()
