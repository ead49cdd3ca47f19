"""A Moirai2 run as a task of the training loop."""

from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.models.imports import import_forecaster
from specseq.models.moirai2.batch import ModelBatch, Moirai2Stream, Preconditioner, RawBatch
from specseq.models.moirai2.config import Moirai2Config, Moirai2Data
from specseq.models.moirai2.model import PreconditionedMoirai2
from specseq.seeding import stream_seed
from specseq.series.store import open_store
from specseq.series.stream import moirai2_stream
from specseq.settings import read
from specseq.training.initial import Start, start_of
from specseq.training.settings import TrainingSettings
from specseq.training.task import Task


def build(params: dict[str, Any], inputs: dict[str, Path]) -> Task:
    """Build model, stream and loss.

    Args:
        params: ``model``, ``training``, ``seed``, and optionally ``filter``, ``preconditioning`` and ``data``
            (:class:`~specseq.models.moirai2.config.Moirai2Data`).
        inputs: ``store``, a prepared corpus; optionally ``initial``, weights to begin from.

    Raises:
        InputError: a parameter or an input is invalid.
    """
    config, mode = read(Moirai2Config, params["model"], "model"), Preconditioner.of(params)
    seed = int(params.get("seed", 0))
    model = model_of(params)
    start = start_of(params, inputs, lambda source: import_forecaster(source, "moirai2"))
    if start is not None and start.diverged is None:
        _begin_from(model, start)
    if "store" not in inputs:
        raise InputError("inputs", "no 'store' among them", "give store=FOLDER of a prepared corpus")
    data = read(Moirai2Data, params.get("data") or {}, "data")
    rows = read(TrainingSettings, params.get("training"), "training").batch
    store, patch = open_store(inputs["store"]), config.patch
    packed = moirai2_stream(store, rows, seed, config.tokens, patch_slot=patch, **data.crops)
    stream = Moirai2Stream(packed, config, mode)
    held_out: list[RawBatch] = []
    if data.validation:
        fresh = moirai2_stream(
            store, rows, stream_seed(0, "validation"), config.tokens, patch_slot=patch, **data.crops
        )
        drawn = Moirai2Stream(fresh, config, mode)
        held_out = [next(drawn) for _ in range(data.validation)]
    after_step = None
    if mode.settings.learnable:

        def after_step(network: nn.Module, step: int) -> dict[str, float]:
            return dict(model.coefficients())

    return Task(
        model,
        stream,
        _loss,
        evaluate=lambda network: _validate(cast(PreconditionedMoirai2, network), held_out),
        after_step=after_step,
        diverged=start.diverged if start else None,
        facts=packed.facts,
    )


@torch.no_grad()
def _validate(model: PreconditionedMoirai2, held_out: list[RawBatch]) -> dict[str, float]:
    """``raw_loss``, the mean over all points of the batches; empty without batches."""
    device = next(model.parameters()).device
    total, points = 0.0, 0.0
    for raw in held_out:
        batch = raw.to(device)
        count = float(batch.wanted_KFP.sum())
        total, points = total + count * float(model.raw_loss(batch)), points + count
    return {"raw_loss": total / points} if points else {}


def model_of(params: dict[str, Any]) -> PreconditionedMoirai2:
    """The model of a run with its initial weights."""
    config, mode = read(Moirai2Config, params["model"], "model"), Preconditioner.of(params)
    return PreconditionedMoirai2(config, mode, int(params.get("seed", 0)))


def _loss(model: nn.Module, batch: ModelBatch) -> tuple[Tensor, dict[str, float]]:
    loss: tuple[Tensor, dict[str, float]] = model(batch)
    return loss


def _begin_from(model: PreconditionedMoirai2, start: Start) -> None:
    try:
        model.load_initial(dict(start.tensors))
    except RuntimeError as error:
        fault = f"does not fit the model ({error})"
        raise InputError(start.where, fault, "begin from a run of its size") from None
