"""Packed rows as one stream of tokens, with segments of similar length grouped together.

A packed row holds several samples and some padding. Layers that work on single tokens (projections, norms,
feed-forward) run on the stream of real tokens only. Layers that mix tokens run bucket by bucket on dense
blocks of segments, so no work is spent across segments and almost none on padding.

Shapes: B rows, L tokens per row, T tokens in the stream, N segments of a bucket, W its width, X anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.series.anomaly import VARIANCE_FLOOR
from specseq.series.batch import Segments

# Standardised inputs are clipped here, such as the zero for a missing value of a huge constant series, since
# the squares taken by norms would overflow.
LARGEST_INPUT = 1e15


# Cost of a bucket besides the attention of its tokens, in pairs of tokens: some forty small operators for
# one layer and its gradient, on one CPU core.
_PAIRS_OF_A_BUCKET = 10_000
# Cost of a slot besides that of its pairs.
_PAIRS_OF_A_SLOT = 13
# The CPU kernel of attention is quickest at multiples of its vectors: 16 slots take less time than 9.
_SHORT, _QUICK = 8, 16

Integers = NDArray[np.int64]
Widths = Callable[[Integers], Integers]
"""Maps ascending lengths of segments, ``int64 [S]``, to the widths of their buckets."""


def exact(lengths_S: Integers) -> Integers:
    """One bucket per distinct length: no padding."""
    return lengths_S


def power_of_two(lengths_S: Integers) -> Integers:
    """Few buckets of widths 1, 2, 4, ...: best where the cost is dominated by launching small kernels."""
    return np.array([1 << (length - 1).bit_length() for length in lengths_S.tolist()], dtype=np.int64)


def balanced(lengths_S: Integers) -> Integers:
    """The buckets of least cost for attention on a CPU.

    Small batches get one or two buckets; batches of long segments get little padding.
    """
    quick_S = np.where(lengths_S > _SHORT, -(-lengths_S // _QUICK) * _QUICK, lengths_S)
    return merged(quick_S, _PAIRS_OF_A_BUCKET, _PAIRS_OF_A_SLOT)


def merged(widths_S: Integers, pairs_of_a_bucket: int, pairs_of_a_slot: int = 0) -> Integers:
    """Some of the ascending widths raised to the next ones, so that the total cost is least.

    Args:
        pairs_of_a_bucket: cost of each distinct width, in pairs of slots.
        pairs_of_a_slot: cost of each slot besides that of the pairs within its segment.
    """
    distinct, ends = np.unique(widths_S, return_counts=True)
    ends = np.concatenate(([0], ends.cumsum()))
    cost, first = np.zeros(len(ends)), np.zeros(len(ends), dtype=np.int64)
    for last, width in enumerate(distinct.tolist(), 1):
        # The last bucket starts at one of the widths up to here.
        costs = cost[:last] + (ends[last] - ends[:last]) * (width * (width + pairs_of_a_slot))
        first[last] = costs.argmin()
        cost[last] = costs[first[last]] + pairs_of_a_bucket
    chosen, last = np.empty(ends[-1], dtype=np.int64), len(distinct)
    while last:
        chosen[ends[first[last]] : ends[last]] = distinct[last - 1]
        last = first[last]
    return chosen


def spans(starts_S: Integers, lengths_S: Integers) -> tuple[Integers, Integers]:
    """``start, start + 1, ...`` for each length, concatenated, and the number of each one's span."""
    span_T = np.repeat(np.arange(len(lengths_S)), lengths_S)
    offset_S = starts_S - (np.cumsum(lengths_S) - lengths_S)
    return np.arange(len(span_T)) + offset_S[span_T], span_T


