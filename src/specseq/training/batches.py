"""Moving batches of any structure to a device and splitting them into parts."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from specseq.series.stream import skip_batch
from specseq.training.task import BatchStream


class Wrapped:
    """A stream made from another one, whose position it has."""

    def __init__(self, batches: BatchStream) -> None:
        self.batches = batches

    def skip(self) -> None:
        """Skip the next batch."""
        skip_batch(self.batches)

    def state_dict(self) -> dict[str, Any]:
        """Position of the other stream after the last batch."""
        return self.batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.batches.load_state_dict(state)


class Parts(Wrapped):
    """Stream of the parts, by ``numbers`` of ``count``, of each batch that this process computes.

    They are on the CPU, laid out for the device.
    """

    def __init__(self, batches: BatchStream, numbers: range, count: int, device: torch.device) -> None:
        super().__init__(batches)
        self._numbers, self._count, self._device = numbers, count, device

    def __next__(self) -> list[Any]:
        """The parts of the next batch."""
        batch = next(self.batches)
        parts = [shard(batch, number, self._count) for number in self._numbers]
        return [part.lay_out(self._device) if hasattr(part, "lay_out") else part for part in parts]


class Placed(Wrapped):
    """A stream whose batches are moved to a device."""

    def __init__(self, batches: BatchStream, device: torch.device) -> None:
        super().__init__(batches)
        self._device = device

    def __next__(self) -> Any:
        """The next batch, on the device."""
        return move(next(self.batches), self._device)


def move(batch: Any, device: torch.device) -> Any:
    """Move tensors and other objects with a method ``to``, also inside dictionaries, lists and tuples."""

    def moved(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part.to(device, non_blocking=True)
        return part.to(device) if hasattr(part, "to") else part

    return tree_map(moved, batch)


def shard(batch: Any, number: int, count: int) -> Any:
    """Part ``number`` of ``count``: the batch's own ``shard``, or contiguous rows of its tensors."""
    if count == 1:
        return batch

    def rows(part: Any) -> Any:
        if isinstance(part, Tensor):
            return part[len(part) * number // count : len(part) * (number + 1) // count]
        return part.shard(number, count) if hasattr(part, "shard") else part

    return tree_map(rows, batch)
