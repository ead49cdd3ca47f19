"""Representative entries of tensors that hold no values, for work that asks for one.

Such a tensor carries its entry as the attribute ``value`` through pointwise operators and reductions.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

# A float tensor with more entries than this counts as data.
_FEW = 1 << 14
# Reductions whose result resembles an entry; a sum does if only whether it is zero matters.
_LIKE_AN_ENTRY = {"all", "any", "max", "min", "mean", "amax", "amin", "sum", "cumsum", "unique_consecutive"}
_LIKE_ENTRY_OF_SOURCE = {"copy_", "_to_copy", "clone", "detach", "expand", "index", "gather", "index_select"}


def asked_for(tensor: Tensor) -> bool:
    """Whether a tensor's values may decide what happens next: masks, indices and small float tensors."""
    return not inexact(tensor) or tensor.numel() <= _FEW


def inexact(tensor: Tensor) -> bool:
    """Whether the tensor holds real or complex numbers."""
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex


def default_entry(tensor: Tensor) -> Any:
    """The entry of a tensor of which nothing is known."""
    return True if tensor.dtype == torch.bool else 1.0 if inexact(tensor) else 1


def entry(tensor: Tensor) -> Any:
    """The representative entry of a tensor."""
    if tensor.device.type != "meta":
        return tensor.flatten()[0].item() if tensor.numel() else 0
    return getattr(tensor, "value", default_entry(tensor))


def plain_entry(tensor: Tensor) -> Any:
    """The entry as a Python value of the tensor's kind."""
    value = entry(tensor)
    if tensor.dtype == torch.bool:
        return bool(value)
    return float(value) if inexact(tensor) else int(value)


def filled_entry(func: Any, args: Any) -> Any:
    """The entry of a new tensor that an operator fills."""
    name = func.overloadpacket.__name__
    return {"zeros": 0, "ones": 1}.get(name, args[1] if name == "full" else 1)


def result_entry(name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """The value of the result's entry if the arguments' entries determine it, else None."""
    if name in ("zeros_like", "new_zeros", "zero_"):
        return 0
    if name in ("full_like", "new_full", "fill_"):
        return args[-1] if not isinstance(args[-1], Tensor) else entry(args[-1])
    if name == "copy_":
        return entry(args[1])
    if name in _LIKE_AN_ENTRY or name in _LIKE_ENTRY_OF_SOURCE or func.is_view:
        return entry(args[0])
    if torch.Tag.pointwise not in func.tags:
        return None
    named = {name: part for name, part in kwargs.items() if name != "memory_format"}
    key = func, _entries(args), _entries(tuple(named.items()))
    try:
        if key not in _VALUES:
            _VALUES[key] = _evaluated(func, args, named)
    except TypeError:
        return None
    return _VALUES[key]


_VALUES: dict[Any, Any] = {}


def _entries(value: Any) -> Any:
    if isinstance(value, Tensor):
        return entry(value), value.dtype
    if isinstance(value, list | tuple):
        return tuple(map(_entries, value))
    return type(value), value


def _evaluated(func: Any, args: Any, kwargs: Any) -> Any:
    """A pointwise operator applied to the representative entries; None if the result is not finite."""
    single = tree_map_only(Tensor, lambda t: torch.tensor(entry(t), dtype=t.dtype), (args, kwargs))
    try:
        value = func(*single[0], **single[1]).item()
    except (RuntimeError, OverflowError):
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value
