"""A pre-norm transformer block over memory slots and a sequence, with its mask, rotary phases and cache.

Shapes: B batch, M memory slots, L sequence, P = M + L all tokens, D width, H heads, E = D/H.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from specseq.spacings.config import AttentionMask
from specseq.spacings.gate import Opening


def attention_mask(slots: int, length: int, kind: AttentionMask) -> Tensor:
    """(P, P) boolean mask, True where a row may attend to a column.

    Sequence rows see all memory and the sequence up to themselves. Under ``causal``, memory rows see only
    memory. Under ``published`` they see the whole window, and since sequence rows read memory, the
    future reaches every token from the second layer on.
    """
    mask = torch.ones(slots + length, slots + length, dtype=torch.bool)
    mask[slots:, slots:] = torch.tril(mask[slots:, slots:])
    if kind == "causal":
        mask[:slots, slots:] = False
    return mask


def rotary_phases(head_width: int, length: int) -> Tensor:
    """(length, E/2) angles of rotary position embedding (Su et al. 2021)."""
    rate = 10_000.0 ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    return torch.outer(torch.arange(length, dtype=torch.float32), rate)


def rotate(x_BHLE: Tensor, phases: Tensor) -> Tensor:
    """Rotate pairs from the two halves of each head by the phases of their positions."""
    even, odd = x_BHLE.chunk(2, -1)
    cos, sin = phases.cos().to(x_BHLE.dtype), phases.sin().to(x_BHLE.dtype)
    return torch.cat([even * cos - odd * sin, even * sin + odd * cos], -1)


class LayerCache:
    """Keys and values of the tokens seen so far, with room for ``capacity`` tokens."""

    def __init__(self, batch: int, heads: int, capacity: int, width: int, like: Tensor) -> None:
        self.keys = like.new_zeros(batch, heads, capacity, width)
        self.values = like.new_zeros(batch, heads, capacity, width)
        self.used = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        new = self.used + keys.shape[2]
        self.keys[:, :, self.used : new] = keys
        self.values[:, :, self.used : new] = values
        self.used = new
        return self.keys[:, :, :new], self.values[:, :, :new]


class Block(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x)); linear maps without bias, GELU, four-fold MLP."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(
        self,
        x_BPD: Tensor,
        mask: Tensor | None,
        phases: Tensor | None = None,
        slots: int = 0,
        cache: LayerCache | None = None,
        opening: Opening | None = None,
    ) -> Tensor:
        """
        Args:
            x_BPD: tokens; with a cache, the new ones only.
            mask: (P, all keys) boolean; None where a single new token sees the whole cache.
            phases: (P - slots, E/2) rotary angles of the sequence tokens in x; None without rotary positions.
            slots: number of memory tokens at the start of x, which are not rotated.
            cache: keys and values of earlier tokens; the new ones are appended.
            opening: the gate of memory; None without one.
        """
        B, P, D = x_BPD.shape
        q, k, v = (
            self.qkv(self.norm1(x_BPD)).view(B, P, 3, self.heads, D // self.heads).permute(2, 0, 3, 1, 4)
        )
        if phases is not None:
            q = torch.cat([q[:, :, :slots], rotate(q[:, :, slots:], phases)], 2)
            k = torch.cat([k[:, :, :slots], rotate(k[:, :, slots:], phases)], 2)
        if cache is not None:
            k, v = cache.append(k, v)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        if opening is not None:
            y = opening.close(y, q, k, v, mask)
        x_BPD = x_BPD + self.drop(self.out(y.transpose(1, 2).reshape(B, P, D)))
        return x_BPD + self.drop(self.down(F.gelu(self.up(self.norm2(x_BPD)))))


def initialise(module: nn.Module, width: int, blocks: int) -> None:
    """Set zero biases and normal matrices, divided by √(2·blocks) if they write to the residual stream.

    The standard deviation is 0.02 at the published width of 256 and scales as 1/√width, so that a narrow
    model starts with activations of the same size.
    """
    std = 0.02 * math.sqrt(256 / width)
    for name, parameter in module.named_parameters():
        if name.endswith(("out.weight", "down.weight")):
            nn.init.normal_(parameter, std=std / math.sqrt(2 * max(blocks, 1)))
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif parameter.dim() > 1:
            nn.init.normal_(parameter, std=std)
