"""The diagonal Jacobian blocks of an equilibrium block in closed form, by a few matrix products.

    D_t = [Attention'_t + FeedForward'_t] LN'_t - (1 + c) I

Only the query, key and value of position t itself depend on its state; the past is frozen. The audit checks
these blocks against exact products with the Jacobian before it relies on them.

Shapes: B sample, T position, P sample and position, S attended position, C channel, H head, D and E channels
of a head, X all of them, F expanded channel.
"""

import math

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock, gelu, layer_norm

# Blocks computed at once, few enough to stay in a processor's cache from the first product to the last.
_BLOCKS = 8


@torch.no_grad()
def diagonal_blocks(block: EquilibriumBlock, z_BTC: Tensor, positions: Tensor | None = None) -> Tensor:
    """``D[b, t, i, j] = ∂F[b, t, i] / ∂z[b, t, j]`` at a real state, for any input x.

    Args:
        block: the weights.
        z_BTC: the state.
        positions: positions t to compute, in this order; all if None.
    """
    n_BSC = layer_norm(z_BTC)
    at_T = torch.arange(z_BTC.shape[1], device=z_BTC.device) if positions is None else positions
    heads_PXC = _attention(block, n_BSC, at_T).flatten(0, 1)
    n_PC, z_PC = n_BSC[:, at_T].flatten(0, 1), z_BTC[:, at_T].flatten(0, 1)
    slope_PF = _feed_forward(block, n_PC)
    expand_FC, channels = _centred(block.expand.T), z_PC.shape[-1]
    scale_P11 = torch.rsqrt(z_PC.var(-1, correction=0) + 1e-5)[:, None, None]
    blocks_PCC = z_PC.new_empty(*z_PC.shape, channels)
    for some in (slice(first, first + _BLOCKS) for first in range(0, len(z_PC), _BLOCKS)):
        made_PCC, n_P1C = blocks_PCC[some], n_PC[some].unsqueeze(1)
        scaled_PCF = slope_PF[some].unsqueeze(1) * block.contract.T
        torch.mm(scaled_PCF.flatten(0, 1), expand_FC, out=made_PCC.flatten(0, 1))
        made_PCC.baddbmm_(block.output.T.expand(len(made_PCC), -1, -1), heads_PXC[some])
        # LN' = s (I - 11ᵀ/C - n nᵀ/C), applied from the right; the weights are centred already.
        made_PCC.baddbmm_(made_PCC @ n_P1C.mT, n_P1C, alpha=-1 / channels)
        made_PCC *= scale_P11[some]
    blocks_PCC.diagonal(dim1=-2, dim2=-1).sub_(block.leak)
    return blocks_PCC.unflatten(0, (len(z_BTC), len(at_T)))


def _centred(weight: Tensor) -> Tensor:
    """The weight with its mean over inputs removed: ``W (I - 11ᵀ/C)``."""
    return weight - weight.mean(-1, keepdim=True)


def _feed_forward(block: EquilibriumBlock, n_PC: Tensor) -> Tensor:
    with torch.enable_grad():
        inner_PF = n_PC @ block.expand
        if block.expand_offset is not None:
            inner_PF = inner_PF + block.expand_offset
        inner_PF = inner_PF.detach().requires_grad_(True)
        (slope_PF,) = torch.autograd.grad(gelu(inner_PF).sum(), inner_PF)
    return slope_PF


def _attention(block: EquilibriumBlock, n_BSC: Tensor, at_T: Tensor) -> Tensor:
    """``[B, T, X, C]``: derivatives of head outputs by the position's own normalised state, centred."""
    heads, length = block.shape.heads, n_BSC.shape[1]
    size = block.shape.width // heads

    def split(weight: Tensor, n: Tensor, offset: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Raw projections ``[B, H, T or S, D]`` and the weight of each head ``[H, D, C]``."""
        projected = n @ weight if offset is None else n @ weight + offset
        raw = projected.unflatten(-1, (heads, size)).transpose(1, 2)
        return raw, _centred(weight.T).unflatten(0, (heads, size))

    q, q_weight = split(block.query, n_BSC[:, at_T], block.query_offset)
    k, k_weight = split(block.key, n_BSC, block.key_offset)
    v, v_weight = split(block.value, n_BSC)
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
    by_value = own_BHT1.unsqueeze(-1) * torch.eye(size, dtype=v.dtype, device=v.device)
    # One product per head for all three terms: a few large matrices instead of many small ones.
    slopes_BHTDE = torch.cat((by_query, by_key, by_value), -1)
    weights_HEC = torch.cat((q_weight, k_weight, v_weight), -2)
    return torch.einsum("bhtde,hec->bthdc", slopes_BHTDE, weights_HEC).flatten(2, 3)


def _normalise(block: EquilibriumBlock, raw: Tensor) -> tuple[Tensor, Tensor]:
    if not block.shape.normalise_queries:
        return raw, torch.ones_like(raw[..., :1])
    scale = torch.rsqrt((raw * raw).mean(-1, keepdim=True) + 1e-6)
    return raw * scale, scale


def _before_normalising(block: EquilibriumBlock, slope_DE: Tensor, unit: Tensor, scale: Tensor) -> Tensor:
    """Turn a derivative by normalised channels into one by raw channels: multiply by r (I - q̂ q̂ᵀ/D)."""
    if not block.shape.normalise_queries:
        return slope_DE
    along = (slope_DE @ unit.unsqueeze(-1)) / unit.shape[-1]
    return (slope_DE - along * unit.unsqueeze(-2)) * scale.unsqueeze(-1)
