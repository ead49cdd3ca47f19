"""The cost of a computation without its values: its operators run on meta tensors, which hold none.

FLOPs are those of matrix products, attention and factorisations, as torch counts them; bytes are those that
each operator reads and writes; memory is tracked storage by storage. Where the work asks for a value
(``bool``, ``float``, a boolean index), it gets that of one representative entry, which tensors carry through
pointwise operators and reductions. Loops thus end by their budgets, and nothing counts as converged.
"""

import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from specseq.training.representatives import (
    asked_for,
    default_entry,
    entry,
    filled_entry,
    inexact,
    plain_entry,
    result_entry,
)

aten = torch.ops.aten
# FLOPs of products and attention by operator; torch leaves out products in place.
FLOPS = flop_registry | {aten.addmm_: flop_registry[aten.addmm], aten.baddbmm_: flop_registry[aten.baddbmm]}

Kind = tuple[str, float, float]
"""Precision, FLOPs and bytes of an operator."""


@dataclass(frozen=True)
class Usage:
    """The cost of a computation.

    Attributes:
        operators: how often an operator of each kind runs; fractional if usages were scaled.
        views: operators that move no data.
        peak_bytes: largest total of storages alive at once, without those that existed before.
        syncs: how often a value is read from the device, by operator.
    """

    operators: Counter[Kind] = field(default_factory=Counter)
    views: float = 0.0
    peak_bytes: float = 0.0
    syncs: Counter[str] = field(default_factory=Counter)

    @property
    def flops(self) -> float:
        """All FLOPs."""
        return sum(flops * count for (_, flops, _), count in self.operators.items())

    @property
    def kernels(self) -> float:
        """Number of operators that move data."""
        return sum(self.operators.values())

    def __add__(self, other: "Usage") -> "Usage":
        """The usage of both, one after the other."""
        operators, syncs = Counter(self.operators), Counter(self.syncs)
        operators.update(other.operators)
        syncs.update(other.syncs)
        peak = max(self.peak_bytes, other.peak_bytes)
        return Usage(operators, self.views + other.views, peak, syncs)

    def __mul__(self, times: float) -> "Usage":
        """The usage of so many repetitions, which share their memory."""
        return Usage(
            Counter({kind: count * times for kind, count in self.operators.items()}),
            self.views * times,
            self.peak_bytes,
            Counter({name: count * times for name, count in self.syncs.items()}),
        )

    def extrapolated(self, further: "Usage", times: float) -> "Usage":
        """Linear extrapolation: this plus ``times`` the growth from it to ``further``, memory included."""
        grown = self * (1 - times) + further * times
        peak = self.peak_bytes + (further.peak_bytes - self.peak_bytes) * times
        return Usage(grown.operators, grown.views, peak, grown.syncs)


def metered(work: Callable[[], Any], bfloat16: bool = False) -> Usage:
    """The usage of a call on meta tensors; ``bfloat16``: as under autocast."""
    operators, functions, autocast = _Operators(), _Functions(bfloat16), torch.autocast

    def region(device_type: str, *arguments: Any, **named: Any) -> AbstractContextManager[Any]:
        """Replaces ``torch.autocast``, which does not support meta tensors."""
        if device_type != "meta":
            return autocast(device_type, *arguments, **named)
        return functions.region(bool(named.get("enabled", True)))

    torch.autocast = region  # type: ignore[assignment,misc]
    try:
        with functions, operators:
            work()
    finally:
        torch.autocast = autocast  # type: ignore[misc]
    return operators.usage()


_PRODUCTS = {
    torch.nn.functional.linear,
    torch.matmul,
    torch.Tensor.matmul,
    torch.Tensor.__matmul__,
    torch.mm,
    torch.bmm,
    torch.einsum,
    torch.baddbmm,
    torch.addmm,
}


