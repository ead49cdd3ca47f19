"""Packed rows as one stream of tokens, grouped so that segments of like length stand together.

A packed row holds several samples and some padding. Everything that works on single tokens (projections,
norms, feed-forward) runs on the stream of real tokens alone; everything that mixes tokens runs bucket by
bucket on dense blocks of segments, so no work is spent across segments and next to none on padding.

Shapes: B rows, L tokens per row, T tokens in the stream, N segments of a bucket, W its width, X anything.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from specseq.series.anomaly import VARIANCE_FLOOR
from specseq.series.batch import Segments

# Standardised inputs are cut off here, such as the zero for a missing value of a huge constant series: the
# squares that norms take of larger ones would overflow.
LARGEST_INPUT = 1e15


def exact(length: int) -> int:
    """One bucket per distinct length: no padding, best on a CPU."""
    return length


def power_of_two(length: int) -> int:
    """Few buckets of widths 1, 2, 4, ...: best where launching small kernels dominates the cost."""
    return 1 << (length - 1).bit_length()


@dataclass(frozen=True)
class Bucket:
    """Segments that are computed together, consecutive in the stream.

    Attributes:
        count: number of segments, N.
        width: tokens of the widest slot, W; shorter segments are padded at their end.
        tokens: number of stream tokens in this bucket.
        gather: ``int64 [N * W]``, for each slot the token (within the bucket) it holds, padding repeating the
            segment's last token; None where every segment fills its slot.
        scatter: ``int64 [tokens]``, the slot of each token; None likewise.
    """

    count: int
    width: int
    tokens: int
    gather: Tensor | None = None
    scatter: Tensor | None = None

    def pad(self, x_TX: Tensor) -> Tensor:
        """``[tokens, X] -> [N, W, X]``; slots beyond a segment's end hold copies of its last token."""
        slots = x_TX if self.gather is None else x_TX.index_select(0, self.gather)
        return slots.reshape(self.count, self.width, *x_TX.shape[1:])

    def unpad(self, x_NWX: Tensor) -> Tensor:
        """``[N, W, X] -> [tokens, X]``; what padding slots hold is dropped."""
        slots = x_NWX.reshape(self.count * self.width, *x_NWX.shape[2:])
        return slots if self.scatter is None else slots.index_select(0, self.scatter)

    def valid(self) -> Tensor | None:
        """``bool [N, W]``, True where a slot holds a token of its own; None where all do."""
        if self.scatter is None:
            return None
        mask = torch.zeros(self.count * self.width, dtype=torch.bool, device=self.scatter.device)
        mask[self.scatter] = True
        return mask.reshape(self.count, self.width)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Bucket":
        """The same bucket on a device."""
        moved = [
            part if part is None else part.to(device, non_blocking=non_blocking) for part in self._parts()
        ]
        return Bucket(self.count, self.width, self.tokens, *moved)

    def _parts(self) -> tuple[Tensor | None, Tensor | None]:
        return self.gather, self.scatter


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a stream come from and how they are bucketed.

    Attributes:
        tokens: ``int64 [T]``, index of each stream token among the ``B * L`` slots of the batch.
        rows: number of rows, B.
        length: tokens per row, L.
        buckets: in stream order; their ``tokens`` sum to T.
        segment_T: ``int64 [T]``, number of each token's segment, ascending along the stream.
    """

    tokens: Tensor
    rows: int
    length: int
    buckets: tuple[Bucket, ...]
    segment_T: Tensor

    @classmethod
    def of(cls, segments: Segments, rows: int, length: int, width: Callable[[int], int] = exact) -> "Layout":
        """Lay out the segments of a batch that lies on the CPU.

        Args:
            segments: runs of tokens; mixing stays within a run.
            rows: rows of the batch, B.
            length: tokens per row, L.
            width: bucket width of a segment length, at least that length.
        """
        lengths = segments.lengths
        widths = torch.tensor([width(int(n)) for n in lengths.tolist()], dtype=torch.int64)
        order = torch.argsort(widths, stable=True)
        widths, lengths = widths[order], lengths[order]
        starts = (segments.rows * length + segments.starts)[order]
        tokens = _ranges(lengths) + torch.repeat_interleave(starts, lengths)
        buckets = []
        distinct, counts = torch.unique_consecutive(widths, return_counts=True)
        for slot, part in zip(distinct.tolist(), lengths.split(counts.tolist()), strict=True):
            buckets.append(_bucket(part, slot))
        segment_T = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
        return cls(tokens, rows, length, tuple(buckets), segment_T)

    @property
    def sizes(self) -> list[int]:
        """Stream tokens of each bucket."""
        return [bucket.tokens for bucket in self.buckets]

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

    The variance has divisor n - 1 and gains 1e-5 before the root; a divisor of zero becomes one. Sums are
    per run in float64: linear in the tokens, where masks of pairs would be quadratic.

    Args:
        values_TP: values; those not seen are ignored, NaN too.
        seen_TP: True where a value counts.
        run_T: run of each token, 0..R-1.
        runs: R.

    Returns:
        Location and scale, float64 ``[R]`` each; 0 and √1e-5 for a run without a seen point.
    """

    def total(value_T: Tensor) -> Tensor:
        sums_R = torch.zeros(runs, dtype=torch.float64, device=values_TP.device)
        return sums_R.index_add_(0, run_T, value_T.double())

    values_TP = torch.where(seen_TP, values_TP.double(), 0.0)
    count_R = total(seen_TP.sum(1))
    location_R = total(values_TP.sum(1)) / count_R.clamp_min(1)
    deviation_TP = torch.where(seen_TP, values_TP - location_R[run_T, None], 0.0)
    divisor_R = (count_R - 1).clamp_min(1)
    variance_R = total(torch.linalg.vecdot(deviation_TP, deviation_TP)) / divisor_R
    return location_R, (variance_R + VARIANCE_FLOOR).sqrt()


def standardise(x: Tensor, location: Tensor, scale: Tensor, limit: float = LARGEST_INPUT) -> Tensor:
    """``(x - location) / scale`` within ± ``limit``.

    Differences and scales of the largest floats overflow. Halving each operand prevents that and changes no
    digit of other results.
    """
    return ((0.5 * x - 0.5 * location) / (0.5 * scale)).clamp_(-limit, limit)


def _ranges(lengths: Tensor) -> Tensor:
    """``0 .. n-1`` for each length n, one after another."""
    ends = lengths.cumsum(0)
    return torch.arange(int(lengths.sum())) - torch.repeat_interleave(ends - lengths, lengths)


def _bucket(lengths: Tensor, width: int) -> Bucket:
    count, tokens = len(lengths), int(lengths.sum())
    if bool((lengths == width).all()):
        return Bucket(count, width, tokens)
    firsts = lengths.cumsum(0) - lengths
    slots = torch.minimum(torch.arange(width)[None], (lengths - 1)[:, None]) + firsts[:, None]
    offsets = torch.repeat_interleave(torch.arange(count) * width, lengths)
    return Bucket(count, width, tokens, slots.reshape(-1), _ranges(lengths) + offsets)
