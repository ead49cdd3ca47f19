"""Batches of MOIRAI: index tables that spare the model work on unneeded tokens, and manual packing.

Shapes: B rows, L tokens per row, P points per token slot, T tokens of the stream, R variate runs (one variate
of one sample), K predicted tokens, Q predicted points, V variates of a sample, n tokens of a variate, p its
patch size; X anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.models.layout import Layout, Widths, balanced, spans
from specseq.models.masks import MaskTable, mask_tables
from specseq.models.moirai.config import MoiraiConfig
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

    def to(self, device: torch.device | str) -> "SizeGroup":
        """The same on a device."""
        return replace(self, tokens=self.tokens.to(device))


@dataclass(frozen=True)
class BatchTables:
    """Index tables of a batch, made once on the CPU.

    Attributes:
        layout: the stream of real tokens, laid out by samples.
        masks: masks of attention within samples, one per bucket.
        convolved: runs that spectral units may not cross; None if the model has no such units.
        run_T: variate run of each token, 0..R-1.
        runs: number of variate runs, R.
        predicted_runs: number of those with a predicted token.
        slot: points per token slot, P.
        context: unmasked tokens by patch size.
        predicted: tokens to predict by patch size; concatenated, they are the K predicted tokens.
        predicted_K: places of the predicted tokens in the stream.
        size_K: their patch sizes.
        entry_T: index of each token's embedding in the concatenation of those of ``context`` and the mask
            embedding.
        masked_T: True at tokens whose values the model may not see (predicted or excluded from the loss).
        hidden: places of these tokens in the stream.
    """

    layout: Layout
    masks: tuple[MaskTable, ...]
    convolved: SegmentTables | None
    run_T: Tensor
    runs: int
    predicted_runs: int
    slot: int
    context: tuple[SizeGroup, ...]
    predicted: tuple[SizeGroup, ...]
    predicted_K: Tensor
    size_K: Tensor
    entry_T: Tensor
    masked_T: Tensor
    hidden: Tensor

    @classmethod
    def of(cls, batch: PackedBatch, config: MoiraiConfig, width: Widths = balanced) -> "BatchTables":
        """
        Args:
            batch: packed rows, on the CPU.
            config: settings of the model.
            width: bucket widths of the samples in attention.
        """
        rows, length = batch.sample_id.shape
        layout, stu = Layout.of(batch.samples, rows, length, width), config.stu
        tokens = layout.tokens.numpy()
        row_R, start_R, length_R = (
            part.numpy() for part in (batch.variates.rows, batch.variates.starts, batch.variates.lengths)
        )
        slots, run = spans(row_R * length + start_R, length_R)
        run_of_slot = np.zeros(rows * length, np.int64)
        run_of_slot[slots] = run
        run_T = run_of_slot[tokens]
        masked_T, in_loss_T, size_T = (
            part.numpy().reshape(-1)[tokens]
            for part in (batch.prediction_mask, batch.loss_mask, batch.patch_size)
        )
        unknown = set(size_T.tolist()) - set(config.patch_sizes)
        if unknown:
            raise ValueError(
                f"the batch has patch sizes {sorted(unknown)}; the model knows {list(config.patch_sizes)}"
            )
        context = _by_size(size_T, ~masked_T, config.patch_sizes)
        order = np.concatenate([group.tokens.numpy() for group in context] or [tokens[:0]])
        entry_T = np.full_like(size_T, len(order))
        entry_T[order] = np.arange(len(order))
        predicted = _by_size(size_T, masked_T & in_loss_T, config.patch_sizes)
        predicted_K = np.concatenate([group.tokens.numpy() for group in predicted] or [tokens[:0]])
        runs = batch.variates if stu.runs == "variate" else batch.samples
        return cls(
            layout,
            mask_tables(layout, None, layout.flatten(batch.variate_id), causal=False),
            None if stu.pattern == "attention" else tables_on(layout, runs),
            torch.from_numpy(run_T),
            len(row_R),
            len(set(run_T[predicted_K].tolist())),
            batch.target.shape[2],
            context,
            predicted,
            *map(
                torch.from_numpy,
                (predicted_K, size_T[predicted_K], entry_T, masked_T, np.flatnonzero(masked_T)),
            ),
        )

    @cached_property
    def token_Q(self) -> Tensor:
        """The token of each predicted point."""
        return self.predicted_K.repeat_interleave(self.size_K, output_size=self._points)

    @cached_property
    def place_Q(self) -> Tensor:
        """Where each predicted point is among the ``B L P`` of the batch."""
        slot_K = self.layout.tokens.index_select(0, self.predicted_K)
        first_K = slot_K * self.slot - (self.size_K.cumsum(0) - self.size_K)
        first_Q = first_K.repeat_interleave(self.size_K, output_size=self._points)
        return first_Q.add_(torch.arange(self._points, device=first_Q.device))

    @property
    def _points(self) -> int:
        return sum(len(group.tokens) * group.size for group in self.predicted)

    def points(self, x_BLP: Tensor) -> Tensor:
        """``[B, L, P] -> [Q]``: the values at the predicted points, in the order of the heads."""
        return x_BLP.flatten().index_select(0, self.place_Q)

    def per_point(self, x_T: Tensor) -> Tensor:
        """``[T] -> [Q]``: a token's value at each of its predicted points."""
        return x_T.index_select(0, self.token_Q)

    def to(self, device: torch.device | str) -> "BatchTables":
        """The same tables on a device."""
        changes = {f.name: _moved(getattr(self, f.name), device) for f in fields(self)}
        return replace(self, **changes)


def _by_size(
    size_T: NDArray[np.int64], chosen_T: NDArray[np.bool_], patch_sizes: Sequence[int]
) -> tuple[SizeGroup, ...]:
    groups = []
    for number, size in enumerate(patch_sizes):
        tokens = np.flatnonzero(chosen_T & (size_T == size))
        if len(tokens):
            groups.append(SizeGroup(number, size, torch.from_numpy(tokens)))
    return tuple(groups)


def _moved(value: Any, device: torch.device | str) -> Any:
    if isinstance(value, tuple):
        return tuple(part.to(device) for part in value)
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
