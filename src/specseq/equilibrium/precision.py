"""Reduced precision for products that tolerate it, and its imitation on hardware without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


@contextmanager
def tf32(enabled: bool) -> Iterator[None]:
    """Inside this context, float32 products round their factors to TF32 (10 bits) on cards that have it."""
    settings = torch.backends.cuda.matmul
    before = settings.fp32_precision
    if enabled:
        settings.fp32_precision = "tf32"
    try:
        yield
    finally:
        settings.fp32_precision = before


def rounds() -> bool:
    """Whether float32 products may currently round their factors to TF32."""
    return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")


class ImitatedTF32(TorchDispatchMode):
    """A context in which the CPU rounds as a card does: to nearest, wherever :func:`tf32` allows it."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if rounds() and func.overloadpacket in _PRODUCTS:
            args = (*args[:-2], *map(to_tf32, args[-2:]))
        return func(*args, **(kwargs or {}))


aten = torch.ops.aten
_PRODUCTS = {aten.mm, aten.bmm, aten.addmm, aten.addmm_}  # factors come last


def to_tf32(x: Tensor) -> Tensor:
    """float32 numbers rounded to 10 bits of mantissa, ties to even; other dtypes are returned unchanged."""
    if x.dtype != torch.float32:
        return x
    bits = x.contiguous().view(torch.int32)
    kept = (bits + 0x0FFF + ((bits >> 13) & 1)) & ~0x1FFF
    return torch.where(torch.isfinite(x), kept.view(torch.float32), x)
