"""The first and the last linear maps of MOIRAI, with weights of their own for every patch size.

A token uses only the weights of its size. Autograd would give each part of a weight that is used a gradient
as large as the whole weight and add them up; the hand-written gradients here fill one.

Shapes: Z patch sizes, z one of them, P the largest, p one of them, T tokens of the stream, k tokens of one
size, K predicted tokens, D model width, C = 12 mixture parameters, Q predicted points.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from specseq.models.mixture_density import COMPONENTS, PARAMETERS
from specseq.models.moirai.batch import SizeGroup


class MultiSizeInput(nn.Module):
    """``weight[z, :, :p] @ points[:p] + bias[z]`` for a token of the z-th patch size p."""

    def __init__(self, patch_sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.patch_sizes = tuple(patch_sizes)
        self.weight = nn.Parameter(torch.zeros(len(self.patch_sizes), width, max(self.patch_sizes)))
        self.bias = nn.Parameter(torch.zeros(len(self.patch_sizes), width))
        for number, size in enumerate(self.patch_sizes):
            nn.init.kaiming_uniform_(self.weight.data[number, :, :size], a=math.sqrt(5))
            nn.init.uniform_(self.bias.data[number], -(size**-0.5), size**-0.5)

    def forward(self, x_TP: Tensor, groups: Sequence[SizeGroup]) -> Tensor:
        """``[k, D]`` of the groups' tokens, concatenated; a constant in ``x_TP``."""
        embedded: Tensor = _Inputs.apply(self.weight, self.bias, x_TP, groups)
        return embedded


class MultiSizeHeads(nn.Module):
    """The raw parameters of the mixture at every point of a predicted token.

    The weights of parameter c and point j of a patch are row ``[z, c, j]``, j below p.

    The published layout is available as ``parity``: it masks all but the first ``4 p`` entries of the four
    logits' flattened rows and then reads them as four rows of P. Only the first ``4 p / P`` logits thus
    depend on the input (one at p <= 32, two at 64); the others are biases.
    """

    def __init__(self, width: int, patch_sizes: Sequence[int], parity: bool = False) -> None:
        super().__init__()
        self.patch_sizes, self.parity = tuple(patch_sizes), parity
        shape = (len(self.patch_sizes), len(PARAMETERS), max(self.patch_sizes))
        self.weight = nn.Parameter(torch.zeros(*shape, width))
        self.bias = nn.Parameter(torch.zeros(*shape))
        for number, used_CP in enumerate(self._used()):
            bound = width**-0.5
            self.weight.data[number] = used_CP[..., None] * nn.init.uniform_(
                torch.empty(*shape[1:], width), -bound, bound
            )
            self.bias.data[number] = used_CP * nn.init.uniform_(torch.empty(*shape[1:]), -bound, bound)

    def _used(self) -> Tensor:
        """``bool [Z, 12, P]``: rows of each size that depend on the input."""
        sizes_Z11, largest = torch.tensor(self.patch_sizes)[:, None, None], max(self.patch_sizes)
        used_ZCP = (torch.arange(largest) < sizes_Z11).repeat(1, len(PARAMETERS), 1)
        if self.parity:
            flat = torch.arange(COMPONENTS * largest).view(COMPONENTS, largest)
            used_ZCP[:, :COMPONENTS] = flat < COMPONENTS * sizes_Z11
        return used_ZCP

    def forward(self, x_KD: Tensor, groups: Sequence[SizeGroup]) -> Tensor:
        """``[12, Q]``, float32 or wider: tokens in the order of the groups, each with its p points."""
        weight_ZCPD: Tensor = self.weight
        if self.parity:
            weight_ZCPD = weight_ZCPD * self._used().to(x_KD.device)[..., None]
        raw_12Q: Tensor = _Heads.apply(x_KD, weight_ZCPD, self.bias, groups)
        return raw_12Q


