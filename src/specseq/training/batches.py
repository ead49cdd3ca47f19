"""Moving and cutting batches, whatever they are made of."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def move(batch: Any, device: torch.device) -> Any:
    """Move what has ``to``, and mappings, lists and tuples of such; the rest stays as it is."""
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
