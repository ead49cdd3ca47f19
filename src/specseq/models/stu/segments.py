"""Tables that gather runs of a token stream into padded buckets of few lengths, and put them back.

A convolution must not cross the boundary of a segment, a run of tokens of one sample or of one of its
variates. Segments of similar length share a bucket, so that a handful of dense calls suffices for any number
of segments. The segments may differ from those by which the stream is laid out.

Shapes: N tokens of the stream, D channels, S segments of a bucket, n its length, k its tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.models.layout import Layout, merged, spans
from specseq.series.batch import Segments

# Powers of two and the midpoints between them: all quick to transform, with a fifth less padding.
SIZES = tuple(sorted({2**k for k in range(3, 25)} | {3 * 2**k for k in range(2, 24)}))
# Buckets up to this length are convolved by products with Toeplitz matrices: measured on one CPU thread with
# 384 channels, up to here they are quicker than transforms.
TOEPLITZ_UP_TO = 48
# Cost of such a bucket besides the products of its segments, in pairs of steps.
_PAIRS_OF_A_BUCKET = 12_000


@dataclass(frozen=True)
class Bucket:
    """Segments padded to one length.

    Attributes:
        length: n, the largest possible length of its segments.
        longest: number of tokens in its longest segment.
        tokens: ``[k]`` int64, places in the stream.
        segment, step: ``[k]`` int64, segment of the bucket that each token belongs to, and position there.
        places: ``[S n]`` int64, the token of each step, and for padding the number of all tokens N.
    """

    length: int
    count: int
    longest: int
    tokens: Tensor
    segment: Tensor
    step: Tensor
    places: Tensor

    def pad(self, x_DN: Tensor, reverse: bool = False) -> Tensor:
        """``[D, S, n]``: the segments from step 0 on, or from step n - 1 backwards; zeros elsewhere.

        The zeros are read from a last column of ``x_DN`` that belongs to no token: on a CPU one gather costs
        half as much as clearing and scattering.
        """
        places = self.places
        if reverse:
            places = places.view(self.count, self.length).flip(1).flatten()
        return x_DN.index_select(1, places).view(-1, self.count, self.length)

    def unpad(self, y_DSW: Tensor, reverse: bool = False) -> Tensor:
        """``[D, k]``: the segments' steps in the order of ``tokens``, without padding."""
        return y_DSW.flatten(1).index_select(1, self._slots(y_DSW.shape[2], reverse))

    def _slots(self, width: int, reverse: bool) -> Tensor:
        return self.segment * width + (self.length - 1 - self.step if reverse else self.step)

    def to(self, device: torch.device | str) -> "Bucket":
        """The same on a device."""
        parts = (part.to(device) for part in (self.tokens, self.segment, self.step, self.places))
        return Bucket(self.length, self.count, self.longest, *parts)


@dataclass(frozen=True)
class SegmentTables:
    """Buckets in order of length, none of them empty; every token of a stream is in exactly one.

    Attributes:
        place: ``[N]`` int64, index of each token in the concatenation of the buckets' tokens; None if that is
            their order in the stream, as for the segments by which the stream is laid out.
    """

    buckets: tuple[Bucket, ...]
    place: Tensor | None = None

    def join(self, parts: list[Tensor], out_DN: Tensor) -> None:
        """Write ``[D, k]`` of each bucket to ``out_DN`` in the order of the stream."""
        if not parts:
            return
        if self.place is None:
            torch.cat(parts, dim=1, out=out_DN)
        else:
            torch.index_select(torch.cat(parts, dim=1), 1, self.place, out=out_DN)

    def to(self, device: torch.device | str) -> "SegmentTables":
        """The same tables on another device."""
        place = None if self.place is None else self.place.to(device)
        return SegmentTables(tuple(bucket.to(device) for bucket in self.buckets), place)


def segment_tables(
    starts: NDArray[np.integer], lengths: NDArray[np.integer], sizes: Sequence[int] = SIZES
) -> SegmentTables:
    """Build the tables.

    Args:
        starts: ``[G]`` place of each segment's first token; together the segments cover 0..N-1 once.
        lengths: ``[G]`` number of tokens in each segment, at least one.
        sizes: increasing bucket lengths to choose from; a segment takes the smallest that holds it, or a
            larger one where that spares a bucket of few short segments.
    """
    starts, lengths = (np.asarray(part, dtype=np.int64) for part in (starts, lengths))
    if lengths.size and (lengths.min() < 1 or lengths.max() > sizes[-1]):
        raise ValueError(f"segments hold 1 to {sizes[-1]} tokens; found {lengths.min()} to {lengths.max()}")
    order = np.argsort(starts, kind="stable")
    starts, lengths = starts[order], lengths[order]
    length_of, total = _bucket_lengths(lengths, sizes), int(lengths.sum())
    buckets = []
    for size in np.unique(length_of).tolist():
        members = np.flatnonzero(length_of == size)
        tokens, segment = spans(starts[members], lengths[members])
        step = tokens - starts[members][segment]
        places = np.full(len(members) * size, total)
        places[segment * size + step] = tokens
        longest = int(lengths[members].max())
        parts = map(torch.from_numpy, (tokens, segment, step, places))
        buckets.append(Bucket(size, len(members), longest, *parts))
    covered = np.concatenate([bucket.tokens.numpy() for bucket in buckets] or [np.zeros(0, np.int64)])
    place = np.argsort(covered)
    if not np.array_equal(covered[place], np.arange(total)):
        raise ValueError("the segments must cover every token once")
    in_order = np.array_equal(place, np.arange(len(place)))
    return SegmentTables(tuple(buckets), None if in_order else torch.from_numpy(place))


def _bucket_lengths(lengths_G: NDArray[np.int64], sizes: Sequence[int]) -> NDArray[np.int64]:
    """The length of each segment's bucket. Segments short enough for a product stay so."""
    order = np.argsort(lengths_G, kind="stable")
    ascending = np.asarray(sizes)[np.searchsorted(np.asarray(sizes), lengths_G[order])]
    short = int(np.searchsorted(ascending, TOEPLITZ_UP_TO, side="right"))
    chosen = np.empty_like(lengths_G)
    chosen[order[:short]] = merged(ascending[:short], _PAIRS_OF_A_BUCKET)
    chosen[order[short:]] = ascending[short:]
    return chosen


def tables_on(layout: Layout, segments: Segments) -> SegmentTables:
    """Tables of ``segments`` over the stream of ``layout``.

    Args:
        layout: the stream; each of its own segments contains whole segments given here (as samples contain
            variates).
        segments: runs within the rows of the batch; together they cover every token of the stream.
    """
    position = np.full(layout.rows * layout.length, -1, dtype=np.int64)
    position[layout.tokens.cpu().numpy()] = np.arange(len(layout.tokens))
    rows, starts, lengths = (
        part.cpu().numpy() for part in (segments.rows, segments.starts, segments.lengths)
    )
    tables = segment_tables(position[rows * layout.length + starts], lengths)
    return tables if layout.tokens.device.type == "cpu" else tables.to(layout.tokens.device)
