"""Projections into and out of the model that each patch size has to itself.

A token meets the weights of its own patch size only, and only predicted tokens meet the heads; computing all
sizes for all tokens and masking, as is usual, throws most of that work away.

Shapes: Z patch sizes, P the largest, p one of them, T tokens, D model width, k tokens of one size, Q points.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from specseq.models.mixture import COMPONENTS, PARAMETERS
from specseq.models.moirai.plan import SizeGroup


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

    def forward(self, x_TP: Tensor, groups: Sequence[SizeGroup]) -> list[Tensor]:
        """``[k, D]`` for each group of tokens."""
        return [
            F.linear(x_TP[g.tokens, : g.size], self.weight[g.number, :, : g.size], self.bias[g.number])
            for g in groups
        ]


class MultiSizeHeads(nn.Module):
    """The raw parameters of the mixture at every point of a predicted token.

    The weights of parameter c and point j of a patch are row ``[z, c, j]``, j below p.

    The published layout is kept behind ``parity``: it masks the first ``4 p`` of the four logits' flattened
    rows and then reads them as four rows of P, so that only the first ``4 p / P`` logits depend on the input
    (one at p <= 32, two at 64); the others are biases.
    """

    def __init__(self, width: int, patch_sizes: Sequence[int], parity: bool = False) -> None:
        super().__init__()
        self.patch_sizes, self.parity = tuple(patch_sizes), parity
        shape = (len(self.patch_sizes), len(PARAMETERS), max(self.patch_sizes))
        self.weight = nn.Parameter(torch.zeros(*shape, width))
        self.bias = nn.Parameter(torch.zeros(*shape))
        for number in range(len(self.patch_sizes)):
            used_CP = self._used(number)
            bound = width**-0.5
            self.weight.data[number] = used_CP[..., None] * nn.init.uniform_(
                torch.empty(*shape[1:], width), -bound, bound
            )
            self.bias.data[number] = used_CP * nn.init.uniform_(torch.empty(*shape[1:]), -bound, bound)

    def _used(self, number: int) -> Tensor:
        """``bool [12, P]``: rows of the ``number``-th size that depend on the input."""
        size, largest = self.patch_sizes[number], max(self.patch_sizes)
        used_CP = (torch.arange(largest) < size).repeat(len(PARAMETERS), 1)
        if self.parity:
            flat = torch.arange(COMPONENTS * largest) < COMPONENTS * size
            used_CP[:COMPONENTS] = flat.view(COMPONENTS, largest)
        return used_CP

    def forward(self, x_KD: Tensor, groups: Sequence[SizeGroup]) -> Tensor:
        """``[12, Q]``: tokens in the order of the groups laid end to end, each with its p points."""
        parts = []
        for group, x_kD in zip(groups, x_KD.split([len(g.tokens) for g in groups]), strict=True):
            weight_CpD = self.weight[group.number, :, : group.size]
            if self.parity:
                used_Cp1 = self._used(group.number)[:, : group.size, None]
                weight_CpD = weight_CpD * used_Cp1.to(x_kD.device)
            bias_Cp = self.bias[group.number, :, : group.size]
            raw_kCp = F.linear(x_kD, weight_CpD.flatten(0, 1), bias_Cp.flatten()).unflatten(1, bias_Cp.shape)
            parts.append(raw_kCp.transpose(0, 1).flatten(1))
        return torch.cat(parts, dim=1) if parts else x_KD.new_zeros(len(PARAMETERS), 0)
