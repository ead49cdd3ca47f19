"""How far back the layers of a MOIRAI model look: attention and spectral units resolved by lag.

Lags count positions in a sample's run of tokens, where variates follow one another; spectral units convolve
along the same order. Attention is bidirectional, so some of it goes to later tokens.

Shapes: T tokens of the stream, N segments of a bucket, W its width, H heads, D model width, L lags.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.models.layers import Attention, TokenContext
from specseq.models.masks import BucketMask
from specseq.models.measurement import inputs_of, mixers
from specseq.models.moirai.model import Moirai
from specseq.models.stu.layer import SpectralTransformUnit
from specseq.series.batch import PackedBatch

LAGS = 64
"""Number of lags kept separately; the remainder to 1 lies further back."""

Mixer = Literal["attention", "even", "unit"]


@dataclass(frozen=True)
class Profile:
    """What one layer attends to, by lag.

    Attributes:
        mixer: attention; attention spread evenly over all tokens it may read; or a spectral unit.
        share_L: share of lags 0, 1, 2 ...: attention averaged over heads and tokens, or the mean |h| of a
            unit's channels.
    """

    layer: int
    mixer: Mixer
    share_L: NDArray[np.float64]
    ahead: float = 0.0


@torch.no_grad()
def lag_profiles(model: Moirai, batch: PackedBatch) -> Iterator[Profile]:
    """Profiles of every layer, attention measured on a batch; units in full mode have none."""
    parts = [(layer, part) for layer, mixer in enumerate(mixers(model)) for part in mixer.modules()]
    attention = [(layer, part) for layer, part in parts if isinstance(part, Attention)]
    given = inputs_of([part for _, part in attention], model, batch)
    for (layer, _), (module, x_TD, context) in zip(attention, given, strict=True):
        yield Profile(layer, "attention", *_of_attention(module, x_TD, context, even=False))
        yield Profile(layer, "even", *_of_attention(module, x_TD, context, even=True))
    for layer, part in parts:
        if isinstance(part, SpectralTransformUnit) and part.mode != "full":
            size_L = part.impulse_response().abs().double().mean(1).numpy()
            yield Profile(layer, "unit", (size_L / size_L.sum())[:LAGS])


def _of_attention(
    module: Attention, x_TD: Tensor, context: TokenContext, even: bool
) -> tuple[NDArray[np.float64], float]:
    q_THE, k_THE, _ = module.project(x_TD, context.rotation)
    layout, share_L, ahead = context.layout, np.zeros(LAGS), 0.0
    blocks = zip(layout.buckets, layout.split(q_THE), layout.split(k_THE), context.masks, strict=True)
    for bucket, q_NWHE, k_NWHE, mask in blocks:
        weight_NHWW = weights(module, q_NWHE, k_NWHE, mask, even)
        valid_NW = bucket.valid()
        if valid_NW is not None:
            weight_NHWW = weight_NHWW * valid_NW[:, None, :, None]
        summed_WW = weight_NHWW.double().mean(1).sum(0)
        ahead += float(summed_WW.triu(1).sum())
        for lag in range(min(LAGS, len(summed_WW))):
            share_L[lag] += float(summed_WW.diagonal(-lag).sum())
    tokens = len(x_TD)
    return share_L / tokens, ahead / tokens


def weights(
    module: Attention, q_NWHE: Tensor, k_NWHE: Tensor, mask: BucketMask, even: bool = False
) -> Tensor:
    """``[N, H, W, W]``: attention weights within each segment, padding excluded.

    Args:
        module: attention whose variate bias applies.
        even: weight all tokens that may be read equally.
    """
    q, k = q_NWHE.transpose(1, 2), k_NWHE.transpose(1, 2)
    score = q @ k.mT * q.shape[-1] ** -0.5
    if mask.variate is not None:
        same_N1WW = (mask.variate @ mask.variate.mT)[:, None]
        different_H, same_H = module.variate_bias.weight
        score = score + different_H[:, None, None] + (same_H - different_H)[:, None, None] * same_N1WW
    if even:
        score = torch.zeros_like(score)
    if mask.causal:
        score = score.masked_fill(torch.ones_like(score[0, 0], dtype=torch.bool).triu(1), -torch.inf)
    elif mask.allowed is not None:
        score = score.masked_fill(~mask.allowed, -torch.inf)
    return score.softmax(-1)
