"""Data-parallel training over ``torch.distributed``: each process computes its share of every batch."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: number of this process, from 0.
        local_rank: number of this process on its machine, from 0.
        address: ``host:port`` at which the first process listens for the others.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    address: str = ""

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and the log."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """This process's accelerator, or the CPU; SLURM shows a process all of its node's or just one."""
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", self.local_rank % torch.cuda.device_count())

    def total(self, value: float) -> float:
        """Sum of a number over the processes."""
        return self._reduced(value, torch.distributed.ReduceOp.SUM) if self.size > 1 else value

    def any(self, value: bool) -> bool:
        """Whether the value is true in any process."""
        return bool(self._reduced(float(value), torch.distributed.ReduceOp.MAX)) if self.size > 1 else value

    def gathered(self, value: Any) -> list[Any]:
        """The values of all processes by rank; every process must call it."""
        if self.size == 1:
            return [value]
        held = [None] * self.size
        torch.distributed.all_gather_object(held, value)
        return held

    def combine_gradients(self, parameters: Iterable[nn.Parameter], share: float) -> None:
        """Replace gradients by their sum over processes, each scaled by its ``share`` of the batch."""
        if self.size == 1:
            return
        for parameter in parameters:
            # Another process may have a gradient where this process has none.
            grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.distributed.all_reduce(grad.mul_(share))
            parameter.grad = grad

    def combine_metrics(self, metrics: Mapping[str, float], share: float) -> dict[str, float]:
        """Means over the processes that have a metric, weighted by their share."""
        held = self.gathered((dict(metrics), share))
        means = {}
        for name in dict.fromkeys(name for own, _ in held for name in own):
            having = [(own[name], weight) for own, weight in held if name in own]
            whole = sum(weight for _, weight in having)
            # If all shares are 0, no process has anything to weight.
            means[name] = sum(
                value * (weight / whole if whole else 1 / len(having)) for value, weight in having
            )
        return means

    def _reduced(self, value: float, operation: Any) -> float:
        on_device = torch.distributed.get_backend() == "nccl"
        held = torch.tensor(value, dtype=torch.float64, device="cuda" if on_device else "cpu")
        torch.distributed.all_reduce(held, op=operation)
        return float(held)


def here() -> World:
    """The world that this process has joined; outside :func:`joined`, a world of one process."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return World()
    return World(torch.distributed.get_rank(), torch.distributed.get_world_size())


@contextmanager
def joined(world: World) -> Iterator[None]:
    """A block within which the processes of a world can communicate."""
    if world.size == 1:
        yield
        return
    on_accelerator = world.device.type == "cuda"
    if on_accelerator:
        torch.cuda.set_device(world.device)
    torch.distributed.init_process_group(
        "nccl" if on_accelerator else "gloo",
        init_method=f"tcp://{world.address}",
        rank=world.rank,
        world_size=world.size,
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()
