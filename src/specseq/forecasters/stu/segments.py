"""Tables that gather runs of a token stream into padded buckets of few lengths, and put them back.

A convolution must not look across a segment, a run of tokens that belongs to one sample or to one variate of
it. Segments of similar length share a bucket, so that it takes a handful of dense calls however many segments
a batch holds. The segments need not be those by which the stream is laid out.

Shapes: N tokens of the stream, D channels, S segments of a bucket, n its length, k its tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.forecasters.layout import Layout
from specseq.series.batch import Segments

# Powers of two and the steps half way between: all quick to transform, and a fifth less padding.
SIZES = tuple(sorted({2**k for k in range(3, 25)} | {3 * 2**k for k in range(2, 24)}))


@dataclass(frozen=True)
class Bucket:
    """Segments padded to one length.

    Attributes:
        length: n; every segment is at most that long.
        count: S.
        longest: tokens of its longest segment.
        tokens: ``[k]`` int64, places in the stream.
        segment, step: ``[k]`` int64, which segment of the bucket each token stands in, and where.
    """

    length: int
    count: int
    longest: int
    tokens: Tensor
    segment: Tensor
    step: Tensor

    def pad(self, x_DN: Tensor, width: int, reverse: bool = False) -> Tensor:
        """``[D, S, width]``: the segments from step 0 on, or from step n - 1 backwards; zeros elsewhere."""
        padded = x_DN.new_zeros(x_DN.shape[0], self.count * width)
        padded.index_copy_(1, self._slots(width, reverse), x_DN.index_select(1, self.tokens))
        return padded.view(-1, self.count, width)

    def unpad(self, y_DSW: Tensor, out_DN: Tensor, reverse: bool = False) -> None:
        """Write the segments' steps to their places in ``out_DN``; what padding holds is dropped."""
        slots = self._slots(y_DSW.shape[2], reverse)
        out_DN.index_copy_(1, self.tokens, y_DSW.flatten(1).index_select(1, slots))

    def _slots(self, width: int, reverse: bool) -> Tensor:
        return self.segment * width + (self.length - 1 - self.step if reverse else self.step)

    def to(self, device: torch.device | str) -> "Bucket":
        """The same on a device."""
        places = (part.to(device) for part in (self.tokens, self.segment, self.step))
        return Bucket(self.length, self.count, self.longest, *places)


@dataclass(frozen=True)
class SegmentTables:
    """Every token of a stream stands in exactly one bucket; they are in order of length, none is empty."""

    buckets: tuple[Bucket, ...]

    def to(self, device: torch.device | str) -> "SegmentTables":
        """The same tables on another device."""
        return SegmentTables(tuple(bucket.to(device) for bucket in self.buckets))


def segment_tables(
    starts: NDArray[np.integer], lengths: NDArray[np.integer], sizes: Sequence[int] = SIZES
) -> SegmentTables:
    """Build the tables.

    Args:
        starts: ``[G]`` place of each segment's first token; together the segments cover 0..N-1 once.
        lengths: ``[G]`` number of its tokens, at least one.
        sizes: increasing bucket lengths to choose from; a segment takes the smallest that holds it.
    """
    starts, lengths = np.asarray(starts, dtype=np.int64), np.asarray(lengths, dtype=np.int64)
    if lengths.size and (lengths.min() < 1 or lengths.max() > sizes[-1]):
        raise ValueError(f"segments hold 1 to {sizes[-1]} tokens; found {lengths.min()} to {lengths.max()}")
    chosen = np.searchsorted(np.asarray(sizes), lengths)
    buckets = []
    for size_index in np.unique(chosen):
        members = np.flatnonzero(chosen == size_index)
        length = lengths[members]
        segment = np.repeat(np.arange(len(members)), length)
        step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        places = (starts[members][segment] + step, segment, step)
        buckets.append(
            Bucket(int(sizes[size_index]), len(members), int(length.max()), *map(torch.from_numpy, places))
        )
    covered = np.concatenate([bucket.tokens.numpy() for bucket in buckets] or [np.zeros(0, np.int64)])
    if not np.array_equal(np.sort(covered), np.arange(lengths.sum())):
        raise ValueError("the segments must cover every token once")
    return SegmentTables(tuple(buckets))


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
