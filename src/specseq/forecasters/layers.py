"""Transformer pieces that the forecasters share (MOIRAI, Woo et al. 2024; Moirai 2.0, arXiv:2511.11698).

All of them work on the stream of tokens of :mod:`specseq.forecasters.layout`.
Legend: T tokens, D model width, H heads, E head width, F feed-forward width, N segments of a bucket, W its
width, R rotated pairs of a head.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from specseq.forecasters.layout import Layout


class _FusedRMSNorm(torch.autograd.Function):
    """RMSNorm with its gradient written out: a third of the memory traffic of the composed operations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        scale = torch.linalg.vecdot(x, x).div_(x.shape[-1]).add_(eps).rsqrt_()[..., None]
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, scale = ctx.saved_tensors
        normed = x * scale
        grad_weight = torch.linalg.vecdot(grad.flatten(0, -2), normed.flatten(0, -2), dim=0)
        grad_x = grad * weight
        along = torch.linalg.vecdot(grad_x, normed)[..., None].div_(-x.shape[-1])
        return grad_x.addcmul_(normed, along).mul_(scale), grad_weight, None


class RMSNorm(nn.Module):
    """``x / sqrt(mean(x²) + eps) * weight`` over the last dimension, without a bias."""

    def __init__(self, width: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cuda or x.dtype != torch.float32:
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
        return _FusedRMSNorm.apply(x, self.weight, self.eps)


def swiglu_width(dim: int) -> int:
    """Feed-forward width with the parameter count of a plain ``4 D`` layer, rounded up to a multiple of 8."""
    return -(-(4 * dim * 2 // 3) // 8) * 8


class SwiGLU(nn.Module):
    """``down(silu(gate(x)) * up(x))`` without biases; gate and up are one matrix product."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.gate_up = nn.Linear(dim, 2 * width, bias=False)
        self.down = nn.Linear(width, dim, bias=False)

    def forward(self, x_TD: Tensor) -> Tensor:
        gate_TF, up_TF = self.gate_up(x_TD).chunk(2, dim=-1)
        return self.down(F.silu(gate_TF) * up_TF)


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
        angle_T1R = (positions_T[:, None].to(torch.float32) * theta_R)[:, None]
        self.pairs, self.cos_T1R, self.sin_T1R = pairs, angle_T1R.cos(), angle_T1R.sin()

    def __call__(self, x_THE: Tensor) -> Tensor:
        """Turn the first ``2 R`` of E dimensions of each token and head by its position."""
        turned, rest = x_THE.split([2 * self.pairs, x_THE.shape[-1] - 2 * self.pairs], dim=-1)
        even, odd = turned.unflatten(-1, (self.pairs, 2)).unbind(-1)
        cos, sin = self.cos_T1R.to(x_THE.dtype), self.sin_T1R.to(x_THE.dtype)
        turned = torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)
        return torch.cat((turned, rest), dim=-1)


@dataclass(frozen=True)
class BucketMask:
    """Who may attend to whom within the segments of a bucket.

    Attributes:
        causal: slots are in time order and each sees itself and what stands before it; replaces ``allowed``.
        allowed: ``bool [N, 1, W or 1, W]``, True where a query slot may see a key slot; None allows all.
        same_variate: ``bool [N, 1, W, W]``, True where both slots hold one variate; None where every segment
            has a single variate, in which case the bias is a constant that the softmax does not see.
    """

    causal: bool = False
    allowed: Tensor | None = None
    same_variate: Tensor | None = None


@dataclass(frozen=True)
class TokenContext:
    """What the mixing layers of one forward pass share.

    Attributes:
        layout: the stream and its buckets.
        rotation: rotary embedding of the tokens' times.
        masks: one a bucket.
    """

    layout: Layout
    rotation: Rotation
    masks: tuple[BucketMask, ...]

    @classmethod
    def of(
        cls, layout: Layout, time_id_T: Tensor, variate_id_T: Tensor, pairs: int, causal: bool
    ) -> "TokenContext":
        """
        Args:
            layout: segments are samples.
            time_id_T: token number within its variate.
            variate_id_T: number of the variate within its sample.
            pairs: rotated pairs of a head, R.
            causal: a query sees keys of its own and earlier times only (of all variates).
        """
        times, variates = layout.split(time_id_T), layout.split(variate_id_T)
        masks = []
        for bucket, time_NW, variate_NW in zip(layout.buckets, times, variates, strict=True):
            valid_NW = bucket.valid()
            univariate = bool((variate_NW == variate_NW[:, :1]).all())
            allowed = None if valid_NW is None else valid_NW[:, None, None, :]
            same = None if univariate else (variate_NW[:, None, :, None] == variate_NW[:, None, None, :])
            if causal and univariate:
                masks.append(BucketMask(causal=True))
                continue
            if causal:
                earlier = time_NW[:, None, None, :] <= time_NW[:, None, :, None]
                allowed = earlier if allowed is None else earlier & allowed
            masks.append(BucketMask(allowed=allowed, same_variate=same))
        return cls(layout, Rotation(time_id_T, pairs), tuple(masks))


class Mixer(Protocol):
    """What mixes tokens within segments: attention, or anything of its signature."""

    def __call__(self, x_TD: Tensor, context: Any) -> Tensor:
        """``[T, D] -> [T, D]``; nothing crosses a segment."""


class Attention(nn.Module):
    """Self-attention within segments: QK-RMSNorm, rotary time, binary variate bias; no biases.

    The bias adds one learned number a head to the logit of a pair, according to whether both tokens are of
    one variate (row 1 of ``variate_bias``) or not (row 0). Norm weights are shared by the heads.
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
        q_THE, k_THE, v_THE = self.qkv(x_TD).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        q_THE = rotation(self.query_norm(q_THE)).to(v_THE.dtype)
        k_THE = rotation(self.key_norm(k_THE)).to(v_THE.dtype)
        return q_THE, k_THE, v_THE

    def forward(self, x_TD: Tensor, context: TokenContext) -> Tensor:
        q_THE, k_THE, v_THE = self.project(x_TD, context.rotation)
        layout = context.layout
        blocks = zip(
            layout.split(q_THE), layout.split(k_THE), layout.split(v_THE), context.masks, strict=True
        )
        mixed = [self._attend(q, k, v, mask) for q, k, v, mask in blocks]
        return self.out(layout.join(mixed).flatten(1))

    def _attend(self, q_NWHE: Tensor, k_NWHE: Tensor, v_NWHE: Tensor, mask: BucketMask) -> Tensor:
        """Attention within each of N segments; returns ``[N, W, H, E]``."""
        q, k, v = (x.transpose(1, 2) for x in (q_NWHE, k_NWHE, v_NWHE))
        allowed = mask.allowed
        if mask.same_variate is not None:
            different_H, same_H = self.variate_bias.weight.to(q.dtype)[:, None, :, None, None]
            bias = torch.where(mask.same_variate, same_H, different_H)
            allowed = bias if allowed is None else bias.masked_fill(~allowed, float("-inf"))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, is_causal=mask.causal)
        return mixed.transpose(1, 2)


class Block(nn.Module):
    """One pre-norm layer: ``x + mixer(norm(x))``, then ``x + feed_forward(norm(x))``."""

    def __init__(self, dim: int, width: int, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(dim)
        self.mixer = mixer
        self.feed_forward_norm = RMSNorm(dim)
        self.feed_forward = SwiGLU(dim, width)

    def forward(self, x_TD: Tensor, context: Any) -> Tensor:
        x_TD = x_TD + self.mixer(self.mixer_norm(x_TD), context)
        return x_TD + self.feed_forward(self.feed_forward_norm(x_TD))


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
