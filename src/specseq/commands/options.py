"""What commands share: the typed request that a stage also takes, plain tables, and values for JSON."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from specseq.errors import InputError
from specseq.settings import read

T = TypeVar("T")


def to_request(kind: type[T], values: Mapping[str, Any], **options: str) -> T:
    """A request from the values of options; those that were not given (None) keep their defaults.

    ``options`` name the option that sets a field, where their names differ.

    Raises:
        InputError: a value is wrong; names its option.
    """
    try:
        return read(kind, _given(values), "")
    except InputError as error:
        name = next((part for part in reversed(error.where.split(".")) if not part.isdigit()), "")
        option = options.get(name, name).replace("_", "-")
        raise InputError(f"--{option}", error.fault, error.remedy) from None


def _given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _given(part) for key, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_given(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def finite(value: Any) -> Any:
    """A value as JSON can hold it: null for NaN and infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def format_rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """A plain table for the terminal: numbers right, text left, four decimals."""
    cells = [[_cell(row[name]) for name in names] for row in rows]
    widths = [max(len(text) for text in column) for column in zip(names, *cells, strict=True)]
    right = [isinstance(rows[0][name], int | float) for name in names]
    lines = []
    for line in ([*names], *cells):
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
