"""Moving batches of any structure to a device and splitting them into parts."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from specseq.series.stream import skip_batch
from specseq.training.task import BatchStream


class Parts:
    """Stream of the parts of each batch that this process computes; on the CPU, laid out for its device."""

    def __init__(self, batches: BatchStream, numbers: range, count: int, device: torch.device) -> None:
        """
        Args:
            batches: stream of whole batches.
            numbers: numbers of the parts that this process computes.
            count: number of parts in a batch.
            device: where this process computes.
        """
        self._batches, self._numbers, self._count, self._device = batches, numbers, count, device

    def __next__(self) -> list[Any]:
        """The parts of the next batch."""
        batch = next(self._batches)
        parts = [shard(batch, number, self._count) for number in self._numbers]
        return [part.lay_out(self._device) if hasattr(part, "lay_out") else part for part in parts]

    def skip(self) -> None:
        """Skip the next batch."""
        skip_batch(self._batches)

    def state_dict(self) -> dict[str, Any]:
        """Position of the stream after the last batch."""
        return self._batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self._batches.load_state_dict(state)


class Placed:
    """A stream whose batches are moved to a device."""

    def __init__(self, batches: BatchStream, device: torch.device) -> None:
        self._batches, self._device = batches, device

    def __next__(self) -> Any:
        """The next batch, on the device."""
        return move(next(self._batches), self._device)

    def state_dict(self) -> dict[str, Any]:
        """Position of the stream after the last batch."""
        return self._batches.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self._batches.load_state_dict(state)


def move(batch: Any, device: torch.device) -> Any:
    """Move tensors and other objects with a method ``to``, also inside mappings, lists and tuples."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if hasattr(batch, "to"):
        return batch.to(device)
    return _map(batch, lambda part: move(part, device))


def shard(batch: Any, number: int, count: int) -> Any:
    """Part ``number`` of ``count``: the batch's own ``shard``, or contiguous rows of its tensors."""
    if count == 1:
        return batch
    if hasattr(batch, "shard"):
        return batch.shard(number, count)
    if isinstance(batch, Tensor):
        return batch[len(batch) * number // count : len(batch) * (number + 1) // count]
    return _map(batch, lambda part: shard(part, number, count))


def _map(batch: Any, change: Any) -> Any:
    if isinstance(batch, Mapping):
        return {name: change(part) for name, part in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(change, batch))
    if isinstance(batch, list | tuple):
        return type(batch)(map(change, batch))
    return batch
