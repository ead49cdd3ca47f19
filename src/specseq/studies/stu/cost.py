"""What a step of MOIRAI and its hybrids takes."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from specseq.models.layout import exact, power_of_two
from specseq.models.moirai.batch import BatchTables
from specseq.models.moirai.config import MoiraiConfig, MoiraiData
from specseq.models.moirai.training import ModelBatch, loss, model_of
from specseq.series.batch import PackedBatch
from specseq.series.stream import moirai_stream
from specseq.settings import read
from specseq.studies.cost.step import StepUsage, backpropagation, halved, nominal_store, parameters_of
from specseq.training.settings import TrainingSettings

# CPU-seconds of drawing a batch and of making its tables, per batch and per token: measured on one core.
_HOST = 3e-3, 2e-6


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


@lru_cache(maxsize=4)
def _packed(
    length: int, sizes: tuple[int, ...], data: MoiraiData, rows: int, parts: int, lengths: tuple[int, int]
) -> tuple[PackedBatch, int]:
    """One part of a batch, and the tokens of the whole."""
    stream = moirai_stream(nominal_store(*lengths), rows, 0, length, patch_sizes=sizes, **asdict(data))
    packed = next(stream)
    return packed.shard(0, parts), int((packed.sample_id > 0).sum())
