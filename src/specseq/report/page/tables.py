"""Tables of results as the page shows them: cells as text, constant columns given once, columns explained."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from specseq.errors import InputError
from specseq.report.claims.conditions import benchmark_names
from specseq.tables import read_parquet, read_provenance


def cell(value: Any, name: str = "") -> str:
    """A value as text; a seed of -1 means none."""
    if value is None or value is pd.NA or (name == "seed" and value == -1):
        return ""
    if isinstance(value, float):
        if pd.isna(value):
            return ""
        # Counts in the millions are unreadable in powers of ten.
        return f"{value:.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.5g}"
    if hasattr(value, "__len__") and not isinstance(value, str):
        return ", ".join(cell(item) for item in value)
    return str(value)


def table(frame: pd.DataFrame) -> dict[str, Any]:
    """A frame as headings, whether each column is numeric, and rows of text."""
    names = [str(name) for name in frame.columns]
    return {
        "columns": [name.replace("_", " ") for name in names],
        "numeric": [bool(pd.api.types.is_numeric_dtype(kind)) for kind in frame.dtypes],
        "rows": [
            [cell(value, name) for name, value in zip(names, row, strict=True)]
            for row in frame.itertuples(index=False)
        ],
    }


def study_table(results: Path, spec: Any, explained: Mapping[str, str]) -> dict[str, Any]:
    """A table of a section: ``content`` (None where it is not made or cannot be read), what is ``constant``
    over its rows, the results it was made ``without``, and ``meaning``, the docstring that explains it.
    """
    try:
        frame = read_parquet(results / spec.file)
    except InputError:
        return {"spec": spec, "content": None}
    columns = list(spec.columns or frame)
    # A table without rows may also lack columns.
    frame = frame.reindex(columns=columns) if frame.empty else frame[columns]
    if "benchmark" in frame:
        frame = frame.assign(benchmark=frame["benchmark"].replace(benchmark_names(results)))
    constant = _constant(frame)
    constants = ", ".join(f"{name.replace('_', ' ')} {cell(frame[name].iloc[0], name)}" for name in constant)
    return {
        "spec": spec,
        "content": table(frame.drop(columns=constant)),
        "constant": constants,
        "without": read_provenance(results / spec.file).get("without", []),
        "meaning": _meaning(spec.meaning or explained.get(spec.file, "")),
    }


def _constant(frame: pd.DataFrame) -> list[str]:
    """The columns with one text in all rows, without the verdict, which readers look for in every row."""
    if len(frame) < 2:
        return []
    texts = {str(name): {cell(value, str(name)) for value in frame[name]} for name in frame}
    return [name for name, cells in texts.items() if name != "verdict" and len(cells) == 1 and cells != {""}]


def _meaning(text: str) -> Markup:
    """A docstring's explanation of columns as HTML."""
    plain = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)
    return Markup(MarkdownIt("commonmark", {"html": False}).render(plain))
