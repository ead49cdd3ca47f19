"""Element-wise layers with hand-written gradients.

On a CPU these operations are memory-bound: composed from torch's own, each writes whole activations and reads
them back several times. The norm works block by block, so that a block stays in a core's cache.
Shapes: T tokens, M tokens of all leading dimensions, D width, F feed-forward width, H heads, E head width,
R rotated pairs.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as nnf
from torch import Tensor

# Elements per operand of a block.
_BLOCK = 1 << 16


def _blocks(x: Tensor, width: int) -> Iterator[slice]:
    """Blocks of rows of ``x`` for an operand with ``width`` elements per row."""
    rows = max(1, _BLOCK // max(1, width))
    return (slice(first, first + rows) for first in range(0, len(x), rows))


def rms_norm(x_TD: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``x / sqrt(mean(x²) + eps) * weight``, and the scales ``[T, 1]`` between."""
    # Not as an inner product, which autocast would round.
    scale_T1 = x_TD.square().sum(-1, keepdim=True).div_(x_TD.shape[-1]).add_(eps).rsqrt_()
    out_TD = torch.empty_like(x_TD)
    for rows in _blocks(x_TD, x_TD.shape[-1]):
        torch.mul(x_TD[rows], scale_T1[rows], out=out_TD[rows]).mul_(weight)
    return out_TD, scale_T1


