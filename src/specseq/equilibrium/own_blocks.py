"""The block's own-position Jacobian blocks in closed form: a few matrix products instead of C reverse passes.

    D_t = [Attention'_t + FeedForward'_t] LN'_t - (1 + c) I

Only the query, the own key and the own value of position t move with its state; the past is frozen. The audit
checks these blocks against exact products with the Jacobian before it believes them.

B sample, T position, S attended position, C channel, H head, D and E channels of a head, F expanded channel.
"""

import math

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock, gelu, layer_norm


@torch.no_grad()
def own_blocks(block: EquilibriumBlock, z_BTC: Tensor, positions: Tensor | None = None) -> Tensor:
    """``D[b, t, i, j] = ∂F[b, t, i] / ∂z[b, t, j]`` at a real state, for any input x.

    Args:
        block: the weights.
        z_BTC: the state.
        positions: of which positions t, in this order; all where missing.
    """
    n_BTC = layer_norm(z_BTC)
    at_T = torch.arange(z_BTC.shape[1], device=z_BTC.device) if positions is None else positions
    through_BTCC = _attention(block, n_BTC, at_T)
    z_BTC, n_BTC = z_BTC[:, at_T], n_BTC[:, at_T]
    through_BTCC += _feed_forward(block, n_BTC)
    # LN' = s (I - 11ᵀ/C - n nᵀ/C), applied from the right.
    channels = z_BTC.shape[-1]
    scale_BT = torch.rsqrt(z_BTC.var(-1, correction=0) + 1e-5)[..., None, None]
    along_BTC1 = through_BTCC @ n_BTC.unsqueeze(-1) / channels
    through_BTCC -= through_BTCC.mean(-1, keepdim=True)
    through_BTCC -= along_BTC1 * n_BTC.unsqueeze(-2)
    through_BTCC *= scale_BT
    through_BTCC.diagonal(dim1=-2, dim2=-1).sub_(block.leak)
    return through_BTCC


def _feed_forward(block: EquilibriumBlock, n_BTC: Tensor) -> Tensor:
    with torch.enable_grad():
        inner_BTF = (n_BTC @ block.expand).detach().requires_grad_(True)
        (slope_BTF,) = torch.autograd.grad(gelu(inner_BTF).sum(), inner_BTF)
    return (slope_BTF.unsqueeze(-2) * block.contract.T) @ block.expand.T


def _attention(block: EquilibriumBlock, n_BSC: Tensor, at_T: Tensor) -> Tensor:
    heads, length = block.shape.heads, n_BSC.shape[1]
    size = block.shape.width // heads

    def split(weight: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        """Raw projections ``[B, H, T or S, D]`` and the weight of each head ``[H, D, C]``."""
        raw = (n @ weight).unflatten(-1, (heads, size)).transpose(1, 2)
        return raw, weight.T.unflatten(0, (heads, size))

    q, q_weight = split(block.query, n_BSC[:, at_T])
    (k, k_weight), (v, v_weight) = split(block.key, n_BSC), split(block.value, n_BSC)
    q, q_scale = _normalise(block, q)
    k, k_scale = _normalise(block, k)
    logits_BHTS = q @ k.mT / math.sqrt(size)
    late_TS = torch.arange(length, device=q.device) > at_T.unsqueeze(-1)
    w_BHTS = torch.softmax(logits_BHTS.masked_fill(late_TS, -torch.inf), -1)
    o_BHTD = w_BHTS @ v
    # ∂o/∂q = Σ_s w_s (v_s - o) k_sᵀ / √D
    pairs_BHSX = (v.unsqueeze(-1) * k.unsqueeze(-2)).flatten(-2)
    by_query = (w_BHTS @ pairs_BHSX).unflatten(-1, (size, size))
    by_query = by_query - o_BHTD.unsqueeze(-1) * (w_BHTS @ k).unsqueeze(-2)
    # ∂o/∂k_t = w_t (v_t - o) qᵀ / √D  and  ∂o/∂v_t = w_t I
    own_BHT1 = w_BHTS.gather(-1, at_T.view(-1, 1).expand(*w_BHTS.shape[:3], 1))
    k, k_scale, v = k[:, :, at_T], k_scale[:, :, at_T], v[:, :, at_T]
    by_key = (own_BHT1 * (v - o_BHTD)).unsqueeze(-1) * q.unsqueeze(-2)
    by_query = _before_normalising(block, by_query, q, q_scale) / math.sqrt(size)
    by_key = _before_normalising(block, by_key, k, k_scale) / math.sqrt(size)
    heads_BHTDC = by_query @ q_weight.unsqueeze(1) + by_key @ k_weight.unsqueeze(1)
    heads_BHTDC += own_BHT1.unsqueeze(-1) * v_weight.unsqueeze(1)
    return block.output.T @ heads_BHTDC.transpose(1, 2).flatten(2, 3)


def _normalise(block: EquilibriumBlock, raw: Tensor) -> tuple[Tensor, Tensor]:
    if not block.shape.normalise_queries:
        return raw, torch.ones_like(raw[..., :1])
    scale = torch.rsqrt((raw * raw).mean(-1, keepdim=True) + 1e-6)
    return raw * scale, scale


def _before_normalising(block: EquilibriumBlock, slope_DE: Tensor, unit: Tensor, scale: Tensor) -> Tensor:
    """A derivative by normalised channels turned into one by raw ones: times r (I - q̂ q̂ᵀ/D)."""
    if not block.shape.normalise_queries:
        return slope_DE
    along = (slope_DE @ unit.unsqueeze(-1)) / unit.shape[-1]
    return (slope_DE - along * unit.unsqueeze(-2)) * scale.unsqueeze(-1)
