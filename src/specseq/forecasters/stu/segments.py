"""Tables that gather runs of a token stream into padded buckets of few lengths, and put them back.

A convolution must not look across a segment, a run of tokens that belongs to one sample or to one variate of
it. Segments of similar length share a bucket, so that it takes a handful of dense calls however many segments
a batch holds. The segments need not be those by which the stream is laid out.

Shapes: N tokens of the stream, S segments of a bucket, n its length.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.forecasters.layout import Layout
from specseq.series.batch import Segments

POWERS_OF_TWO = tuple(2**k for k in range(3, 25))


@dataclass(frozen=True)
class Bucket:
    """Segments padded to one length.

    Attributes:
        length: n.
        index: ``[S, n]`` int64, flat positions; padding points at N, one past the last token.
        lengths: ``[S]`` int64, tokens of each segment.
    """

    length: int
    index: Tensor
    lengths: Tensor

    def gather(self, x_ND: Tensor) -> Tensor:
        """``[S, n, ...]``; what stands in padding is one of the tokens and must be masked."""
        return x_ND[self.index.clamp_max(x_ND.shape[0] - 1)]

    def valid(self) -> Tensor:
        """``[S, n]`` bool, False in padding."""
        return torch.arange(self.length, device=self.index.device) < self.lengths[:, None]


@dataclass(frozen=True)
class SegmentTables:
    """Every token of a flat batch stands in exactly one bucket.

    Attributes:
        buckets: by increasing length; none is empty.
        inverse: ``[N]`` int64, each token's place in the buckets laid end to end.
    """

    buckets: tuple[Bucket, ...]
    inverse: Tensor

    @property
    def tokens(self) -> int:
        """N."""
        return self.inverse.shape[0]

    def to(self, device: torch.device | str) -> "SegmentTables":
        """The same tables on another device."""
        moved = tuple(
            Bucket(bucket.length, bucket.index.to(device), bucket.lengths.to(device))
            for bucket in self.buckets
        )
        return SegmentTables(moved, self.inverse.to(device))

    def restore(self, padded: Sequence[Tensor]) -> Tensor:
        """Undo the gathering: one ``[S, n, ...]`` a bucket becomes ``[N, ...]``; padding is dropped."""
        laid = [part.flatten(0, 1) for part in padded]
        return (laid[0] if len(laid) == 1 else torch.cat(laid))[self.inverse]


def segment_tables(
    starts: NDArray[np.integer], lengths: NDArray[np.integer], sizes: Sequence[int] = POWERS_OF_TWO
) -> SegmentTables:
    """Build the tables.

    Args:
        starts: ``[G]`` flat position of each segment's first token; together the segments cover 0..N-1 once.
        lengths: ``[G]`` number of its tokens, at least one.
        sizes: increasing bucket lengths to choose from; a segment takes the smallest that holds it.
    """
    starts, lengths = np.asarray(starts, dtype=np.int64), np.asarray(lengths, dtype=np.int64)
    tokens = int(lengths.sum())
    if lengths.size and (lengths.min() < 1 or lengths.max() > sizes[-1]):
        raise ValueError(f"segments hold 1 to {sizes[-1]} tokens; found {lengths.min()} to {lengths.max()}")
    chosen = np.searchsorted(np.asarray(sizes), lengths)
    inverse = np.full(tokens, -1, dtype=np.int64)
    buckets, offset = [], 0
    for size_index in np.unique(chosen):
        members = np.flatnonzero(chosen == size_index)
        size = int(sizes[size_index])
        step = np.arange(size)
        valid = step < lengths[members, None]
        index = np.where(valid, starts[members, None] + step, tokens)
        inverse[index[valid]] = offset + np.flatnonzero(valid.ravel())
        offset += index.size
        buckets.append(Bucket(size, torch.from_numpy(index), torch.from_numpy(lengths[members])))
    if (inverse < 0).any():
        raise ValueError("the segments leave tokens uncovered")
    return SegmentTables(tuple(buckets), torch.from_numpy(inverse))


def tables_on(layout: Layout, segments: Segments) -> SegmentTables:
    """Tables of ``segments`` over the stream of ``layout``.

    Args:
        layout: the stream; its own segments contain those given here whole (samples contain variates).
        segments: runs within the rows of the batch; together they cover every token of the stream.
    """
    position = np.full(layout.rows * layout.length, -1, dtype=np.int64)
    position[layout.tokens.cpu().numpy()] = np.arange(len(layout.tokens))
    rows, starts, lengths = (
        part.cpu().numpy() for part in (segments.rows, segments.starts, segments.lengths)
    )
    return segment_tables(position[rows * layout.length + starts], lengths).to(layout.tokens.device)
