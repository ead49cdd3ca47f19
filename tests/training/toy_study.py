"""A study small enough to train in the blink of an eye, with randomness in every place a run has it."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from specseq.seeding import generator
from specseq.training.randomness import initialised
from specseq.training.task import Task


class Stream:
    """Noisy sines from a generator whose state is the stream's position."""

    def __init__(self, seed: int, batch: int) -> None:
        self.random, self.batch, self.drawn = generator(seed, "toy"), batch, 0

    def __next__(self) -> dict[str, Tensor]:
        self.drawn += 1
        phase = self.random.uniform(0, 6.28, (self.batch, 1))
        x = np.sin(phase + 0.5 * np.arange(9)) + 0.1 * self.random.standard_normal((self.batch, 9))
        return {"x": torch.from_numpy(x[:, :8]).float(), "y": torch.from_numpy(x[:, 8:]).float()}

    def state_dict(self) -> dict[str, Any]:
        return {"random": self.random.bit_generator.state, "drawn": self.drawn}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.random.bit_generator.state = state["random"]
        self.drawn = state["drawn"]


class Average:
    """A running mean of the weights' norm: state of the task's own."""

    def __init__(self) -> None:
        self.value = 0.0

    def state_dict(self) -> dict[str, float]:
        return {"value": self.value}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self.value = state["value"]


def build(params: dict[str, Any], inputs: dict[str, Path]) -> Task:
    """A two-layer network with dropout; ``slow`` seconds a step; ``bad_step`` makes a NaN."""
    seed, data = params.get("seed", 0), params.get("data", {})
    model = initialised(
        lambda: nn.Sequential(
            nn.Linear(8, 16), nn.Tanh(), nn.Dropout(data.get("dropout", 0.2)), nn.Linear(16, 1)
        ),
        seed,
    )
    stream, average = Stream(seed, params["training"].get("batch", 8)), Average()

    def loss(network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        time.sleep(data.get("slow", 0.0))
        error = (network(batch["x"]) - batch["y"]).square().mean()
        if stream.drawn == data.get("bad_step"):
            error = error * float("nan")
        return error, {"weight": float(len(batch["x"]))}

    def after_step(network: nn.Module, step: int) -> dict[str, float]:
        norm = float(sum(p.detach().square().sum() for p in network.parameters()))
        average.value = 0.9 * average.value + 0.1 * norm
        return {"norm": average.value}

    def evaluate(network: nn.Module) -> dict[str, float]:
        return {"draw": float(torch.rand(())), "loss": float(network(torch.ones(1, 8)).square())}

    return Task(model, stream, loss, evaluate=evaluate, after_step=after_step, state={"average": average})
