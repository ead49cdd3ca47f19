"""Batches of MOIRAI: index tables that spare the model work on unneeded tokens, and manual packing.

Shapes: B rows, L tokens per row, P points per token slot, T tokens of the stream, R variate runs (one variate
of one sample), K predicted tokens, Q predicted points, V variates of a sample, n tokens of a variate, p its
patch size; X anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.models.layout import Layout, Widths, balanced
from specseq.models.stu.segments import SegmentTables, tables_on
from specseq.series.batch import PackedBatch, from_numpy


@dataclass(frozen=True)
class SizeGroup:
    """Tokens of one patch size.

    Attributes:
        number: index of the size among the model's patch sizes.
        size: patch size, p.
        tokens: ``int64 [k]``, places in the stream.
    """

    number: int
    size: int
    tokens: Tensor


@dataclass(frozen=True)
class BatchTables:
    """Index tables of a batch, made once on the CPU.

    Attributes:
        layout: the stream of real tokens, laid out by samples.
        convolved: runs that spectral units may not cross.
        run_T: variate run of each token, 0..R-1.
        runs: number of variate runs, R.
        context: unmasked tokens by patch size.
        predicted: tokens to predict by patch size; concatenated, they are the K predicted tokens.
        entry_T: index of each token's embedding in the concatenation of those of ``context`` and the mask
            embedding.
        masked_T: True at tokens whose values the model may not see (predicted or excluded from the loss).
    """

    layout: Layout
    convolved: SegmentTables
    run_T: Tensor
    runs: int
    context: tuple[SizeGroup, ...]
    predicted: tuple[SizeGroup, ...]
    entry_T: Tensor
    masked_T: Tensor

    @classmethod
    def of(
        cls,
        batch: PackedBatch,
        patch_sizes: Sequence[int],
        by_variate: bool = False,
        width: Widths = balanced,
    ) -> "BatchTables":
        """
        Args:
            batch: packed rows, on the CPU.
            patch_sizes: the model's patch sizes.
            by_variate: spectral units may not cross from one variate to the next.
            width: bucket widths of the samples in attention.
        """
        rows, length = batch.sample_id.shape
        layout = Layout.of(batch.samples, rows, length, width)
        runs = batch.variates
        slots = torch.repeat_interleave(runs.rows * length + runs.starts, runs.lengths)
        first = torch.repeat_interleave(runs.lengths.cumsum(0) - runs.lengths, runs.lengths)
        slots = slots + torch.arange(len(slots)) - first
        run_of_slot = torch.zeros(rows * length, dtype=torch.int64)
        run_of_slot[slots] = torch.repeat_interleave(torch.arange(len(runs.rows)), runs.lengths)
        masked_T = layout.flatten(batch.prediction_mask)
        wanted_T = masked_T & layout.flatten(batch.loss_mask)
        size_T = layout.flatten(batch.patch_size)
        unknown = set(size_T.unique().tolist()) - set(patch_sizes)
        if unknown:
            raise ValueError(
                f"the batch has patch sizes {sorted(unknown)}; the model knows {list(patch_sizes)}"
            )
        context = _by_size(size_T, ~masked_T, patch_sizes)
        entry_T = torch.full_like(size_T, sum(len(group.tokens) for group in context))
        if context:
            order = torch.cat([group.tokens for group in context])
            entry_T[order] = torch.arange(len(order))
        return cls(
            layout,
            tables_on(layout, batch.variates if by_variate else batch.samples),
            run_of_slot[layout.tokens],
            len(runs.rows),
            context,
            _by_size(size_T, wanted_T, patch_sizes),
            entry_T,
            masked_T,
        )

    @property
    def predicted_K(self) -> Tensor:
        """Places of the predicted tokens in the stream."""
        return torch.cat([group.tokens for group in self.predicted] or [self.run_T[:0]])

    def points(self, x_TP: Tensor) -> Tensor:
        """``[T, P] -> [Q]``: the values at the predicted points, in the order of the heads."""
        parts = [x_TP[group.tokens, : group.size].flatten() for group in self.predicted]
        return torch.cat(parts or [x_TP.flatten()[:0]])

    def per_point(self, x_T: Tensor) -> Tensor:
        """``[T] -> [Q]``: a token's value at each of its predicted points."""
        parts = [x_T[group.tokens].repeat_interleave(group.size) for group in self.predicted]
        return torch.cat(parts or [x_T[:0]])

    def to(self, device: torch.device | str) -> "BatchTables":
        """The same tables on a device."""
        changes = {f.name: _moved(getattr(self, f.name), device) for f in fields(self)}
        return replace(self, **changes)


def _by_size(size_T: Tensor, chosen_T: Tensor, patch_sizes: Sequence[int]) -> tuple[SizeGroup, ...]:
    groups = []
    for number, size in enumerate(patch_sizes):
        tokens = torch.nonzero(chosen_T & (size_T == size)).flatten()
        if len(tokens):
            groups.append(SizeGroup(number, size, tokens))
    return tuple(groups)


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, tuple):
        return tuple(SizeGroup(group.number, group.size, group.tokens.to(device)) for group in value)
    return value.to(device) if hasattr(value, "to") else value


@dataclass(frozen=True)
class Sample:
    """One series and the part of it to predict.

    Attributes:
        values: ``float32 [V, n * p]``, NaN where missing or unknown.
        patch: p.
        predicted: number of tokens at the end of each variate that the model must predict.
    """

    values: NDArray[np.float32]
    patch: int
    predicted: int

    @property
    def tokens(self) -> int:
        """Tokens of one variate, n."""
        return self.values.shape[1] // self.patch


def pack(rows: Sequence[Sequence[Sample]], length: int, slot: int) -> PackedBatch:
    """Place the samples of each row one after another, variate by variate.

    Args:
        rows: samples of each row.
        length: tokens per row; the rest after the samples is padding.
        slot: largest number of points per token, P.
    """
    shape = (len(rows), length)
    names = ("sample_id", "time_id", "variate_id", "patch_size")
    ids = {name: np.zeros(shape, np.int64) for name in names}
    masks = {name: np.zeros(shape, np.bool_) for name in ("prediction_mask", "loss_mask")}
    target, observed = np.zeros((*shape, slot), np.float32), np.zeros((*shape, slot), np.bool_)
    samples, variates = [], []
    for row, members in enumerate(rows):
        at = 0
        for number, sample in enumerate(members, 1):
            n, p, width = sample.tokens, sample.patch, len(sample.values) * sample.tokens
            if at + width > length:
                raise ValueError(f"row {row} holds {length} tokens; its samples need more")
            span = (row, slice(at, at + width))
            time = np.tile(np.arange(n), len(sample.values))
            ids["sample_id"][span], ids["patch_size"][span] = number, p
            ids["time_id"][span], masks["loss_mask"][span] = time, True
            ids["variate_id"][span] = np.repeat(np.arange(len(sample.values)), n)
            masks["prediction_mask"][span] = time >= n - sample.predicted
            points = sample.values.reshape(width, p)
            known = ~np.isnan(points)
            target[row, at : at + width, :p] = np.where(known, points, 0)
            observed[row, at : at + width, :p] = known
            samples.append((row, at, width))
            variates += [(row, at + v * n, n) for v in range(len(sample.values))]
            at += width
    tables = {
        "samples": np.array(samples, np.int64).reshape(-1, 3),
        "variates": np.array(variates, np.int64).reshape(-1, 3),
    }
    return from_numpy({"target": target, "observed": observed, **ids, **masks, **tables, "seed": 0})
