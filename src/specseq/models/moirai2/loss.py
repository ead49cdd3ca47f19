"""Pinball loss.

Legend: K tokens that predict, F predicted tokens, Q quantile levels, P points a token.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def pinball(
    predicted_KFQP: Tensor, target_KFP: Tensor, wanted_KFP: Tensor, quantile_levels: Sequence[float]
) -> Tensor:
    """Mean of ``max(q (y - ŷ_q), (q - 1) (y - ŷ_q))`` over what is wanted, 0 where nothing is."""
    levels_Q1 = torch.tensor(quantile_levels, dtype=torch.float32, device=predicted_KFQP.device)[:, None]
    error = target_KFP[:, :, None] - predicted_KFQP
    losses = torch.maximum(levels_Q1 * error, (levels_Q1 - 1) * error)
    chosen = torch.where(wanted_KFP[:, :, None], losses, 0.0)
    return chosen.sum() / (wanted_KFP.sum() * len(quantile_levels)).clamp(min=1)