class _Functions(TorchFunctionMode):
    """Attention and RMS norms as single operators, as on accelerators, and products as under autocast."""

    def __init__(self, bfloat16: bool) -> None:
        super().__init__()
        self.bfloat16 = bfloat16

    @contextmanager
    def region(self, enabled: bool) -> Iterator[None]:
        """A region of the work with autocast on or off."""
        before, self.bfloat16 = self.bfloat16, enabled
        try:
            yield
        finally:
            self.bfloat16 = before

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        attention = func is torch.nn.functional.scaled_dot_product_attention
        if self.bfloat16 and (attention or func in _PRODUCTS):
            args, kwargs = tree_map_only(Tensor, _halved, (args, kwargs))
        if func is torch.nn.functional.rms_norm and args[0].device.type == "meta":
            # Layer normalisation moves the same data and is one operator on meta tensors, too.
            x, shape = args
            return torch.native_layer_norm(x, shape, kwargs["weight"], None, kwargs["eps"])[0]
        if not attention or args[0].device.type != "meta":
            return func(*args, **kwargs)
        q, k, v = args[:3]
        mask, causal = kwargs.get("attn_mask"), bool(kwargs.get("is_causal", False))
        if mask is not None:
            mask = torch.zeros((), dtype=q.dtype, device=q.device).expand(*q.shape[:3], k.shape[2])
        scale = kwargs.get("scale")
        return aten._scaled_dot_product_efficient_attention(
            q, k, v, mask, torch.is_grad_enabled(), float(kwargs.get("dropout_p", 0.0)), causal, scale=scale
        )[0]


def _halved(tensor: Tensor) -> Tensor:
    return tensor.to(torch.bfloat16) if tensor.dtype == torch.float32 else tensor


