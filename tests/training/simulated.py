"""A simulated accelerator: tensors of a device of their own, which refuses and counts what a GPU does.

Its tensors keep their values in CPU tensors that only the dispatcher reaches. An operator on tensors of both
devices fails, but for what PyTorch lets through: copies, numbers, and indices from the host. Everything that
makes the host wait for the device is counted by operator. The device is called ``meta``, the one beside the
CPU whose gradients need no driver.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("meta")
# Operators whose result has a size or value that the host must know.
_WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim", "bincount"}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class OnDevice(Tensor):
    """A tensor of the simulated device.

    Attributes:
        held: its values, on the CPU.
    """

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "OnDevice":
        made: OnDevice = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} on a tensor of the simulated device outside of it")


class _FromNumbers(TorchFunctionMode):
    """From and to numbers PyTorch does not ask the dispatcher: tensors would have no values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if func is Tensor.new_tensor and isinstance(args[0], OnDevice):
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(DEVICE)
        if func is Tensor.tolist and isinstance(args[0], OnDevice):
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


class Accelerator(TorchDispatchMode):
    """The context in which the device exists.

    Attributes:
        waits: how often the host waited for the device while it was counted, by operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self._counting = False
        self._numbers = _FromNumbers()

    def __enter__(self) -> "Accelerator":
        self._numbers.__enter__()
        super().__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._numbers.__exit__(kind, error, trace)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """The part of the work in which waits count."""
        self._counting = True
        try:
            yield
        finally:
            self._counting = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        given = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        ours = [tensor for tensor in given if isinstance(tensor, OnDevice)]
        asked = kwargs.get("device")
        asked = torch.device(asked) if asked is not None else None
        if not ours and asked != DEVICE:
            return func(*args, **kwargs)
        self._refuse(name, func, args, given, ours)
        self._note(name, args, ours, asked)
        if asked == DEVICE:
            kwargs["device"] = torch.device("cpu")
        wrapped = {id(tensor.held): tensor for tensor in ours}
        held_args, held_kwargs = tree_map_only(OnDevice, lambda tensor: tensor.held, (args, kwargs))
        made = func(*held_args, **held_kwargs)
        if asked is not None and asked != DEVICE:
            return made
        if name == "copy_" and not isinstance(args[0], OnDevice):
            return args[0]
        # An operator in place gives back the tensor that it was given.
        return tree_map_only(Tensor, lambda t: wrapped[id(t)] if id(t) in wrapped else OnDevice(t), made)

    def _refuse(self, name: str, func: Any, args: Any, given: list[Tensor], ours: list[OnDevice]) -> None:
        if name in ("_to_copy", "copy_") or not ours:
            return
        strangers = [tensor for tensor in given if not isinstance(tensor, OnDevice) and tensor.dim() > 0]
        if name in _INDEXING and isinstance(args[0], OnDevice):
            places = {id(index) for index in args[1] if index is not None}
            strangers = [tensor for tensor in strangers if id(tensor) not in places]
        if strangers:
            raise RuntimeError(f"{func}: tensors on the CPU and on the simulated device")

    def _note(self, name: str, args: Any, ours: list[OnDevice], asked: torch.device | None) -> None:
        if not self._counting:
            return
        if name in _INDEXING:
            for index in args[1]:
                if index is not None and index.dtype == torch.bool:
                    self.waits["boolean index"] += 1
                elif index is not None and not isinstance(index, OnDevice):
                    self.waits["index from the host"] += 1
        elif name in _WAITS:
            self.waits[name] += 1
        elif name in ("_to_copy", "copy_"):
            source = args[0] if name == "_to_copy" else args[1]
            there = asked in (None, DEVICE) if name == "_to_copy" else isinstance(args[0], OnDevice)
            if isinstance(source, OnDevice) and not there:
                self.waits["copy to the host"] += 1
            elif there and not isinstance(source, OnDevice):
                self.waits["copy from the host"] += 1
