"""Transformer layers shared by the forecasters (MOIRAI, Woo et al. 2024; Moirai 2.0, arXiv:2511.11698).

All of them work on the token stream of :mod:`specseq.models.layout`.
Shapes: T tokens, D model width, H heads, E head width, F feed-forward width, N segments of a bucket, W its
width, R rotated pairs of a head.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from specseq.models.fused import BlockedRMSNorm, NormedSwiGLU, NormedTurned, SiluProduct, Turn
from specseq.models.layout import Layout
from specseq.models.masks import BucketMask, mask_tables
from specseq.models.segment_attention import SegmentAttention


def _on_cpu(x: Tensor) -> bool:
    """Whether functions with hand-written gradients take a tensor: on a CPU, single precision or wider."""
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


class RMSNorm(nn.Module):
    """``x / sqrt(mean(x²) + eps) * weight`` over the last dimension, without a bias."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if not _on_cpu(x):
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
        normed: Tensor = BlockedRMSNorm.apply(x, self.weight, self.eps)
        return normed


class SwiGLU(nn.Module):
    """``down(silu(gate(x)) * up(x))`` without biases; gate and up are one matrix product."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(dim, 2 * width, bias=False)
        self.down = nn.Linear(width, dim, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        return self.down(SiluProduct.apply(self.gate_up(x_TD)))


class ResidualBlock(nn.Module):
    """``out(silu(hidden(x))) + skip(x)``: the input and output block of Moirai 2.0 (as in TimesFM)."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, outputs)
        self.skip = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.silu(self.hidden(x))) + self.skip(x)


class Rotation:
    """Rotary position embedding of adjacent pairs in the first dimensions of a head (RoFormer).

    Pair r of 2R dimensions turns by ``position * base^(-r/R)``.
    """

    def __init__(self, positions_T: Tensor, pairs: int, base: float = 10_000.0) -> None:
        theta_R = base ** (-torch.arange(pairs, dtype=torch.float32, device=positions_T.device) / pairs)
        angle_T1R = positions_T.to(torch.float32)[:, None, None] * theta_R
        self.pairs = pairs
        self.cis_T1R = torch.polar(torch.ones_like(angle_T1R), angle_T1R)
        self._spread: Tensor | None = None

    def __call__(self, x_THE: Tensor) -> Tensor:
        """Turn the first ``2 R`` of E dimensions of each token and head by its position."""
        turned: Tensor = Turn.apply(x_THE, self.of(x_THE))
        return turned

    def of(self, x: Tensor) -> Tensor:
        """cos + i sin of the angles, ``[T, 1, R]``, in the precision of ``x``."""
        return self.cis_T1R.to(torch.complex128) if x.dtype == torch.float64 else self.cis_T1R

    def spread(self, x: Tensor, heads: int, width: int) -> Tensor:
        """:meth:`of` for every pair of every head, ``[T, H, E / 2]``, 1 where a pair does not turn.

        Without gaps and broadcasting the product takes a third of the time on a CPU. The layers of a model
        share the result.
        """
        cis_T1R = self.of(x)
        shape = len(cis_T1R), heads, width // 2
        if self._spread is None or self._spread.shape != shape or self._spread.dtype != cis_T1R.dtype:
            self._spread = cis_T1R.new_ones(shape)
            self._spread[..., : self.pairs] = cis_T1R
        return self._spread


@dataclass(frozen=True)
class TokenContext:
    """Layout, rotation and masks, shared by the mixing layers of one forward pass.

    Attributes:
        layout: the stream and its buckets.
        rotation: rotary embedding of the tokens' times.
        masks: one per bucket.
    """

    layout: Layout
    rotation: Rotation
    masks: tuple[BucketMask, ...]

    @classmethod
    def of(
        cls, layout: Layout, time_id_T: Tensor, variate_id_T: Tensor | None, pairs: int, causal: bool
    ) -> "TokenContext":
        """
        Args:
            layout: segments are samples.
            time_id_T: token number within its variate.
            variate_id_T: number of the variate within its sample; None if every sample has one.
            pairs: rotated pairs of a head, R.
            causal: a query sees only keys of its own and earlier times (of all variates).
        """
        tables = mask_tables(layout, time_id_T, variate_id_T, causal)
        return cls(layout, Rotation(time_id_T, pairs), tuple(table.mask() for table in tables))


class Mixer(Protocol):
    """A layer that mixes tokens within segments: attention, or anything with its signature."""

    def __call__(self, x_TD: Tensor, context: Any) -> Tensor:
        """``[T, D] -> [T, D]``; nothing crosses a segment boundary."""


