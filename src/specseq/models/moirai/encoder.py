"""The encoder: attention, spectral units or both, layer by layer.

Shapes: T tokens of the stream, D model width, K tokens whose output is wanted.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from specseq.models.layers import Attention, Block, RMSNorm, TokenContext
from specseq.models.moirai.config import MoiraiConfig
from specseq.models.stu.layer import SpectralTransformUnit
from specseq.models.stu.segments import SegmentTables


@dataclass(frozen=True)
class MixingContext:
    """What the mixers of one forward pass share.

    Attributes:
        attention: rotary angles and masks within samples.
        convolved: runs that spectral units may not cross.
    """

    attention: TokenContext
    convolved: SegmentTables


class AttentionMixer(nn.Module):
    """Attention within samples."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.attention = Attention(config.d_model, config.head_count)

    def forward(self, x_TD: Tensor, context: MixingContext) -> Tensor:
        return self.attention(x_TD, context.attention)


class SpectralMixer(nn.Module):
    """A spectral transform unit over the runs of a sample or a variate."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        stu = config.stu
        self.unit = SpectralTransformUnit(
            config.d_model, config.max_length, stu.filters, stu.mode, stu.inner, stu.published
        )

    def forward(self, x_TD: Tensor, context: MixingContext) -> Tensor:
        return self.unit(x_TD, context.convolved)


class ParallelMixer(nn.Module):
    """``g * attention + (1 - g) * unit`` with a gate g in (0, 1) for each channel, one half at first."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.attention = AttentionMixer(config)
        self.spectral = SpectralMixer(config)
        self.gate = nn.Parameter(torch.zeros(config.d_model))

    def forward(self, x_TD: Tensor, context: MixingContext) -> Tensor:
        mixed_TD = self.spectral(x_TD, context)
        return mixed_TD + self.gate.sigmoid() * (self.attention(x_TD, context) - mixed_TD)


MIXERS = {"attention": AttentionMixer, "stu": SpectralMixer, "parallel": ParallelMixer}


class MoiraiEncoder(nn.Module):
    """Pre-norm blocks and a final norm."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(
                config.d_model,
                config.feed_forward_of(layer),
                MIXERS[config.stu.mixing(layer, config.layers)](config),
            )
            for layer in range(config.layers)
        )
        self.norm = RMSNorm(config.d_model)

    def forward(self, x_TD: Tensor, context: MixingContext, wanted_K: Tensor) -> Tensor:
        """``[K, D]``: after the last mixing nothing crosses tokens, so the others are dropped there."""
        for block in self.blocks[:-1]:
            x_TD = block(x_TD, context)
        last = cast(Block, self.blocks[-1])
        x_TD = x_TD + last.mixer(last.mixer_norm(x_TD), context)
        x_KD = x_TD.index_select(0, wanted_K)
        x_KD = x_KD + last.feed_forward(last.feed_forward_norm(x_KD))
        return self.norm(x_KD)
