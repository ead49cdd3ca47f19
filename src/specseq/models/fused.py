"""Element-wise layers with their gradients written out.

On a CPU these operations are bound by memory: composed of torch's own, each writes whole activations out and
reads them back several times. The norm goes block by block, so that a block stays in a core's cache.
Shapes: T tokens, D width, F feed-forward width, H heads, E head width, R rotated pairs.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor

# Elements of one operand of a block.
_BLOCK = 1 << 15


def _blocks(x: Tensor) -> Iterator[slice]:
    rows = max(1, _BLOCK // max(1, x.shape[-1]))
    return (slice(first, first + rows) for first in range(0, len(x), rows))


class BlockedRMSNorm(torch.autograd.Function):
    """``x / sqrt(mean(x²) + eps) * weight`` over the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x_TD = x.reshape(-1, x.shape[-1])
        scale_T1 = torch.linalg.vecdot(x_TD, x_TD).div_(x.shape[-1]).add_(eps).rsqrt_()[:, None]
        out_TD = torch.empty_like(x_TD)
        for rows in _blocks(x_TD):
            torch.mul(x_TD[rows], scale_T1[rows], out=out_TD[rows]).mul_(weight)
        ctx.save_for_backward(x_TD, weight, scale_T1)
        return out_TD.view(x.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x_TD, weight, scale_T1 = ctx.saved_tensors
        grad_TD = grad.reshape(x_TD.shape)
        grad_x, grad_weight = torch.empty_like(x_TD), torch.zeros_like(weight)
        for rows in _blocks(x_TD):
            normed = x_TD[rows] * scale_T1[rows]
            grad_weight += torch.linalg.vecdot(grad_TD[rows], normed, dim=0)
            weighted = torch.mul(grad_TD[rows], weight, out=grad_x[rows])
            along = torch.linalg.vecdot(weighted, normed)[:, None].div_(-x_TD.shape[-1])
            weighted.addcmul_(normed, along).mul_(scale_T1[rows])
        return grad_x.view(grad.shape), grad_weight, None


class SiluProduct(torch.autograd.Function):
    """``silu(gate) * up`` of the halves of ``[..., 2 F]``, which are all that is kept for the gradient."""

    @staticmethod
    def forward(ctx: Any, gate_up: Tensor) -> Tensor:
        ctx.save_for_backward(gate_up)
        gate, up = gate_up.chunk(2, dim=-1)
        return nnf.silu(gate).mul_(up)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (gate_up,) = ctx.saved_tensors
        gate, up = gate_up.chunk(2, dim=-1)
        grad_gate_up = torch.empty_like(gate_up)
        grad_gate, grad_up = grad_gate_up.chunk(2, dim=-1)
        torch.ops.aten.silu_backward.grad_input(grad * up, gate, grad_input=grad_gate)
        torch.mul(grad, nnf.silu(gate), out=grad_up)
        return grad_gate_up


class Turn(torch.autograd.Function):
    """Rotate the first 2 R of E dimensions, pair by pair: ``cis`` holds cos + i sin as complex numbers."""

    @staticmethod
    def forward(ctx: Any, x_THE: Tensor, cis_T1R: Tensor) -> Tensor:
        ctx.save_for_backward(cis_T1R)
        return _turn(x_THE, cis_T1R)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (cis_T1R,) = ctx.saved_tensors
        return _turn(grad, cis_T1R.conj()), None


def _turn(x_THE: Tensor, cis_T1R: Tensor) -> Tensor:
    out_THE = x_THE.clone(memory_format=torch.contiguous_format)
    pairs = out_THE[..., : 2 * cis_T1R.shape[-1]].unflatten(-1, (-1, 2))
    torch.view_as_complex(pairs).mul_(cis_T1R)
    return out_THE
