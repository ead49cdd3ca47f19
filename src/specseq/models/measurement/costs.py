"""What models cost and lose on the same batches, and how their spectral units respond.

Shapes: T tokens of the stream, D model width, I convolved channels, F frequencies.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from specseq.models.measurement.captured import inputs_of, mixers
from specseq.models.moirai.loss import packed_loss
from specseq.models.moirai.model import Moirai
from specseq.models.stu.layer import SpectralTransformUnit
from specseq.series.batch import PackedBatch
from specseq.training.optimiser import AdamW


@dataclass(frozen=True)
class Timing:
    """Median CPU seconds.

    Attributes:
        step: forward pass, loss, backward pass and AdamW of the whole model.
        mixing: forward and backward pass of what mixes tokens, attention or spectral, all layers together.
    """

    step: float
    mixing: float


def time_interleaved(models: Mapping[str, Moirai], batch: PackedBatch, repeats: int) -> dict[str, Timing]:
    """Time a training step of each model on the same batch, on the threads that torch has.

    The models take turns, so that a machine that grows slower does so for all of them. The learning rate
    is 0: no weight moves. A first round is not counted.
    """
    calls = {name: (_step(model, batch), _mixing(model, batch)) for name, model in models.items()}
    rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(repeats + 1):
        for name, (step, mixing) in calls.items():
            rounds[name].append((_seconds(step), _seconds(mixing)))
    counted = {name: zip(*both[1:], strict=True) for name, both in rounds.items()}
    return {name: Timing(*map(median, both)) for name, both in counted.items()}


@torch.no_grad()
def mean_losses(model: Moirai, batches: Sequence[PackedBatch]) -> dict[str, float]:
    """``loss`` and ``standardised_nll``, the means over all variate runs of the batches."""
    losses, standardised, groups = [], [], []
    for batch in batches:
        loss, metrics = packed_loss(model(batch), batch)
        losses.append(float(loss))
        standardised.append(metrics["standardised_nll"])
        groups.append(metrics["groups"])
    return {
        "loss": float(np.average(losses, weights=groups)),
        "standardised_nll": float(np.average(standardised, weights=groups)),
    }


@torch.no_grad()
def gains(unit: SpectralTransformUnit, frequencies: int = 65) -> NDArray[np.float64]:
    """``[F, I]``: gain of each channel's impulse response, at frequencies from 0 to π a token."""
    response_LI = unit.impulse_response().double().numpy()
    omega_F = np.linspace(0, np.pi, frequencies)
    wave_FL = np.exp(-1j * omega_F[:, None] * np.arange(len(response_LI)))
    return np.abs(wave_FL @ response_LI)


def _seconds(call: Callable[[], None]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _step(model: Moirai, batch: PackedBatch) -> Callable[[], None]:
    parameters = list(model.parameters())
    optimiser = AdamW([{"params": parameters}], lr=0.0, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)
    plan = model.plan(batch)

    def step() -> None:
        loss, _ = packed_loss(model(batch, plan), batch)
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
