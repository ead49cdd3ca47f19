"""What a step of a run and its stages after training take, as its study describes them in ``cost.py``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from specseq.series.config import EmbeddedSizes
from specseq.series.store import Store
from specseq.settings import read
from specseq.studies.config import EMBEDDED
from specseq.training.metering import Usage, metered
from specseq.training.settings import TrainingSettings

SERIES = 2000
_FREQUENCIES = ("5T", "15T", "H", "D", "W", "M")
# Shares of the first thousand sub-series of LOTSA by count of draws: mostly sub-hourly and hourly.
_SHARES = (0.2, 0.2, 0.35, 0.15, 0.05, 0.05)


@dataclass(frozen=True)
class StepUsage:
    """Usage of an optimiser step.

    Attributes:
        device: of loss and gradients of the whole batch.
        parameters: trained numbers.
        host_seconds: CPU time of drawing and laying out the batch, which runs beside the device.
        blocking_seconds: CPU time that the device waits for.
        evaluation: of one evaluation within training.
        blocking_evaluation: CPU seconds of one evaluation that the device waits for.
    """

    device: Usage
    parameters: int
    host_seconds: float = 0.0
    blocking_seconds: float = 0.0
    evaluation: Usage = field(default_factory=Usage)
    blocking_evaluation: float = 0.0


@dataclass(frozen=True)
class StageUsage:
    """Usage of a stage that evaluates a run after its training.

    Attributes:
        device: of the GPU where the stage asks for one, else of a core.
        host_seconds: CPU seconds beside it, one after the other.
    """

    device: Usage = field(default_factory=Usage)
    host_seconds: float = 0.0


def backpropagation(
    model: nn.Module, loss: Callable[[], tuple[Tensor, Any]], bfloat16: bool, parts: int = 1
) -> Usage:
    """Usage of a loss and its gradients, over equal parts of a batch one after another."""

    def work() -> None:
        loss()[0].backward()

    usage = metered(work, bfloat16)
    model.zero_grad()
    return usage * parts


def halved(training: TrainingSettings, gpu: bool) -> bool:
    """Whether products are in bfloat16, on a device that has it."""
    return training.precision == "bfloat16" or (training.precision == "auto" and gpu)


def parameters_of(model: nn.Module) -> int:
    """Trained numbers of a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def corpus_lengths(data: Mapping[str, Any]) -> tuple[int, int]:
    """Shortest and longest series of the corpus that ``data`` names, nominal ones for LOTSA's."""
    if data["lotsa"] != EMBEDDED:
        return 256, 1 << 16
    steps = read(EmbeddedSizes, data["embedded"], "data.embedded").steps
    return steps // 2, steps


@cache
def nominal_store(shortest: int, longest: int) -> Store:
    """A corpus for estimates: single variates of log-uniform lengths in the bounds, every value 0."""
    random = np.random.default_rng(0)
    length = np.exp(random.uniform(np.log(shortest), np.log(longest), SERIES)).astype(np.int64)
    none = np.zeros(SERIES, np.int64)
    store = Store(
        Path(),
        {},
        ("nominal",),
        _FREQUENCIES,
        none.astype(np.int32),
        np.arange(SERIES),
        none.astype(np.int32),
        none,
        length,
        none + 1,
        random.choice(len(_FREQUENCIES), SERIES, p=_SHARES).astype(np.int32),
        np.ones(SERIES, np.bool_),
    )
    store.__dict__["values"] = [np.zeros(longest, np.float32)]
    return store