@dataclass(frozen=True)
class Bucket:
    """Segments that are computed together, consecutive in the stream.

    Attributes:
        width: slots per segment, W; shorter segments are padded at the end.
        slots: ``int64 [tokens]``, the slot of each token among the N · W; None if all hold one.
        segment_NW: the segment in each slot, -1 for padding, where several segments share the W slots that
            are otherwise one segment's; else None.
    """

    count: int
    width: int
    tokens: int
    slots: Tensor | None = None
    segment_NW: Tensor | None = None

    def pad(self, x_TX: Tensor) -> Tensor:
        """``[tokens, X] -> [N, W, X]``; slots beyond a segment's end hold zeros."""
        if self.slots is not None:
            empty = x_TX.new_zeros(self.count * self.width, *x_TX.shape[1:])
            x_TX = empty.index_copy(0, self.slots, x_TX)
        return x_TX.reshape(self.count, self.width, *x_TX.shape[1:])

    def unpad(self, x_NWX: Tensor) -> Tensor:
        """``[N, W, X] -> [tokens, X]``; the contents of padding slots are dropped."""
        x_SX = x_NWX.reshape(self.count * self.width, *x_NWX.shape[2:])
        return x_SX if self.slots is None else x_SX.index_select(0, self.slots)

    def valid(self) -> Tensor | None:
        """``bool [N, W]``, True where a slot holds a token; None if all do."""
        if self.slots is None:
            return None
        mask = torch.zeros(self.count * self.width, dtype=torch.bool, device=self.slots.device)
        mask[self.slots] = True
        return mask.reshape(self.count, self.width)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Bucket":
        """The same bucket on a device."""
        slots, segment_NW = (
            None if part is None else part.to(device, non_blocking=non_blocking)
            for part in (self.slots, self.segment_NW)
        )
        return Bucket(self.count, self.width, self.tokens, slots, segment_NW)


@dataclass(frozen=True)
class Padding:
    """Which slots of the buckets hold which tokens.

    Attributes:
        slot_T: ``int64 [T]``, the slot of each token among the S of all buckets.
        token_S: ``int64 [S]``, the token of each slot; a slot beyond a segment's end has the last token of
            its segment, so that nothing of another segment is read.
    """

    slot_T: Tensor
    token_S: Tensor


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a stream come from and how they are bucketed.

    Attributes:
        tokens: ``int64 [T]``, index of each stream token among the ``B * L`` slots of the batch.
        buckets: in stream order; their ``tokens`` sum to T.
        segment_T: ``int64 [T]``, number of each token's segment, ascending along the stream.
    """

    tokens: Tensor
    rows: int
    length: int
    buckets: tuple[Bucket, ...]
    segment_T: Tensor

    @classmethod
    def of(cls, segments: Segments, rows: int, length: int, widths: Widths = balanced) -> "Layout":
        """Lay out the segments of a batch that lies on the CPU.

        Args:
            segments: runs of tokens; mixing stays within a run.
            widths: gives the bucket width of each segment, ascending and no less than its length.
        """
        row_S, start_S, length_S = (
            part.numpy() for part in (segments.rows, segments.starts, segments.lengths)
        )
        order = np.argsort(length_S, kind="stable")
        lengths = length_S[order]
        tokens, segment_T = spans((row_S * length + start_S)[order], lengths)
        width_S, ends = widths(lengths), np.cumsum(lengths)
        if widths is balanced and len(lengths):
            bucket = _whole_rows(row_S, start_S, length_S, width_S)
            if bucket is not None:
                tokens, segment_T = spans(row_S * length + start_S, length_S)
                return cls(torch.from_numpy(tokens), rows, length, (bucket,), torch.from_numpy(segment_T))
        buckets = []
        edges = [0, *(np.flatnonzero(np.diff(width_S)) + 1).tolist(), len(lengths)]
        for first, last in pairwise(edges):
            if first == last:
                continue
            width = int(width_S[first])
            slots = None
            # The lengths ascend.
            if lengths[first] < width:
                starts = np.arange(last - first) * width
                slots = torch.from_numpy(spans(starts, lengths[first:last])[0])
            tokens_before = int(ends[first] - lengths[first])
            buckets.append(Bucket(last - first, width, int(ends[last - 1]) - tokens_before, slots))
        return cls(torch.from_numpy(tokens), rows, length, tuple(buckets), torch.from_numpy(segment_T))

    @property
    def sizes(self) -> list[int]:
        """Stream tokens of each bucket."""
        return [bucket.tokens for bucket in self.buckets]

    @cached_property
    def padding(self) -> Padding | None:
        """The slots of a layout on the CPU; None if every slot holds a token."""
        if all(bucket.slots is None for bucket in self.buckets):
            return None
        slots, size = [], 0
        for bucket in self.buckets:
            within = np.arange(bucket.tokens) if bucket.slots is None else bucket.slots.numpy()
            slots.append(within + size)
            size += bucket.count * bucket.width
        slot_T, token_S = np.concatenate(slots), np.zeros(size, np.int64)
        token_S[slot_T] = np.arange(len(slot_T))
        return Padding(torch.from_numpy(slot_T), torch.from_numpy(np.maximum.accumulate(token_S)))

    def flatten(self, x_BLX: Tensor) -> Tensor:
        """``[B, L, X] -> [T, X]``: the real tokens in stream order."""
        return x_BLX.flatten(0, 1).index_select(0, self.tokens)

    def unflatten(self, x_TX: Tensor) -> Tensor:
        """``[T, X] -> [B, L, X]``: tokens back in their rows, exactly 0 at padding."""
        rows = x_TX.new_zeros(self.rows * self.length, *x_TX.shape[1:])
        return rows.index_copy(0, self.tokens, x_TX).unflatten(0, (self.rows, self.length))

    def split(self, x_TX: Tensor) -> Sequence[Tensor]:
        """``[T, X]`` cut into the ``[N, W, X]`` blocks of the buckets."""
        parts = x_TX.split(self.sizes)
        return [bucket.pad(part) for bucket, part in zip(self.buckets, parts, strict=True)]

    def join(self, blocks: Sequence[Tensor]) -> Tensor:
        """The inverse of :meth:`split`: ``[N, W, X]`` blocks to one ``[T, X]``."""
        parts = [bucket.unpad(block) for bucket, block in zip(self.buckets, blocks, strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Layout":
        """The same layout on a device."""
        buckets = tuple(bucket.to(device, non_blocking) for bucket in self.buckets)
        tokens, segment_T = (
            part.to(device, non_blocking=non_blocking) for part in (self.tokens, self.segment_T)
        )
        return Layout(tokens, self.rows, self.length, buckets, segment_T)


def location_scale(values_TP: Tensor, seen_TP: Tensor, run_T: Tensor, runs: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each run over its seen points (Woo et al. 2024, PackedStdScaler).

    The variance has divisor n - 1, or 1 if that is zero, and 1e-5 is added before the root. Sums are taken
    per run in float64, at a cost linear in the tokens, where masks of pairs would be quadratic.

    Args:
        values_TP: values; those not seen are ignored, even NaN.
        seen_TP: True where a value counts.
        run_T: number of each token's run, 0..R-1.

    Returns:
        Location and scale, float64 ``[R]`` each; 0 and √1e-5 for a run without a seen point.
    """

    def totals(*values_T: Tensor) -> Tensor:
        values_TN = torch.stack(values_T, dim=1).double()
        sums_RN = torch.zeros(runs, len(values_T), dtype=torch.float64, device=values_TP.device)
        return sums_RN.index_add_(0, run_T, values_TN)

    values_TP = torch.where(seen_TP, values_TP, 0.0)
    count_R, sum_R = totals(seen_TP.sum(1), values_TP.sum(1, dtype=torch.float64)).unbind(1)
    location_R = sum_R / count_R.clamp_min(1)
    deviation_TP = (values_TP - location_R[run_T, None]).mul_(seen_TP)
    squares_R = totals(torch.linalg.vecdot(deviation_TP, deviation_TP))[:, 0]
    variance_R = squares_R / (count_R - 1).clamp_min(1)
    return location_R, (variance_R + VARIANCE_FLOOR).sqrt()


