"""Forecasting with Moirai2: one pass for the first tokens, then Q paths that share their context's keys.

Up to F tokens come from one pass. Beyond that, each of the Q quantile paths is fed back and yields Q new
quantiles; the Q² values at each point are reduced to Q quantiles, the paths of the next round (Moirai 2.0,
arXiv:2511.11698). Location and scale always remain those of the context.

Shapes: N series of the same length, W tokens of a context, F predicted tokens, G tokens generated so far,
Q quantile levels, P points per token, C hints, D width, H heads, E head width.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as nnf
from torch import Tensor

from specseq.models.layers import Attention, Block, ResidualBlock, Rotation
from specseq.models.moirai2.model import Moirai2

# Embeddings of the tokens of a path: (points of all paths so far, first new point) -> [N, Q, new, D]
Feed = Callable[[Tensor, int], Tensor]


@dataclass
class _Cache:
    """Keys and values of one layer, for the context that the paths share and for each path."""

    context_k: Tensor
    context_v: Tensor
    path_k: list[Tensor] = field(default_factory=list)
    path_v: list[Tensor] = field(default_factory=list)


def decode(model: Moirai2, tokens_NWD: Tensor, horizon: int, feed: Feed, head: ResidualBlock) -> Tensor:
    """Quantiles in scaled space, ``[N, Q, horizon]``.

    Args:
        feed: embeds the predictions, for the rounds after the first.
    """
    config = model.config
    wanted = -(-horizon // config.patch)
    caches: list[_Cache] | None = [] if wanted > config.predicted else None
    hidden_ND = _context_pass(model, tokens_NWD, caches)
    paths_NQT = model.quantiles(hidden_ND, head).transpose(1, 2).flatten(2)
    levels = torch.tensor(config.quantile_levels, dtype=paths_NQT.dtype, device=paths_NQT.device)
    made = config.predicted
    while made < wanted:
        assert caches is not None
        first = made - config.predicted
        new_NQGD = feed(paths_NQT, first * config.patch)
        hidden_NQD = _path_pass(model, new_NQGD, caches, tokens_NWD.shape[1] + first)
        values = model.quantiles(hidden_NQD.flatten(0, 1), head)
        # [N · Q, F, Q, P] -> Q² values of each of F · P points
        values = values.unflatten(0, hidden_NQD.shape[:2]).transpose(2, 3).flatten(3)
        reduced = torch.quantile(values.flatten(1, 2), levels, dim=1).transpose(0, 1)
        paths_NQT = torch.cat((paths_NQT, reduced), dim=-1)
        made += config.predicted
    return paths_NQT[..., :horizon]


def _context_pass(model: Moirai2, x_NWD: Tensor, caches: list[_Cache] | None) -> Tensor:
    """Hidden state of each context's last token, ``[N, D]``; fills ``caches`` if given."""
    width = x_NWD.shape[1]
    rotation = Rotation(torch.arange(width, device=x_NWD.device), model.config.head_width // 4)
    for number, block in enumerate(model.decoder.blocks):
        assert isinstance(block, Block)
        attention = block.mixer
        assert isinstance(attention, Attention)
        q, k, v = (x.transpose(1, 2) for x in attention.project(block.mixer_norm(x_NWD), rotation))
        if caches is not None:
            caches.append(_Cache(k, v))
        last = number == len(model.decoder.blocks) - 1
        if last:
            # The other tokens are no longer needed.
            mixed = nnf.scaled_dot_product_attention(q[:, :, -1:], k, v)
            x_NWD = x_NWD[:, -1:]
        else:
            mixed = nnf.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_NWD = x_NWD + attention.out(mixed.transpose(1, 2).flatten(2))
        x_NWD = block.fed_forward(x_NWD)
    return model.decoder.norm(x_NWD[:, -1])


def _path_pass(model: Moirai2, x_NQGD: Tensor, caches: list[_Cache], first: int) -> Tensor:
    """Hidden state of each path's last new token, ``[N, Q, D]``; ``first``: time of the first new one."""
    new = x_NQGD.shape[2]
    times = torch.arange(first, first + new, device=x_NQGD.device)
    rotation = Rotation(times, model.config.head_width // 4)
    for block, cache in zip(model.decoder.blocks, caches, strict=True):
        assert isinstance(block, Block)
        attention = block.mixer
        assert isinstance(attention, Attention)
        q, k, v = (x.transpose(2, 3) for x in attention.project(block.mixer_norm(x_NQGD), rotation))
        cache.path_k.append(k)
        cache.path_v.append(v)
        mixed = _attend(q, cache)
        x_NQGD = x_NQGD + attention.out(mixed.transpose(2, 3).flatten(3))
        x_NQGD = block.fed_forward(x_NQGD)
    return model.decoder.norm(x_NQGD[:, :, -1])


def _attend(q_NQHGE: Tensor, cache: _Cache) -> Tensor:
    """Attention of new tokens to their context, to their own path so far, and to each other causally."""
    new = q_NQHGE.shape[3]
    k_own, v_own = torch.cat(cache.path_k, dim=3), torch.cat(cache.path_v, dim=3)
    scale = q_NQHGE.shape[-1] ** -0.5
    own = q_NQHGE @ k_own.mT
    later = torch.ones(new, k_own.shape[3], dtype=torch.bool, device=own.device).triu(
        k_own.shape[3] - new + 1
    )
    own = own.masked_fill(later, float("-inf"))
    context = torch.einsum("nqhge,nhwe->nqhgw", q_NQHGE, cache.context_k)
    weights = (torch.cat((context, own), dim=-1) * scale).softmax(-1)
    from_context, from_own = weights.split([context.shape[-1], own.shape[-1]], dim=-1)
    return torch.einsum("nqhgw,nhwe->nqhge", from_context, cache.context_v) + from_own @ v_own
