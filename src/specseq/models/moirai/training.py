"""A MOIRAI run, baseline or hybrid, as a task of the training loop."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.models.imports import import_forecaster
from specseq.models.layout import Widths, balanced, power_of_two
from specseq.models.moirai.batch import BatchTables
from specseq.models.moirai.config import MoiraiConfig, MoiraiData
from specseq.models.moirai.model import Moirai, packed_loss, parameter_groups
from specseq.seeding import stream_seed
from specseq.series.batch import PackedBatch
from specseq.series.store import open_store
from specseq.series.stream import PackedStream, moirai_stream, skip_batch
from specseq.settings import plain, read
from specseq.training.initial import check_same, start_of
from specseq.training.settings import TrainingSettings
from specseq.training.task import Task


@dataclass(frozen=True)
class ModelBatch:
    """A batch with its index tables."""

    batch: PackedBatch
    tables: BatchTables

    def to(self, device: torch.device) -> "ModelBatch":
        """The same on a device."""
        return ModelBatch(self.batch.to(device), self.tables.to(device))


@dataclass(frozen=True)
class RawBatch:
    """A packed batch whose tables have not been made yet.

    Attributes:
        packed: the rows, on the CPU.
        config: settings of the model.
    """

    packed: PackedBatch
    config: MoiraiConfig

    def shard(self, number: int, count: int) -> "RawBatch":
        """The rows of one of ``count`` parts."""
        return RawBatch(self.packed.shard(number, count), self.config)

    def to(self, device: torch.device) -> ModelBatch:
        """Make the tables on the CPU and move everything."""
        laid_out = self.lay_out(device)
        return laid_out if device.type == "cpu" else laid_out.to(device)

    def lay_out(self, device: torch.device) -> ModelBatch:
        """The batch with its tables, still on the CPU, laid out for a device."""
        width: Widths = balanced if device.type == "cpu" else power_of_two
        return ModelBatch(self.packed, BatchTables.of(self.packed, self.config, width))


class _Rows(Protocol):
    def __next__(self) -> PackedBatch: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class MoiraiStream:
    """Stream of packed rows, ready for a model's tables."""

    def __init__(self, packed: _Rows, config: MoiraiConfig) -> None:
        self.packed, self.config = packed, config

    def __next__(self) -> RawBatch:
        return RawBatch(next(self.packed), self.config)

    def skip(self) -> None:
        """Skip the next batch."""
        skip_batch(self.packed)

    def state_dict(self) -> dict[str, Any]:
        """Position of the packed stream."""
        return self.packed.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.packed.load_state_dict(state)


def build(params: dict[str, Any], inputs: dict[str, Path]) -> Task:
    """Build model, stream and loss.

    Args:
        params: ``model`` (see :class:`~specseq.models.moirai.config.MoiraiConfig`), ``training``,
            ``seed``, and optionally ``data`` (:class:`~specseq.models.moirai.config.MoiraiData`).
        inputs: ``store``, a prepared corpus; optionally ``initial``, weights to begin from.

    Raises:
        InputError: a parameter or an input is invalid.
    """
    config = read(MoiraiConfig, params["model"], "model")
    spec, seed = read(TrainingSettings, params.get("training"), "training"), int(params.get("seed", 0))
    if "store" not in inputs:
        raise InputError("inputs", "no 'store' among them", "give store=FOLDER of a prepared corpus")
    data = read(MoiraiData, params.get("data") or {}, "data")
    packed = packed_stream(config, data, inputs["store"], spec.batch, seed)
    model = model_of(params)
    start = start_of(params, inputs, lambda source: import_forecaster(source, "moirai"))
    if start is not None and start.diverged is None:
        theirs = read(MoiraiConfig, start.params.get("model"), f"{start.where}: model")
        check_same(start, plain(theirs), plain(config))
        model.load_state_dict(dict(start.tensors))
    return Task(
        model,
        MoiraiStream(packed, config),
        loss,
        parameter_groups=lambda model: parameter_groups(model, spec.weight_decay),
        diverged=start.diverged if start else None,
        facts=packed.facts,
    )


def packed_stream(config: MoiraiConfig, data: MoiraiData, store: Path, rows: int, seed: int) -> PackedStream:
    """The batches that a run with these settings is trained on, ``rows`` rows each.

    Raises:
        InputError: no series suits ``data``, or ``store`` is not a prepared corpus.
    """
    return moirai_stream(
        open_store(store), rows, seed, config.max_length, patch_sizes=config.patch_sizes, **asdict(data)
    )


def model_of(params: Mapping[str, Any]) -> Moirai:
    """The model of a run with its initial weights."""
    config = read(MoiraiConfig, params["model"], "model")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(int(params.get("seed", 0)), "initial weights"))
        return Moirai(config)


def loss(model: nn.Module, prepared: ModelBatch) -> tuple[Tensor, dict[str, float]]:
    """The packed loss; its metric ``weight`` lets the loop combine parts of a batch."""
    value, metrics = packed_loss(model(prepared.batch, prepared.tables), prepared.batch)
    return value, {"standardised_nll": metrics["standardised_nll"], "weight": metrics["groups"]}
