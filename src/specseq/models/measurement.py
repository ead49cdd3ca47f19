"""Measurements of MOIRAI and its hybrids on fixed batches: cost, loss, leaks, response of spectral units.

A leak is an effect of one packed sample on another, or of later tokens on earlier ones.

Shapes: B rows, L tokens per row, T tokens of the stream, D model width, I convolved channels, F frequencies,
Q predicted points.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from specseq.models.moirai.model import Moirai, Prediction, packed_loss
from specseq.models.stu.layer import SpectralTransformUnit
from specseq.models.stu.segments import SegmentTables
from specseq.series.batch import PackedBatch, Segments
from specseq.training.optimiser import AdamW


def time_interleaved(
    models: Mapping[str, Moirai], batch: PackedBatch, repeats: int
) -> dict[str, tuple[float, float]]:
    """Time a training step of each model on the same batch, with torch's current number of threads.

    The models take turns, so that a slowdown of the machine affects all of them. The learning rate is 0, so
    no weight changes. The first round is not counted.

    Returns:
        Median CPU seconds of a step (forward pass, loss, backward pass and AdamW of the whole model), and of
        the token mixers alone (forward and backward pass of attention or spectral units in all layers).
    """
    calls = {name: (_step(model, batch), _mixing(model, batch)) for name, model in models.items()}
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(repeats + 1):
        for name, (step, mixing) in calls.items():
            rounds[name].append((_seconds(step), _seconds(mixing)))
    return {
        name: (median(step for step, _ in both[1:]), median(mixing for _, mixing in both[1:]))
        for name, both in rounds.items()
    }


@torch.no_grad()
def mean_losses(model: Moirai, batches: Sequence[PackedBatch]) -> dict[str, float]:
    """``loss`` and ``standardised_nll``, averaged over all variate runs of the batches."""
    rows = []
    for batch in batches:
        loss, metrics = packed_loss(model(batch), batch)
        rows.append((float(loss), metrics["standardised_nll"], metrics["groups"]))
    losses, standardised, groups = zip(*rows, strict=True)
    return {
        "loss": float(np.average(losses, weights=groups)),
        "standardised_nll": float(np.average(standardised, weights=groups)),
    }


@torch.no_grad()
def gains(unit: SpectralTransformUnit, frequencies: int = 65) -> NDArray[np.float64]:
    """``[F, I]``: gain of each channel's impulse response, at frequencies from 0 to π per token."""
    response_LI = unit.impulse_response().double().numpy()
    omega_F = np.linspace(0, np.pi, frequencies)
    wave_FL = np.exp(-1j * omega_F[:, None] * np.arange(len(response_LI)))
    return np.abs(wave_FL @ response_LI)


@torch.no_grad()
def packing_error(model: Moirai, batch: PackedBatch) -> float:
    """Largest change of a sample's raw outputs when the values of another sample in its row change.

    The first sample of every row is negated, halved and shifted; the outputs of all others are compared.
    Exactly 0 means that nothing leaks; NaN that no row holds two samples.
    """
    first_BL = batch.sample_id == 1
    target = torch.where(first_BL[..., None], 1 - 0.5 * batch.target, batch.target)
    before, after = model(batch), model(replace(batch, target=target))
    return _largest((before.raw_12Q - after.raw_12Q)[:, ~_points_of(before, first_BL)])


@torch.no_grad()
def alone_error(model: Moirai, batch: PackedBatch, samples: int = 8) -> float:
    """Largest difference between a sample's raw outputs when packed with others and when alone.

    Relative to the largest raw output, over the first ``samples`` samples of the batch.
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
    """How much the last token of a segment changes a spectral unit's earlier outputs.

    The signs of all last tokens are flipped; changes are relative to the unit's largest output. A causal
    transform gives only rounding errors.

    Returns:
        ``causality_error``, the largest over the units, and ``causality_error_circular``, the same with the
        published circular transform (for factorised units); empty if there are no units.
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
    """The sample in ``length`` tokens of ``row`` from ``start``, as a batch."""
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


def spectral_units(model: Moirai) -> list[SpectralTransformUnit]:
    """The model's spectral transform units in layer order."""
    return [module for module in model.modules() if isinstance(module, SpectralTransformUnit)]


def mixers(model: Moirai) -> list[nn.Module]:
    """The mixers in layer order."""
    return [block.get_submodule("mixer") for block in model.encoder.blocks]


@torch.no_grad()
def inputs_of(modules: Sequence[Any], model: Moirai, batch: PackedBatch) -> list[tuple[Any, ...]]:
    """``(module, tokens, context)`` for each module, in the order of a forward pass; tokens are copies."""
    caught: list[tuple[Any, ...]] = []

    def catch(module: nn.Module, given: tuple[Any, ...]) -> None:
        caught.append((module, given[0].clone(), *given[1:]))

    handles = [module.register_forward_pre_hook(catch) for module in modules]
    try:
        model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return caught


def _seconds(call: Callable[[], None]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _step(model: Moirai, batch: PackedBatch) -> Callable[[], None]:
    parameters = list(model.parameters())
    optimiser = AdamW([{"params": parameters}], lr=0.0, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)
    tables = model.tables(batch)

    def step() -> None:
        loss, _ = packed_loss(model(batch, tables), batch)
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def _mixing(model: Moirai, batch: PackedBatch) -> Callable[[], None]:
    given = inputs_of(mixers(model), model, batch)

    def mixing() -> None:
        for mixer, x_TD, context in given:
            y_TD = mixer(x_TD.requires_grad_(), context)
            y_TD.backward(torch.ones_like(y_TD))
            x_TD.grad = None
            mixer.zero_grad(set_to_none=True)

    return mixing


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
    """``bool [Q]``: whether each predicted point belongs to a chosen token."""
    tables = prediction.tables
    return tables.per_point(tables.layout.flatten(chosen_BL))


def _largest(x: Tensor) -> float:
    return float(x.abs().max()) if x.numel() else float("nan")
