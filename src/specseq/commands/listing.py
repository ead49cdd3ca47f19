"""Plain tables for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any


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
