"""Nested parameters: merging and dotted paths."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any


def merge(*layers: Mapping[str, Any], kinds: bool = False) -> dict[str, Any]:
    """Merge nested mappings; later layers win.

    Lists and scalars are replaced whole. ``null`` takes out what the layers before it set, so that the
    default holds; where they set nothing it is a value.

    Args:
        layers: the weakest first.
        kinds: whether a mapping with another ``kind`` than the one before replaces it whole.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            if value is None and key in merged:
                del merged[key]
            elif (
                isinstance(value, Mapping) and isinstance(old, Mapping) and not (kinds and _other(old, value))
            ):
                merged[key] = merge(old, value, kinds=kinds)
            else:
                merged[key] = deepcopy(value)
    return merged


def _other(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return "kind" in old and "kind" in new and old["kind"] != new["kind"]


def nest(path: Sequence[str], value: Any) -> Any:
    """``nest(("filter", "degree"), 4)`` is ``{"filter": {"degree": 4}}``."""
    for key in reversed(path):
        value = {key: value}
    return value
