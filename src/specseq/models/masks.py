"""Which slots of a bucket may attend to which, decided once per batch on the CPU.

Shapes: T tokens, k of them in a bucket, N rows of a bucket, W its width, V variates of a segment.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from specseq.models.layout import Bucket, Integers, Layout

Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class BucketMask:
    """Who may attend to whom within the segments of a bucket.

    Attributes:
        causal: slots are in time order, and each sees itself and those before it; replaces ``allowed``.
        allowed: ``bool [N, 1, W or 1, W]``, True where a query slot may see a key slot; None allows all.
        variate: one-hot ``[N, W, V]``, which of its segment's V variates a slot holds; None if every segment
            has a single variate, as the bias is then a constant that the softmax ignores.
    """

    causal: bool = False
    allowed: Tensor | None = None
    variate: Tensor | None = None

    @cached_property
    def additive(self) -> Tensor | None:
        """``allowed`` as what is added to logits, in float32."""
        return None if self.allowed is None else torch.where(self.allowed, 0.0, -torch.inf)


@dataclass(frozen=True)
class MaskTable:
    """A mask in the form in which it is moved to a device.

    Attributes:
        causal, allowed: as of :class:`BucketMask`.
        rank: ``int64 [N, W]``, number of a slot's variate within its segment; None as for the mask.
        variates: V, a multiple of 8, for the kernels.
    """

    causal: bool = False
    allowed: Tensor | None = None
    rank: Tensor | None = None
    variates: int = 0

    def mask(self) -> BucketMask:
        """The mask, on the table's device."""
        variate = None if self.rank is None else F.one_hot(self.rank, self.variates).float()
        return BucketMask(self.causal, self.allowed, variate)

    def to(self, device: torch.device | str) -> "MaskTable":
        """The same on a device."""
        allowed, rank = (None if part is None else part.to(device) for part in (self.allowed, self.rank))
        return replace(self, allowed=allowed, rank=rank)


def mask_tables(
    layout: Layout, time_T: Tensor | None, variate_T: Tensor | None, causal: bool
) -> tuple[MaskTable, ...]:
    """One table per bucket.

    Args:
        layout: the stream; on the CPU, unless masks are causal and its segments have one variate.
        time_T: token number within its variate; used if ``causal``.
        variate_T: number of the variate within its sample; None if every sample has one.
        causal: a query sees only keys of its own and earlier times (of all variates).
    """
    tables, first = [], 0
    for bucket in layout.buckets:
        span = slice(first, first + bucket.tokens)
        time_k, variate_k = (None if part is None else part[span] for part in (time_T, variate_T))
        tables.append(_table(bucket, layout.segment_T[span], time_k, variate_k, causal))
        first += bucket.tokens
    return tuple(tables)


def _table(
    bucket: Bucket, segment_k: Tensor, time_k: Tensor | None, variate_k: Tensor | None, causal: bool
) -> MaskTable:
    rank_k = None if variate_k is None else _ranks(segment_k.numpy(), variate_k.numpy())
    if causal and rank_k is None and bucket.segment_NW is None:
        return MaskTable(causal=True)
    allowed_NWW = _allowed(bucket)
    if causal and time_k is not None:
        time_NW = _in_slots(bucket, time_k.numpy())
        earlier_NWW = time_NW[:, None, :] <= time_NW[:, :, None]
        if allowed_NWW is None:
            allowed_NWW = earlier_NWW
        else:
            # A padding query has no time but must see something.
            padding_NW1 = ~_in_slots(bucket, np.ones(bucket.tokens, np.bool_))[:, :, None]
            allowed_NWW = (earlier_NWW | padding_NW1) & allowed_NWW
    allowed = None if allowed_NWW is None else torch.from_numpy(allowed_NWW)[:, None]
    if rank_k is None:
        return MaskTable(allowed=allowed)
    rank = torch.from_numpy(_in_slots(bucket, rank_k))
    return MaskTable(allowed=allowed, rank=rank, variates=(int(rank_k.max()) // 8 + 1) * 8)


def _allowed(bucket: Bucket) -> Booleans | None:
    """``[N, W or 1, W]``: keys of a query's segment; those of padding see each other or all tokens."""
    if bucket.segment_NW is not None:
        segment_NW = bucket.segment_NW.numpy()
        same_NWW: Booleans = segment_NW[:, None, :] == segment_NW[:, :, None]
        return same_NWW
    if bucket.slots is None:
        return None
    return _in_slots(bucket, np.ones(bucket.tokens, np.bool_))[:, None, :]


def _in_slots(bucket: Bucket, x_k: NDArray[Any]) -> NDArray[Any]:
    """``[N, W]``: 0 in padding."""
    if bucket.slots is not None:
        x_k, given = np.zeros(bucket.count * bucket.width, x_k.dtype), x_k
        x_k[bucket.slots.numpy()] = given
    return x_k.reshape(bucket.count, bucket.width)


def _ranks(segment_k: Integers, variate_k: Integers) -> Integers | None:
    """Number of each token's variate among those of its segment; None if every segment has one variate."""
    if not len(segment_k):
        return None
    starts = np.flatnonzero(np.diff(segment_k, prepend=segment_k[0] - 1))
    lengths = np.diff(starts, append=len(segment_k))
    if np.array_equal(variate_k, np.repeat(variate_k[starts], lengths)):
        return None
    key_k = segment_k * (int(variate_k.max()) + 1) + variate_k
    number_k = np.unique(key_k, return_inverse=True)[1]
    return number_k - np.repeat(np.minimum.reduceat(number_k, starts), lengths)
