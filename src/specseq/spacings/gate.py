"""A gate that closes memory where the last spacings are unlike training windows (note 003, experiment D).

Shapes: B windows, L spacings, N compared spacings, P tokens, H heads, E width of a head, M slots.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from specseq.spacings.config import MemoryGate
from specseq.spacings.law import TrainingLaw


class Gate(nn.Module):
    """Opening of memory at each spacing: 1 near the centroid of training windows, 0 far from it.

    ``sigmoid(sharpness · (reach - d))``, where d is the squared Mahalanobis distance per spacing of the last
    N spacings from the mean of training windows. It has no learned parameters and reads no later spacing.
    """

    mean_N: Tensor
    whitening_NN: Tensor

    def __init__(self, config: MemoryGate) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean_N", torch.ones(config.spacings))
        self.register_buffer("whitening_NN", torch.eye(config.spacings))

    def fit(self, law: TrainingLaw) -> None:
        """Set the law of the training windows."""
        self.mean_N.copy_(torch.from_numpy(law.mean))
        self.whitening_NN.copy_(torch.from_numpy(law.whitening))

    def forward(self, s_BL: Tensor) -> Tensor:
        """(B, L) openings in [0, 1]; 1 where fewer than N spacings are known."""
        c, (B, L) = self.config, s_BL.shape
        early = s_BL.new_ones(B, min(L, c.spacings - 1))
        if c.spacings > L:
            return early
        with torch.autocast(s_BL.device.type, enabled=False):
            apart = (s_BL.unfold(1, c.spacings, 1) - self.mean_N) @ self.whitening_NN
            distance = apart.square().mean(-1)
        return torch.cat([early, torch.sigmoid(c.sharpness * (c.reach - distance))], 1)


class Opening(NamedTuple):
    """The gate in one pass: memory is the first ``slots`` keys, read by tokens to the share ``share_BP``."""

    slots: int
    share_BP: Tensor

    def close(self, y: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """(B, H, P, E): attention minus the part of memory that the gate holds back.

        An open gate subtracts nothing: the result is then the given attention, bit for bit.

        Args:
            q: queries (B, H, P, E); ``k`` and ``v``: all keys and values.
        """
        # Attention over one-hot values gives the slots' weights without forming all the others.
        width = max(self.slots, q.shape[-1])
        one_hot = F.pad(
            torch.eye(self.slots, width, dtype=q.dtype, device=q.device), (0, 0, 0, k.shape[2] - self.slots)
        )
        weight = F.scaled_dot_product_attention(q, k, one_hot.expand(*k.shape[:3], width), attn_mask=mask)
        from_memory = weight[..., : self.slots] @ v[:, :, : self.slots]
        return y - (1 - self.share_BP)[:, None, :, None].to(y.dtype) * from_memory
