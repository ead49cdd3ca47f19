"""What leaks from one packed sample to another, and from later tokens to earlier ones.

Shapes: B rows, L tokens a row, T tokens of the stream, D model width, Q predicted points.
"""

import copy
from dataclasses import replace

import torch
from torch import Tensor

from specseq.models.measurement.captured import inputs_of, spectral_units
from specseq.models.moirai.model import Moirai, Prediction
from specseq.models.stu.layer import SpectralTransformUnit
from specseq.models.stu.segments import SegmentTables
from specseq.series.batch import PackedBatch, Segments


@torch.no_grad()
def packing_error(model: Moirai, batch: PackedBatch) -> float:
    """Largest change of a sample's raw outputs when the values of another sample of its row change.

    The first sample of every row is negated, halved and shifted; the outputs of all others are compared.
    Nothing leaks where that is exactly 0. NaN where no row holds two samples.
    """
    first_BL = batch.sample_id == 1
    target = torch.where(first_BL[..., None], 1 - 0.5 * batch.target, batch.target)
    before, after = model(batch), model(replace(batch, target=target))
    return _largest((before.raw_12Q - after.raw_12Q)[:, ~_points_of(before, first_BL)])


@torch.no_grad()
def alone_error(model: Moirai, batch: PackedBatch, samples: int = 8) -> float:
    """Largest difference between a sample's raw outputs packed with others and alone without padding.

    Relative to the largest raw output; over the first ``samples`` samples of the batch.
    """
    packed, largest, differences = model(batch), 0.0, []
    segments = zip(batch.samples.rows, batch.samples.starts, batch.samples.lengths, strict=True)
    for (row, start, length), _ in zip(segments, range(samples), strict=False):
        here_BL = torch.zeros_like(batch.sample_id, dtype=torch.bool)
        here_BL[row, start : start + length] = True
        together_12Q = packed.raw_12Q[:, _points_of(packed, here_BL)]
        alone_12Q = model(cut(batch, int(row), int(start), int(length))).raw_12Q
        differences.append(_largest(together_12Q - alone_12Q))
        largest = max(largest, _largest(together_12Q))
    return max(differences) / largest


@torch.no_grad()
def causality_errors(model: Moirai, batch: PackedBatch) -> dict[str, float]:
    """How much the last token of a segment changes what a spectral unit puts out before it.

    The signs of all last tokens are flipped; changes are relative to the unit's largest output. For a causal
    transform they are rounding.

    Returns:
        ``causality_error``, the largest over the units, and ``causality_error_circular``, that of the same
        weights in the published circular transform (for factorised units); empty for attention alone.
    """
    made: dict[str, float] = {}
    for unit, x_TD, tables in inputs_of(spectral_units(model), model, batch):
        forms = {"causality_error": unit}
        if unit.mode != "full":
            circular = copy.copy(unit)
            circular.method = "circular"
            forms["causality_error_circular"] = circular
        for name, form in forms.items():
            made[name] = max(made.get(name, 0.0), _earlier_changes(form, x_TD, tables))
    return made


def cut(batch: PackedBatch, row: int, start: int, length: int) -> PackedBatch:
    """The sample that holds ``length`` tokens of ``row`` from ``start`` on, as a batch of its own."""
    span = slice(start, start + length)
    names = ("target", "observed", "time_id", "variate_id", "patch_size", "prediction_mask", "loss_mask")
    parts = {name: getattr(batch, name)[row : row + 1, span] for name in names}
    runs = batch.variates
    inside = (runs.rows == row) & (runs.starts >= start) & (runs.starts < start + length)
    zero = torch.zeros(int(inside.sum()), dtype=torch.int64)
    return replace(
        batch,
        **parts,
        sample_id=torch.ones_like(parts["time_id"]),
        samples=Segments(zero[:1], zero[:1], torch.tensor([length])),
        variates=Segments(zero, runs.starts[inside] - start, runs.lengths[inside]),
    )


def _earlier_changes(unit: SpectralTransformUnit, x_TD: Tensor, tables: SegmentTables) -> float:
    last_T = torch.zeros(len(x_TD), dtype=torch.bool)
    for bucket in tables.buckets:
        ends = torch.zeros(bucket.count, dtype=torch.int64)
        ends.scatter_reduce_(0, bucket.segment, bucket.step, "amax")
        last_T[bucket.tokens] = bucket.step == ends[bucket.segment]
    before_TD = unit(x_TD, tables)
    after_TD = unit(torch.where(last_T[:, None], -x_TD, x_TD), tables)
    return _largest((before_TD - after_TD)[~last_T]) / _largest(before_TD)


def _points_of(prediction: Prediction, chosen_BL: Tensor) -> Tensor:
    """``bool [Q]``: which predicted points belong to the chosen tokens."""
    plan = prediction.plan
    return plan.per_point(plan.layout.flatten(chosen_BL))


def _largest(x: Tensor) -> float:
    return float(x.abs().max()) if x.numel() else float("nan")
