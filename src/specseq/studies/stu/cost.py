"""What a step of MOIRAI and its hybrids takes, their evaluations and their measurement side by side."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from specseq.models.config import Measurement
from specseq.models.layout import exact, power_of_two
from specseq.models.moirai.batch import BatchTables
from specseq.models.moirai.config import MoiraiConfig, MoiraiData
from specseq.models.moirai.training import ModelBatch, loss, model_of
from specseq.series.batch import PackedBatch
from specseq.series.stream import moirai_stream
from specseq.settings import read
from specseq.studies.cost.forecasts import forecast_evaluation, forecast_evaluations
from specseq.studies.cost.step import (
    StageUsage,
    StepUsage,
    backpropagation,
    corpus_lengths,
    halved,
    nominal_store,
    parameters_of,
)
from specseq.sweeps import Plan
from specseq.training.settings import TrainingSettings

# CPU-seconds of drawing a batch and of making its tables, per batch and per token: measured on one core.
_HOST = 3e-3, 2e-6
# A timed round in units of a step: a step, and its token mixing alone. Forward passes that test for leaks and
# measure lags; each takes a third of a step.
_ROUND, _PROBES = 1.5, 6


def kind(params: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that determine the cost of a step; published transforms, half as long, cost like ours."""
    model = dict(params["model"])
    if stu := model.get("stu"):
        model["stu"] = {name: value for name, value in stu.items() if name != "published"}
    return {"model": model, "data": params.get("data") or {}}


def step(
    params: Mapping[str, Any], training: TrainingSettings, lengths: tuple[int, int], gpu: bool
) -> StepUsage:
    """A step of a run; see :attr:`Study.cost <specseq.studies.interface.Study.cost>`."""
    config = read(MoiraiConfig, params["model"], "model")
    data = read(MoiraiData, params["data"], "data")
    packed, tokens = _packed(
        config.max_length, config.patch_sizes, data, training.batch, training.micro_batches, lengths
    )
    tables = BatchTables.of(packed, config, power_of_two if gpu else exact)
    batch = ModelBatch(packed.to("meta"), tables.to("meta"))
    model = model_of({**params, "seed": 0}).to("meta")
    usage = backpropagation(model, lambda: loss(model, batch), halved(training, gpu), training.micro_batches)
    return StepUsage(usage, parameters_of(model), host_seconds=_HOST[0] + _HOST[1] * tokens)


def evaluations(params: Mapping[str, Any], plan: Plan, scale: str) -> list[dict[str, Any]] | None:
    """Stages after training; see :attr:`Study.cost <specseq.studies.interface.Study.cost>`."""
    stages = forecast_evaluations(params, plan, scale)
    measured = {
        "rule": "measure",
        "kind": kind(params, plan.data(scale)),
        "sizes": params.get("measurement") or {},
        "lengths": corpus_lengths(plan.data(scale)),
    }
    return None if stages is None else [*stages, measured]


def evaluation(stage: Mapping[str, Any]) -> StageUsage:
    """The usage of a stage; of the measurement, a run's part."""
    if stage["rule"] != "measure":
        return forecast_evaluation(stage)
    sizes = read(Measurement, stage["sizes"], "measurement")
    training = TrainingSettings(steps=1, batch=sizes.rows)
    once = step(stage["kind"], training, stage["lengths"], gpu=False).device
    return StageUsage(once * (_ROUND * (sizes.repeats + 1) + (sizes.batches + _PROBES) / 3))


@lru_cache(maxsize=4)
def _packed(
    length: int, sizes: tuple[int, ...], data: MoiraiData, rows: int, parts: int, lengths: tuple[int, int]
) -> tuple[PackedBatch, int]:
    """One part of a batch, and the tokens of the whole."""
    stream = moirai_stream(nominal_store(*lengths), rows, 0, length, patch_sizes=sizes, **asdict(data))
    packed = next(stream)
    return packed.shard(0, parts), int((packed.sample_id > 0).sum())
