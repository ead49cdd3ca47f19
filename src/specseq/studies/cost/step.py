"""What one optimiser step of a run takes, as its study describes it in ``cost.py``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from specseq.training.metering import Usage, metered
from specseq.training.settings import TrainingSettings


@dataclass(frozen=True)
class StepUsage:
    """What an optimiser step takes.

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