def rms_norm_gradient(
    grad_TD: Tensor, x_TD: Tensor, weight: Tensor, scale_T1: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of :func:`rms_norm` by its input and its weight."""
    # With a mean of 0 the kernel of layer normalisation gives this gradient, but for the mean of the
    # weighted upstream gradient, which it takes away.
    mean_T1, sides = torch.zeros_like(scale_T1), [True, True, False]
    grad_x, grad_weight, _ = torch.ops.aten.native_layer_norm_backward(
        grad_TD, x_TD, weight.shape, mean_T1, scale_T1, weight, None, sides
    )
    grad_x.addcmul_((grad_TD @ weight)[:, None], scale_T1, value=1 / x_TD.shape[-1])
    return grad_x, grad_weight


class BlockedRMSNorm(torch.autograd.Function):
    """``x / sqrt(mean(x²) + eps) * weight`` over the last dimension."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        x_TD = x.reshape(-1, x.shape[-1])
        out_TD, scale_T1 = rms_norm(x_TD, weight, eps)
        ctx.save_for_backward(x_TD, weight, scale_T1)
        return out_TD.view(x.shape)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x_TD, weight, scale_T1 = ctx.saved_tensors
        grad_x, grad_weight = rms_norm_gradient(grad.reshape(x_TD.shape), x_TD, weight, scale_T1)
        return grad_x.view(grad.shape), grad_weight, None


class NormedSwiGLU(torch.autograd.Function):
    """``x + down(silu(gate) * up)`` with ``gate, up`` the halves of ``gate_up(rms_norm(x))``.

    It takes x ``[T, D]``, the weight of the norm ``[D]``, those of the maps ``[2 F, D]`` and ``[D, F]``,
    and the epsilon of the norm. The halves are separate products, since element-wise operations on halves of
    rows take twice as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x_TD: Tensor, norm: Tensor, gate_up: Tensor, down: Tensor, eps: float) -> Tensor:
        normed_TD, scale_T1 = rms_norm(x_TD, norm, eps)
        gate_TF, up_TF = (torch.mm(normed_TD, half.t()) for half in gate_up.chunk(2))
        ctx.save_for_backward(x_TD, norm, gate_up, down, scale_T1, normed_TD, gate_TF, up_TF)
        return torch.addmm(x_TD, nnf.silu(gate_TF).mul_(up_TF), down.t())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        x_TD, norm, gate_up, down, scale_T1, normed_TD, gate_TF, up_TF = ctx.saved_tensors
        silu_TF, grad_TF = nnf.silu(gate_TF), torch.mm(grad_TD, down)
        grad_down = torch.mm(grad_TD.t(), silu_TF * up_TF)
        grad_up_TF = silu_TF.mul_(grad_TF)
        grad_gate_TF = torch.ops.aten.silu_backward(grad_TF.mul_(up_TF), gate_TF)
        grad_gate_up, (gate, up) = torch.empty_like(gate_up), gate_up.chunk(2)
        for half, part_TF in zip(grad_gate_up.chunk(2), (grad_gate_TF, grad_up_TF), strict=True):
            torch.mm(part_TF.t(), normed_TD, out=half)
        grad_normed_TD = torch.mm(grad_gate_TF, gate).addmm_(grad_up_TF, up)
        grad_x_TD, grad_norm = rms_norm_gradient(grad_normed_TD, x_TD, norm, scale_T1)
        return grad_x_TD.add_(grad_TD), grad_norm, grad_gate_up, grad_down, None


def norm_and_turn(
    qkv_3MHE: Tensor, weight_211E: Tensor, eps: float, cis_MHR: Tensor
) -> tuple[Tensor, Tensor]:
    """RMS norms of queries and keys and the rotation of both.

    Args:
        qkv_3MHE: queries, keys and values.
        weight_211E: weights of the norms of queries and of keys.
        cis_MHR: cos + i sin of the angles, per head or ``[M, 1, R]``.

    Returns:
        A new contiguous ``[3, M, H, E]``, whose values are the given ones, and the scales ``[2, M, H, 1]``.
    """
    qk_2MHE, (heads, width) = qkv_3MHE[:2], qkv_3MHE.shape[-2:]
    scale_2MH1 = qk_2MHE.square().sum(-1, keepdim=True).div_(width).add_(eps).rsqrt_()
    out_3MHE = qkv_3MHE.new_empty(qkv_3MHE.shape)
    out_3MHE[2] = qkv_3MHE[2]
    for rows in _blocks(cis_MHR, 2 * heads * width):
        turned = out_3MHE[:2, rows]
        torch.mul(qk_2MHE[:, rows], scale_2MH1[:, rows], out=turned).mul_(weight_211E)
        _turn_in_place(turned, cis_MHR[rows])
    return out_3MHE, scale_2MH1


def norm_and_turn_gradient(
    grad_3MHE: Tensor, qkv_3MHE: Tensor, weight_211E: Tensor, scale_2MH1: Tensor, cis_MHR: Tensor
) -> Tensor:
    """Turn the gradient by the result of :func:`norm_and_turn` into that by the projection, in place.

    Returns:
        The gradient by the weights of the norms, ``[2, E]``.
    """
    heads, width = qkv_3MHE.shape[-2:]
    grad_weight_2E = torch.zeros_like(weight_211E[:, 0, 0])
    for rows in _blocks(cis_MHR, 2 * heads * width):
        grad_2MHE, scale = grad_3MHE[:2, rows], scale_2MH1[:, rows]
        _turn_in_place(grad_2MHE, cis_MHR[rows].conj())
        normed = qkv_3MHE[:2, rows] * scale
        grad_weight_2E += (grad_2MHE * normed).sum((1, 2))
        grad_2MHE *= weight_211E
        along = (grad_2MHE * normed).sum(-1, keepdim=True).div_(-width)
        grad_2MHE.addcmul_(normed, along).mul_(scale)
    return grad_weight_2E


class NormedTurned(torch.autograd.Function):
    """:func:`norm_and_turn` of a joint projection with any leading dimensions.

    It takes ``[..., T, 3, H, E]``, the norms' weights ``[E]``, their epsilon, and cos + i sin of the angles
    ``[T, 1, R]``, and returns queries, keys and values, ``[..., T, H, E]`` each.
    """

    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, query_weight: Tensor, key_weight: Tensor, eps: float, cis_T1R: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        qkv_3MHE = qkv.flatten(0, -4).transpose(0, 1)
        cis_M1R = cis_T1R.expand(*qkv.shape[:-3], -1, -1).flatten(0, -3)
        weight_211E = torch.stack((query_weight, key_weight))[:, None, None]
        out_3MHE, scale_2MH1 = norm_and_turn(qkv_3MHE, weight_211E, eps, cis_M1R)
        ctx.save_for_backward(qkv_3MHE, weight_211E, scale_2MH1, cis_M1R)
        q, k, v = out_3MHE.unflatten(1, qkv.shape[:-3]).unbind(0)
        return q, k, v

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        lead, tail = grads[0].shape[:-2], grads[0].shape[-2:]
        grad_3MHE = torch.stack([grad.reshape(-1, *tail) for grad in grads])
        query_grad, key_grad = norm_and_turn_gradient(grad_3MHE, *ctx.saved_tensors)
        return grad_3MHE.transpose(0, 1).reshape(*lead, 3, *tail), query_grad, key_grad, None, None


class SiluProduct(torch.autograd.Function):
    """``silu(gate) * up`` of the halves of ``[..., 2 F]``; only these are kept for the gradient."""

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


class PinballSum(torch.autograd.Function):
    """Sum of ``max(q e, (q - 1) e)`` with errors ``e = target - predicted`` over the wanted points.

    It takes predictions ``[K, F, Q, P]``, targets and a mask ``[K, F, P]``, and levels ``[Q]``. An
    error of 0 has the gradient of a positive one. Composed from torch's own operations, the gradient of the
    maximum alone takes longer than all of this. Masks are multiplied, since selecting by a boolean broadcast
    over the levels takes five times as long.
    """

    @staticmethod
    def forward(ctx: Any, predicted: Tensor, target: Tensor, wanted: Tensor, levels_Q: Tensor) -> Tensor:
        mask = wanted[..., None, :].to(predicted.dtype)
        excess = torch.sub(predicted, target[..., None, :]).mul_(mask)
        slope = excess.clamp(min=0).sign_().sub_(levels_Q[:, None]).mul_(mask)
        ctx.save_for_backward(slope)
        return excess.mul_(slope).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        (slope,) = ctx.saved_tensors
        of_target = slope.sum(-2) * -grad if ctx.needs_input_grad[1] else None
        return slope * grad, of_target, None, None


class Turn(torch.autograd.Function):
    """Rotate the first 2 R of E dimensions, pair by pair: ``cis`` holds cos + i sin as complex numbers.

    Half precision is turned in float32 and rounded back.
    """

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
    wide = torch.promote_types(x_THE.dtype, torch.float32)
    out_THE = x_THE.to(wide, memory_format=torch.contiguous_format, copy=True)
    _turn_in_place(out_THE, cis_T1R)
    return out_THE.to(x_THE.dtype)


def _turn_in_place(x: Tensor, cis: Tensor) -> None:
    pairs = x[..., : 2 * cis.shape[-1]].unflatten(-1, (-1, 2))
    torch.view_as_complex(pairs).mul_(cis)
