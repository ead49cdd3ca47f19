"""What a step of Moirai2 takes, and the evaluations of a forecaster."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch

from specseq.models.layout import exact, power_of_two
from specseq.models.moirai2.batch import ModelBatch, Moirai2Stream, Preconditioner, RawBatch
from specseq.models.moirai2.config import Moirai2Config, Moirai2Data
from specseq.models.moirai2.training import model_of
from specseq.series.stream import moirai2_stream
from specseq.settings import read
from specseq.studies.cost.forecasts import forecast_evaluation, forecast_evaluations
from specseq.studies.cost.step import StepUsage, backpropagation, halved, nominal_store, parameters_of
from specseq.training.metering import metered
from specseq.training.settings import TrainingSettings

evaluations, evaluation = forecast_evaluations, forecast_evaluation

# CPU-seconds of drawing and laying out a batch, per batch and per token: measured on one core.
_HOST = 2e-3, 1.2e-6


def kind(params: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that determine the cost of a step: all but the values of taps and weights."""
    mode = dict(params.get("preconditioning") or {})
    if fir := mode.get("fir"):
        mode["fir"] = {**fir, "weight": 1}
    if hint := mode.get("hint"):
        count = max(1, len(hint.get("filters") or ()))
        mode["hint"] = {**hint, "dropout": 0, "filters": [_FILTER] * count}
    kept = {"preconditioning": mode} if mode else {}
    if "filter" in params:
        # A stride matters where points before a window are gathered.
        stride = params["filter"].get("stride", 1) if mode.get("reversal_loss") or mode.get("fir") else 1
        kept["filter"] = {**_FILTER, "stride": stride}
    return {"model": params["model"], "data": params.get("data") or {}, **kept}


_FILTER = {"family": "chebyshev", "degree": 4}


def step(
    params: Mapping[str, Any], training: TrainingSettings, lengths: tuple[int, int], gpu: bool
) -> StepUsage:
    """A step of a run; see :attr:`Study.cost <specseq.studies.interface.Study.cost>`."""
    config = read(Moirai2Config, params["model"], "model")
    data = read(Moirai2Data, params["data"], "data")
    mode = Preconditioner.of(params)
    batch, tokens = _batch(config, data, training.batch, training.micro_batches, lengths, gpu)
    if mode.settings.hint is not None and mode.settings.hint.control == "noise":
        noise = torch.empty(len(mode.hints), batch.values_TP.numel(), device="meta")
        batch = replace(batch, noise_CN=noise)
    model = model_of({**params, "seed": 0}).to("meta")
    usage = backpropagation(model, lambda: model(batch), halved(training, gpu), training.micro_batches)
    host = _HOST[0] + _HOST[1] * tokens
    if not data.validation:
        return StepUsage(usage, parameters_of(model), host_seconds=host)
    with torch.no_grad():
        forward = metered(lambda: model.raw_loss(batch))
    evaluation = forward * (data.validation * training.micro_batches)
    return StepUsage(usage, parameters_of(model), host_seconds=host, evaluation=evaluation)


@lru_cache(maxsize=8)
def _batch(
    config: Moirai2Config, data: Moirai2Data, rows: int, parts: int, lengths: tuple[int, int], gpu: bool
) -> tuple[ModelBatch, int]:
    """One part of a batch without values, and the tokens of the whole."""
    packed = moirai2_stream(
        nominal_store(*lengths), rows, 0, config.tokens, patch_slot=config.patch, **data.crops
    )
    raw: RawBatch = next(Moirai2Stream(packed, config))
    batch = raw.shard(0, parts).prepare(power_of_two if gpu else exact)
    return batch.to("meta"), int((raw.packed.sample_id > 0).sum())
