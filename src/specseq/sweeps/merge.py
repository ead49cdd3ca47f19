"""Nested parameters: merging and dotted paths."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested mappings; later layers win.

    Lists and scalars are replaced whole. ``null`` takes out what the layers before it set, so that the
    default holds; where they set nothing it is a value.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            if value is None and key in merged:
                del merged[key]
            elif isinstance(value, Mapping) and isinstance(old, Mapping):
                merged[key] = merge(old, value)
            else:
                merged[key] = deepcopy(value)
    return merged


def nest(path: Sequence[str], value: Any) -> Any:
    """``nest(("filter", "degree"), 4)`` is ``{"filter": {"degree": 4}}``."""
    for key in reversed(path):
        value = {key: value}
    return value
