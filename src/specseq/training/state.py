"""Nested state as JSON and tensors, so that reading it back runs no code."""

import base64
import json
from typing import Any

import numpy as np
import torch
from torch import Tensor


def pack(state: Any) -> tuple[str, dict[str, Tensor]]:
    """Split nested state into JSON text and the tensors it refers to by name.

    Takes dictionaries with any plain keys, lists, tuples, numbers, strings, bytes, None, NumPy scalars and
    arrays, and tensors. Everything comes back from :func:`unpack` with its type, floats to the last bit.

    Raises:
        TypeError: the state holds anything else.
    """
    tensors: dict[str, Tensor] = {}
    return json.dumps(_encode(state, tensors)), tensors


def unpack(text: str, tensors: dict[str, Tensor]) -> Any:
    """The state that :func:`pack` split."""
    return _decode(json.loads(text), tensors)


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _encode(value.item(), tensors)
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, list):
        return [_encode(part, tensors) for part in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(part, tensors) for part in value]}
    if isinstance(value, dict):
        pairs = [[_encode(key, tensors), _encode(part, tensors)] for key, part in value.items()]
        return {"dict": pairs}
    if isinstance(value, np.ndarray):
        return {"array": _keep(torch.from_numpy(np.ascontiguousarray(value)), tensors)}
    if isinstance(value, Tensor):
        return {"tensor": _keep(value, tensors)}
    raise TypeError(f"state holds a {type(value).__name__}, which a checkpoint cannot keep")


def _keep(tensor: Tensor, tensors: dict[str, Tensor]) -> str:
    name = f"state/{len(tensors)}"
    tensors[name] = tensor.detach().to("cpu", copy=True).contiguous()
    return name


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_decode(part, tensors) for part in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "bytes":
        return base64.b64decode(content)
    if kind == "tuple":
        return tuple(_decode(part, tensors) for part in content)
    if kind == "dict":
        return {_decode(key, tensors): _decode(part, tensors) for key, part in content}
    if kind == "array":
        return tensors[content].numpy()
    if kind == "tensor":
        return tensors[content]
    raise ValueError(f"state holds an unknown kind {kind!r}")
