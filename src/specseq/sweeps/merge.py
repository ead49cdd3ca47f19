"""Nested parameters: merging, dotted paths and references to values of the scale."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from specseq.errors import InputError


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; later layers win, lists and scalars are replaced whole."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(value, Mapping) and isinstance(old, Mapping)
            merged[key] = merge(old, value) if both else deepcopy(value)  # type: ignore[arg-type]
    return merged


def nest(dotted: str, value: Any) -> dict[str, Any]:
    """``nest("filter.degree", 4)`` is ``{"filter": {"degree": 4}}``."""
    for key in reversed(dotted.split(".")):
        value = {key: value}
    return value


def resolve(value: Any, values: Mapping[str, Any], where: str) -> Any:
    """Replace every string ``$name`` by ``values[name]``, at any depth.

    Raises:
        InputError: the scale has no such value.
    """
    if isinstance(value, str) and value.startswith("$"):
        if value[1:] not in values:
            known = ", ".join(sorted(values)) or "none"
            raise InputError(where, f"the scale has no value '{value[1:]}'", f"it has: {known}")
        return deepcopy(values[value[1:]])
    if isinstance(value, Mapping):
        return {key: resolve(item, values, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [resolve(item, values, where) for item in value]
    return value