class _Operators(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.operators: Counter[Kind] = Counter()
        self.syncs: Counter[str] = Counter()
        self.views = 0
        self.alive = self.peak = 0
        self.known: set[int] = set()

    def usage(self) -> Usage:
        return Usage(Counter(self.operators), float(self.views), float(self.peak), Counter(self.syncs))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = _tensors(args) + _tensors(kwargs.values())
        if not any(tensor.device.type == "meta" for tensor in given):
            made = func(*args, **kwargs)
            if isinstance(made, Tensor) and made.device.type == "meta":
                made.value = filled_entry(func, args)  # type: ignore[attr-defined]
                self._follow(made)
            return made
        if torch.is_inference_mode_enabled():
            # Without autograd, operators arrive before they are split into those that are counted.
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        name = func.overloadpacket.__name__
        if name == "_local_scalar_dense":
            self.syncs[name] += 1
            return plain_entry(args[0])
        made = self._run(name, func, args, kwargs)
        results = _tensors((made,))
        self._note(func, given, results, args, kwargs, made)
        value = result_entry(name, func, args, kwargs) if any(map(asked_for, results)) else None
        for result in results:
            result.value = value if value is not None else default_entry(result)  # type: ignore[attr-defined]
            self._follow(result)
        return made

    def _run(self, name: str, func: Any, args: Any, kwargs: Any) -> Any:
        """Run an operator; where the result's size depends on values, it is all entries or none."""
        if name == "index":
            places = [self._places(index) if index is not None and index.dtype == torch.bool else [index]
                      for index in args[1]]  # fmt: skip
            return func(args[0], [index for part in places for index in part])
        if name == "index_put_" and any(index is not None and index.dtype == torch.bool for index in args[1]):
            self.syncs["nonzero"] += 1
            return args[0]
        if name == "nonzero":
            self.syncs[name] += 1
            count = args[0].numel() if entry(args[0]) else 0
            return torch.empty(count, args[0].ndim, dtype=torch.int64, device="meta")
        if name == "_unique2":
            self.syncs[name] += 1
            none = torch.empty(0, dtype=torch.int64, device="meta")
            return args[0].flatten(), torch.empty_like(args[0], dtype=torch.int64), none
        if name == "bincount":
            size = max(kwargs.get("minlength", 0), *args[2:], 1)
            return torch.empty(size, dtype=torch.int64, device="meta")
        if name == "_to_copy" and torch.device(kwargs.get("device") or "meta").type == "cpu":
            self.syncs["copy to the host"] += 1
            return torch.full(args[0].shape, entry(args[0]), dtype=kwargs.get("dtype") or args[0].dtype)
        return self._remembered(func, args, kwargs)

    def _remembered(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of an operator that makes new tensors; their shapes are determined only once."""
        if func._schema.is_mutable or func.is_view:
            return func(*args, **kwargs)
        try:
            key = func, _signature(args), _signature(tuple(kwargs.items()))
            shapes = _SHAPES.get(key)
        except TypeError:
            return func(*args, **kwargs)
        if shapes is not None:
            made = [torch.empty_strided(*shape, dtype=dtype, device="meta") for *shape, dtype in shapes]
            return made[0] if len(made) == 1 else tuple(made)
        result = func(*args, **kwargs)
        given = {tensor.untyped_storage()._cdata for tensor in _tensors(args)}
        results = [result] if isinstance(result, Tensor) else result
        new = all(isinstance(t, Tensor) and t.untyped_storage()._cdata not in given for t in results)
        if new and (isinstance(result, Tensor) or len(results) > 1):
            _SHAPES[key] = [(t.shape, t.stride(), t.dtype) for t in results]
        return result

    def _places(self, mask: Tensor) -> list[Tensor]:
        self.syncs["nonzero"] += 1
        count = mask.numel() if entry(mask) else 0
        return [torch.empty(count, dtype=torch.int64, device="meta") for _ in range(mask.ndim)]

    def _note(self, func: Any, given: Any, results: list[Tensor], args: Any, kwargs: Any, made: Any) -> None:
        before = {tensor.untyped_storage()._cdata for tensor in given if tensor.device.type == "meta"}
        if not func._schema.is_mutable and all(t.untyped_storage()._cdata in before for t in results):
            self.views += 1
            return
        if func.overloadpacket in _ALLOCATIONS:
            return
        flops = 0.0
        if formula := FLOPS.get(func.overloadpacket):
            flops = float(formula(*args, **kwargs, out_val=made))
        widest = max((*given, *results), key=lambda tensor: tensor.element_size())
        precision = next((str(t.dtype) for t in (*results, *given) if inexact(t)), str(widest.dtype))
        if flops and precision == "torch.float32" and torch.backends.cuda.matmul.fp32_precision == "tf32":
            precision = "tf32"
        moved = _bytes(given) + _bytes(results)
        # What is given to be written to is not read, and is a result, too.
        moved -= _bytes(_tensors(kwargs[name] for name in _written(func) if name in kwargs))
        if func.overloadpacket is aten.scatter_add_:
            # Only the entries that the index names are read and written.
            _, index, source = given
            moved = _bytes([index]) + 3 * _bytes([source])
        if func.overloadpacket is aten.addmm and args[0].ndim == 2:
            # The product is added to a copy of the matrix.
            self.operators[precision.removeprefix("torch."), 0.0, float(2 * _bytes(args[:1]))] += 1
        self.operators[precision.removeprefix("torch."), flops, float(moved)] += 1

    def _follow(self, tensor: Tensor) -> None:
        if tensor.device.type != "meta":
            return
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.known:
            return
        size = storage.nbytes()
        self.known.add(key)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.alive -= size


_ALLOCATIONS = {aten.empty_like, aten.new_empty, aten.empty_strided, aten.new_empty_strided}


@cache
def _written(func: Any) -> list[str]:
    """Names of an operator's arguments for results, such as ``out``."""
    return [
        argument.name
        for argument in func._schema.arguments
        if argument.kwarg_only and argument.alias_info is not None and argument.alias_info.is_write
    ]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


_SHAPES: dict[Any, list[tuple[Any, ...]]] = {}


def _signature(value: Any) -> Any:
    """The properties of a value that determine the shapes of results."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype, value.device.type
    if isinstance(value, list | tuple):
        return tuple(map(_signature, value))
    return type(value), value


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """Tensors among values and in lists among them."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += _tensors(value)
    return found