def standardise(x: Tensor, location: Tensor, scale: Tensor, limit: float = LARGEST_INPUT) -> Tensor:
    """``(x - location) / scale``, clipped to ± ``limit``.

    Differences and scales of the largest floats would overflow. Halving each operand prevents that and
    changes no digit of other results.
    """
    return (0.5 * x).sub_(0.5 * location).div_(0.5 * scale).clamp_(-limit, limit)


def _whole_rows(row_S: Integers, start_S: Integers, length_S: Integers, width_S: Integers) -> Bucket | None:
    """The rows of a batch as one bucket, if that costs less on a CPU than buckets of these widths.

    Attention of a row of short segments under a mask is quicker than that of each segment.
    """
    rows, number_S = np.unique(row_S, return_inverse=True)
    width = -(-int((start_S + length_S).max()) // _QUICK) * _QUICK
    together = _PAIRS_OF_A_BUCKET + len(rows) * width * (width + _PAIRS_OF_A_SLOT)
    apart = _PAIRS_OF_A_BUCKET * len(np.unique(width_S)) + (width_S * (width_S + _PAIRS_OF_A_SLOT)).sum()
    if len(row_S) == len(rows) or together >= apart:
        return None
    slots, segment_T = spans(number_S * width + start_S, length_S)
    segment_NW = np.full(len(rows) * width, -1)
    segment_NW[slots] = segment_T
    full = len(slots) == len(segment_NW)
    return Bucket(
        len(rows),
        width,
        len(slots),
        None if full else torch.from_numpy(slots),
        torch.from_numpy(segment_NW).view(len(rows), width),
    )