class Attention(nn.Module):
    """Self-attention within segments: QK-RMSNorm, rotary time, binary variate bias; no biases.

    The bias adds a learned number per head to the logit of a pair of tokens: one if both belong to the same
    variate (row 1 of ``variate_bias``), another if not (row 0). Norm weights are shared by the heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"model width {dim} is not a multiple of {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.query_norm = RMSNorm(dim // heads)
        self.key_norm = RMSNorm(dim // heads)
        self.variate_bias = nn.Embedding(2, heads)
        self.out = nn.Linear(dim, dim, bias=False)

    def project(self, x_TD: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``[..., T, H, E]`` of tokens ``[..., T, D]``, normed and turned."""
        qkv_T3HE = self.qkv(x_TD).unflatten(-1, (3, self.heads, -1))
        if _on_cpu(qkv_T3HE):
            weights = self.query_norm.weight, self.key_norm.weight
            q_THE, k_THE, v_THE = NormedTurned.apply(
                qkv_T3HE, *weights, self.query_norm.eps, rotation.of(qkv_T3HE)
            )
            return q_THE, k_THE, v_THE
        q_THE, k_THE, v_THE = qkv_T3HE.unbind(-3)
        q_THE = rotation(self.query_norm(q_THE)).to(v_THE.dtype)
        k_THE = rotation(self.key_norm(k_THE)).to(v_THE.dtype)
        return q_THE, k_THE, v_THE

    def forward(self, x_TD: Tensor, context: TokenContext) -> Tensor:
        if not _on_cpu(x_TD) or torch.is_autocast_enabled("cpu"):
            return self.composed(x_TD, context)
        weights = self.qkv.weight, self.query_norm.weight, self.key_norm.weight, self.variate_bias.weight
        cis_THR = context.rotation.spread(x_TD, self.heads, len(self.query_norm.weight))
        eps, layout = self.query_norm.eps, context.layout
        return self.out(SegmentAttention.apply(x_TD, *weights, eps, cis_THR, layout, context.masks))

    def composed(self, x_TD: Tensor, context: TokenContext) -> Tensor:
        """The same of differentiable operators, as for accelerators, whatever the device."""
        q_THE, k_THE, v_THE = self.project(x_TD, context.rotation)
        layout = context.layout
        blocks = zip(
            layout.split(q_THE), layout.split(k_THE), layout.split(v_THE), context.masks, strict=True
        )
        mixed = [self._attend(q, k, v, mask) for q, k, v, mask in blocks]
        return self.out(layout.join(mixed).flatten(1))

    def _attend(self, q_NWHE: Tensor, k_NWHE: Tensor, v_NWHE: Tensor, mask: BucketMask) -> Tensor:
        """Attention within each of N segments; returns ``[N, W, H, E]``."""
        width = q_NWHE.shape[-1]
        if mask.variate is not None:
            # The difference of the two biases times "same variate" is an inner product of one-hot vectors. In
            # further dimensions of queries and keys it needs no additive mask, whose gradient would
            # force the slow kernels. The part common to all pairs cancels in the softmax.
            variate_NW1V = mask.variate.to(q_NWHE.dtype)[:, :, None]
            different_H, same_H = self.variate_bias.weight.to(q_NWHE.dtype)
            gain_H1 = ((same_H - different_H) * width**0.5)[:, None]
            q_NWHE = torch.cat((q_NWHE, gain_H1 * variate_NW1V), dim=-1)
            k_NWHE = torch.cat((k_NWHE, variate_NW1V.expand(-1, -1, self.heads, -1)), dim=-1)
            v_NWHE = F.pad(v_NWHE, (0, variate_NW1V.shape[-1]))
        q, k, v = (x.transpose(1, 2) for x in (q_NWHE, k_NWHE, v_NWHE))
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask.allowed, is_causal=mask.causal, scale=width**-0.5
        )
        return mixed[..., :width].transpose(1, 2)


class Block(nn.Module):
    """One pre-norm layer: ``x + mixer(norm(x))``, then ``x + feed_forward(norm(x))``."""

    def __init__(self, dim: int, width: int, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(dim)
        self.mixer = mixer
        self.feed_forward_norm = RMSNorm(dim)
        self.feed_forward = SwiGLU(dim, width)

    def forward(self, x_TD: Tensor, context: Any) -> Tensor:
        return self.fed_forward(x_TD + self.mixer(self.mixer_norm(x_TD), context))

    def fed_forward(self, x: Tensor) -> Tensor:
        """``x + feed_forward(norm(x))`` of tokens ``[..., D]``."""
        norm, maps = self.feed_forward_norm, self.feed_forward
        if not _on_cpu(x) or torch.is_autocast_enabled("cpu"):
            return x + maps(norm(x))
        fed_TD: Tensor = NormedSwiGLU.apply(
            x.reshape(-1, x.shape[-1]), norm.weight, maps.gate_up.weight, maps.down.weight, norm.eps
        )
        return fed_TD.view(x.shape)


class Encoder(nn.Module):
    """A stack of blocks and a final norm."""

    def __init__(self, dim: int, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.norm = RMSNorm(dim)

    def forward(self, x_TD: Tensor, context: Any) -> Tensor:
        for block in self.blocks:
            x_TD = block(x_TD, context)
        return self.norm(x_TD)
