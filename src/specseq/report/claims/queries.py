"""Rows of result files that a claim's query selects, lined up by task and seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import and_
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from specseq.errors import InputError
from specseq.report.claims.language import Bounds, Condition, Query
from specseq.tables import read_parquet
from specseq.tables.parquet import readable

LARGE = 2**18
"""Largest number of rows of a table that is read whole."""
KEPT = 16
"""Number of parts of larger tables that are kept in memory."""
_REPLICATES = ("task", "dataset", "config", "seed")
_PICKS: dict[str, Any] = {
    "mean": "mean",
    "first": lambda values: values.iloc[0],
    "last": lambda values: values.iloc[-1],
    "min": "min",
    "max": "max",
}
# These are defined even for a run that was ended early.
_OF_ANY_RUN = ("first", "min", "max")


class Missing(Exception):
    """A file, or rows or columns of it, are not there.

    Attributes:
        file: the result file.
        what: what is wrong with it, as the rest of a sentence that begins with its name.
        remake: whether making the file (again) would help.
        absent: the runs (or groups) that were asked for but have no row in it.
    """

    def __init__(self, file: str, what: str, remake: bool = False, absent: Sequence[str] = ()) -> None:
        self.file, self.what, self.remake, self.absent = file, what, remake, tuple(absent)
        super().__init__(f"{file} {what}")


def check_scale(root: Path, scale: str) -> None:
    """Refuse tables whose rows name another scale.

    Raises:
        InputError: there is one; names its scale.
    """
    for path in sorted(root.glob("tables/*.parquet")):
        try:
            held = set(read_parquet(path, ["scale"])["scale"].dropna().unique())
        except InputError:
            continue
        if held and scale not in held:
            other = sorted(map(str, held))[0]
            raise InputError(root, f"holds results of scale {other}, not {scale}", f"give --scale {other}")


@dataclass
class Folder:
    """The result files of one scale: each read once, large ones in the parts that queries ask for."""

    root: Path
    _read: dict[str, pd.DataFrame] = field(default_factory=dict)
    _texts: dict[str, list[str]] = field(default_factory=dict)
    _parts: dict[str, pd.DataFrame] = field(default_factory=dict)

    def frame(self, file: str, where: Mapping[str, Condition] = MappingProxyType({})) -> pd.DataFrame:
        """A result table; of one with more than :data:`LARGE` rows, those that match the texts in ``where``.

        Raises:
            Missing: there is no such file, or it is not a result table.
        """
        if file in self._read:
            return self._read[file]
        path = self.root / file
        if not path.is_file():
            raise Missing(file, "is not there", remake=True)
        try:
            if file not in self._texts:
                self._texts[file] = _text_columns(path)
            asked = {name: _texts_of(where[name]) for name in self._texts[file] if name in where}
            asked = {name: texts for name, texts in asked.items() if texts}
            if not asked:
                return self._read.setdefault(file, read_parquet(path))
            key = f"{file} {asked}"
            if key not in self._parts:
                conditions = (pc.field(name).isin(texts) for name, texts in asked.items())
                self._parts[key] = read_parquet(path, where=reduce(and_, conditions))
        except InputError:
            raise Missing(file, "cannot be read", remake=True) from None
        # A claim asks for its parts several times in a row.
        self._parts[key] = self._parts.pop(key)
        while len(self._parts) > KEPT:
            del self._parts[next(iter(self._parts))]
        return self._parts[key]


def _text_columns(path: Path) -> list[str]:
    """The text columns by which a table is read in parts; none for a table that is read whole."""
    with readable(path):
        metadata = pq.read_metadata(path)
    schema = metadata.schema.to_arrow_schema()
    return [column.name for column in schema if metadata.num_rows > LARGE and pa.types.is_string(column.type)]


def _texts_of(condition: Condition) -> list[str]:
    return [] if isinstance(condition, Bounds) else [str(value) for value in _listed(condition)]


def _matches(column: pd.Series, condition: Condition) -> pd.Series:
    if isinstance(condition, Bounds):
        low = -math.inf if condition.min is None else condition.min
        high = math.inf if condition.max is None else condition.max
        return pd.to_numeric(column, errors="coerce").between(low, high)
    values = _listed(condition)
    if pd.api.types.is_bool_dtype(column):
        return column.isin([str(value).lower() == "true" for value in values])
    if pd.api.types.is_numeric_dtype(column):
        numbers_wanted = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(float)
        return pd.Series(
            np.isclose(column.to_numpy(float)[:, None], numbers_wanted, rtol=1e-9).any(axis=1), column.index
        )
    return column.astype("string").isin([str(value) for value in values])


def _listed(condition: Any) -> list[Any]:
    return list(condition) if isinstance(condition, tuple) else [condition]


def rows_of(folder: Folder, query: Query, *columns: str) -> tuple[pd.DataFrame, str]:
    """The rows that a query selects, and what they are in words.

    Raises:
        Missing: no such file, column or row.
    """
    file, where = query.file, query.where
    frame = folder.frame(file, where)
    for name in (*where, *columns):
        if name not in frame.columns:
            raise Missing(file, f"has no column '{name}'")
    keep = pd.Series(True, index=frame.index)
    for name, condition in where.items():
        keep &= _matches(frame[name], condition).fillna(False).astype(bool)
    rows = frame[keep]
    conditions = ", ".join(f"{name}={_shown(condition)}" for name, condition in where.items())
    if rows.empty:
        raise Missing(file, f"has no row with {conditions}", absent=_lacking(folder, query))
    return rows, f"{file} [{conditions}] {len(rows)} rows"


def _lacking(folder: Folder, query: Query) -> list[str]:
    """The runs and groups that the conditions name but the table has no row of."""
    named = [(name, query.where[name]) for name in ("group", "run") if name in query.where]
    columns = [(folder.frame(query.file, {name: runs})[name], runs) for name, runs in named]
    lacking = [runs for column, runs in columns if not _matches(column, runs).fillna(False).any()]
    return [str(run) for runs in lacking for run in _listed(runs)]


def replicates(query: Query, rows: pd.DataFrame) -> list[str]:
    """The columns that tell the replicates of a query's rows apart."""
    return [name for name in (_REPLICATES if query.over is None else query.over) if name in rows.columns]