class _Inputs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight_ZDP: Tensor, bias_ZD: Tensor, x_TP: Tensor, groups: Sequence[SizeGroup]
    ) -> Tensor:
        parts, points = [], []
        for g in groups:
            x_kp = x_TP[:, : g.size].index_select(0, g.tokens)
            parts.append(F.linear(x_kp, weight_ZDP[g.number, :, : g.size], bias_ZD[g.number]))
            points.append(x_kp.to(parts[-1].dtype))
        ctx.save_for_backward(*points)
        ctx.groups, ctx.shapes, ctx.dtype = groups, (weight_ZDP.shape, bias_ZD.shape), weight_ZDP.dtype
        return torch.cat(parts) if parts else x_TP.new_zeros(0, bias_ZD.shape[1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
        grad_weight, grad_bias = (grad.new_zeros(shape, dtype=ctx.dtype) for shape in ctx.shapes)
        sizes = [len(g.tokens) for g in ctx.groups]
        for g, x_kp, grad_kD in zip(ctx.groups, ctx.saved_tensors, grad.split(sizes), strict=True):
            grad_weight[g.number, :, : g.size] = grad_kD.to(x_kp.dtype).T @ x_kp
            grad_bias[g.number] = grad_kD.sum(0)
        return grad_weight, grad_bias, None, None


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_KD: Tensor, weight_ZCPD: Tensor, bias_ZCP: Tensor, groups: Sequence[SizeGroup]
    ) -> Tensor:
        points = sum(len(g.tokens) * g.size for g in groups)
        wide = torch.promote_types(x_KD.dtype, torch.float32)
        raw_CQ = x_KD.new_empty(bias_ZCP.shape[1], points, dtype=wide)
        x_parts = []
        for g, rows, raw_Ckp in _parts(groups, raw_CQ):
            weight_CpD, bias_Cp = weight_ZCPD[g.number, :, : g.size], bias_ZCP[g.number, :, : g.size]
            raw_kR = F.linear(x_KD[rows], weight_CpD.flatten(0, 1), bias_Cp.flatten())
            raw_Ckp.copy_(raw_kR.unflatten(1, bias_Cp.shape).transpose(0, 1))
            x_parts.append(x_KD[rows].to(raw_kR.dtype))
        ctx.save_for_backward(weight_ZCPD, *x_parts)
        ctx.groups, ctx.shape, ctx.dtype = groups, x_KD.shape, x_KD.dtype
        return raw_CQ

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_CQ: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        weight_ZCPD, *x_parts = ctx.saved_tensors
        grad_weight = torch.zeros_like(weight_ZCPD)
        grad_bias = weight_ZCPD.new_zeros(weight_ZCPD.shape[:3])
        grad_x_KD = grad_CQ.new_empty(ctx.shape, dtype=ctx.dtype)
        for (g, rows, grad_Ckp), x_kD in zip(_parts(ctx.groups, grad_CQ), x_parts, strict=True):
            grad_kR = grad_Ckp.to(x_kD.dtype).transpose(0, 1).flatten(1)
            weight_CpD = weight_ZCPD[g.number, :, : g.size]
            grad_x_KD[rows] = grad_kR @ weight_CpD.flatten(0, 1).to(x_kD.dtype)
            grad_weight[g.number, :, : g.size] = (grad_kR.T @ x_kD).view(weight_CpD.shape)
            grad_bias[g.number, :, : g.size] = grad_Ckp.sum(1)
        return grad_x_KD, grad_weight, grad_bias, None


def _parts(groups: Sequence[SizeGroup], of_CQ: Tensor) -> Iterator[tuple[SizeGroup, slice, Tensor]]:
    """Each group, its tokens among the predicted ones, and its part of ``[C, Q]`` as ``[C, k, p]``."""
    token = point = 0
    for group in groups:
        count = len(group.tokens)
        end = point + count * group.size
        yield group, slice(token, token + count), of_CQ[:, point:end].unflatten(1, (count, group.size))
        token, point = token + count, end
