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
from specseq.models.moirai.batch import BatchTables, SizeGroup


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

    def forward(self, x_TP: Tensor, hidden_1D: Tensor, tables: BatchTables) -> Tensor:
        """``[T, D]``, the embeddings of the tokens; a constant in ``x_TP``.

        Args:
            x_TP: points.
            hidden_1D: embedding of the tokens whose points the model may not see.
            tables: tells these tokens and the patch sizes of the others.
        """
        embedded_TD: Tensor = _Inputs.apply(self.weight, self.bias, hidden_1D, x_TP, tables)
        return embedded_TD


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
        ctx: Any, weight_ZDP: Tensor, bias_ZD: Tensor, hidden_1D: Tensor, x_TP: Tensor, tables: BatchTables
    ) -> Tensor:
        parts, points = [], []
        for g in tables.context:
            x_kp = x_TP.narrow(1, 0, g.size).index_select(0, g.tokens)
            part = F.linear(x_kp, weight_ZDP[g.number].narrow(1, 0, g.size), bias_ZD[g.number])
            parts.append(part.to(x_TP.dtype))
            points.append(x_kp.to(part.dtype))
        ctx.save_for_backward(*points)
        ctx.tables, ctx.shapes, ctx.dtype = tables, (weight_ZDP.shape, bias_ZD.shape), weight_ZDP.dtype
        return torch.cat([*parts, hidden_1D]).index_select(0, tables.entry_T)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_TD: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        grad_weight, grad_bias = (grad_TD.new_zeros(shape, dtype=ctx.dtype) for shape in ctx.shapes)
        for g, x_kp in zip(ctx.tables.context, ctx.saved_tensors, strict=True):
            grad_kD = grad_TD.index_select(0, g.tokens)
            grad_weight[g.number].narrow(1, 0, g.size).copy_(grad_kD.to(x_kp.dtype).t() @ x_kp)
            grad_bias[g.number].copy_(grad_kD.sum(0))
        grad_hidden = grad_TD.index_select(0, ctx.tables.hidden).sum(0, keepdim=True)
        return grad_weight, grad_bias, grad_hidden, None, None


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_KD: Tensor, weight_ZCPD: Tensor, bias_ZCP: Tensor, groups: Sequence[SizeGroup]
    ) -> Tensor:
        points = sum(len(g.tokens) * g.size for g in groups)
        wide = torch.promote_types(x_KD.dtype, torch.float32)
        raw_CQ = x_KD.new_empty(bias_ZCP.shape[1], points, dtype=wide)
        x_parts = []
        for g, x_kD, raw_Ckp in _parts(groups, x_KD, raw_CQ):
            weight_RD = weight_ZCPD[g.number].narrow(1, 0, g.size).flatten(0, 1)
            raw_kR = F.linear(x_kD, weight_RD, bias_ZCP[g.number].narrow(1, 0, g.size).flatten())
            raw_Ckp.copy_(raw_kR.view(len(raw_kR), -1, g.size).transpose(0, 1))
            x_parts.append(x_kD.to(raw_kR.dtype))
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
        parts = _parts(ctx.groups, grad_x_KD, grad_CQ)
        for (g, grad_x_kD, grad_Ckp), x_kD in zip(parts, x_parts, strict=True):
            grad_kR = grad_Ckp.transpose(0, 1).flatten(1)
            rounded_kR = grad_kR.to(x_kD.dtype)
            weight_CpD = weight_ZCPD[g.number].narrow(1, 0, g.size)
            grad_x_kD.copy_(rounded_kR @ weight_CpD.flatten(0, 1).to(x_kD.dtype))
            grad_CpD, grad_Cp = (grad[g.number].narrow(1, 0, g.size) for grad in (grad_weight, grad_bias))
            grad_CpD.copy_((rounded_kR.t() @ x_kD).view(weight_CpD.shape))
            grad_Cp.copy_(grad_kR.sum(0).view(grad_Cp.shape))
        return grad_x_KD, grad_weight, grad_bias, None


def _parts(
    groups: Sequence[SizeGroup], x_KD: Tensor, raw_CQ: Tensor
) -> Iterator[tuple[SizeGroup, Tensor, Tensor]]:
    """Each group with its tokens ``[k, D]`` and its part of ``[C, Q]`` as ``[C, k, p]``."""
    counts = [len(g.tokens) for g in groups]
    points = [count * g.size for count, g in zip(counts, groups, strict=True)]
    # A split gives one part, an empty one, where there are no groups.
    for g, x_kD, raw_CN in zip(groups, x_KD.split(counts), raw_CQ.split(points, 1), strict=False):
        yield g, x_kD, raw_CN.view(len(raw_CQ), -1, g.size)