def select(folder: Folder, query: Query) -> tuple[pd.Series, str]:
    """One value per replicate, indexed by the replicate columns, and what was selected in words.

    Raises:
        Missing: no such file, column or row.
    """
    rows, evidence = rows_of(folder, query, query.value, *(query.over or ()))
    over = replicates(query, rows)
    if query.pick in ("first", "last") and "step" in rows.columns:
        rows = rows.sort_values("step", kind="stable")
    if not over:
        rows, over = rows.assign(all_rows=0), ["all_rows"]
    values = rows.groupby(over, observed=True, dropna=False)[query.value].agg(_PICKS[query.pick])
    return values.astype(float), evidence


def diverged(folder: Folder, query: Query) -> list[str]:
    """The runs behind a query that were ended early, where that leaves its question without an answer.

    Such a run has a row ``diverged`` in the long table and lacks others: its last value is not the one at the
    planned end, and its evaluations may be missing. Lowest, largest and first values remain valid.
    """
    frame, where = folder.frame(query.file, {"metric": "diverged"}), query.where
    if query.pick in _OF_ANY_RUN or not {"run", "metric"} <= set(frame.columns):
        return []
    marked = frame[(frame["metric"].astype("string") == "diverged") & (frame["value"] > 0)]
    for name in ("study", "group", "run", "seed"):
        if name in where:
            marked = marked[_matches(marked[name], where[name]).fillna(False).astype(bool)]
    asked = where.get("metric")
    if asked == "diverged" or marked.empty or not {"group", "run"} & set(where):
        return []
    return sorted(set(marked["run"].astype(str)))


def _shown(condition: Condition) -> str:
    if isinstance(condition, Bounds):
        return "..".join("" if end is None else f"{end:g}" for end in (condition.min, condition.max))
    return "|".join(map(str, _listed(condition)))
