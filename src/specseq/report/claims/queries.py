"""Queries over result Parquet: select rows and line them up by task and seed.

A query is a mapping with

``file``      path under the scale's folder, e.g. ``tables/preconditioning.parquet``
``where``     column -> value, list of values, or {min: a, max: b}
``value``     column that is measured, default ``value``
``over``      columns that tell replicates apart, default those of task, dataset, config and seed that exist
``pick``      of several rows of one replicate: mean (default), first, last, min, max; first and last by step,
              whether finite or not
``reduce``    over replicates: mean (default) or gmean
``exact``     true where the figure carries no sampling error (a count, a closed form); no interval is asked
``interval``  two columns that hold the interval already, for tables of one row a comparison; or a column and
              two values of it, where the ends are rows of their own: {metric: [nll_low, nll_high]}
``enough``    column -> least value without which a row's interval decides nothing, e.g. {seeds: 2}

How selected rows become an estimate is told in :mod:`specseq.report.claims.estimates` and
:mod:`specseq.report.claims.ready_rows`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.errors import InputError
from specseq.tables import read_parquet

KEYS = ("file", "where", "value", "over", "pick", "reduce", "exact", "interval", "enough")
REPLICATES = ("task", "dataset", "config", "seed")
PICKS = {
    "mean": "mean",
    "first": lambda values: values.iloc[0],
    "last": lambda values: values.iloc[-1],
    "min": "min",
    "max": "max",
}
# What a run that was ended early says of these is no less than what one that went on says.
_OF_ANY_RUN = ("first", "min", "max")


class Missing(Exception):
    """A file, or rows or columns of it, are not there.

    Attributes:
        file: the result file.
        what: what is the matter with it, as the rest of a sentence that begins with its name.
        remake: whether making the file (again) would help.
        absent: the runs (or groups) that were asked for and of which it holds nothing at all.
    """

    def __init__(self, file: str, what: str, remake: bool = False, absent: Sequence[str] = ()) -> None:
        self.file, self.what, self.remake, self.absent = file, what, remake, tuple(absent)
        super().__init__(f"{file} {what}")


@dataclass
class Folder:
    """The result files of one scale, each read once."""

    root: Path
    _read: dict[str, pd.DataFrame] = field(default_factory=dict)

    def frame(self, file: str) -> pd.DataFrame:
        """A result table.

        Raises:
            Missing: there is no such file, or it is no result table.
        """
        if file not in self._read:
            path = self.root / file
            if not path.is_file():
                raise Missing(file, "is not there", remake=True)
            try:
                self._read[file] = read_parquet(path)
            except InputError:
                raise Missing(file, "cannot be read", remake=True) from None
        return self._read[file]


def check(query: Any, where: str) -> None:
    """Refuse unknown keys and values.

    Raises:
        InputError: says which.
    """
    if not isinstance(query, Mapping) or "file" not in query:
        raise InputError(where, "a query wants a 'file'", "see workflow/claims/README.md")
    for key in query:
        if key not in KEYS:
            raise InputError(where, f"unknown key '{key}' in a query", f"known: {', '.join(KEYS)}")
    if query.get("pick", "mean") not in PICKS or query.get("reduce", "mean") not in ("mean", "gmean"):
        raise InputError(where, "unknown pick or reduce", "see workflow/claims/README.md")
    if Path(query["file"]).is_absolute() or ".." in Path(query["file"]).parts:
        raise InputError(where, f"file '{query['file']}'", "give a path under the scale's folder")


def _matches(column: pd.Series, wanted: Any) -> pd.Series:
    if isinstance(wanted, Mapping):
        numbers = pd.to_numeric(column, errors="coerce")
        return numbers.between(wanted.get("min", -math.inf), wanted.get("max", math.inf))
    values = wanted if isinstance(wanted, list) else [wanted]
    if pd.api.types.is_bool_dtype(column):
        return column.isin([str(value).lower() == "true" for value in values])
    if pd.api.types.is_numeric_dtype(column):
        numbers_wanted = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(float)
        return pd.Series(
            np.isclose(column.to_numpy(float)[:, None], numbers_wanted, rtol=1e-9).any(axis=1), column.index
        )
    return column.astype("string").isin([str(value) for value in values])


def rows_of(folder: Folder, query: Mapping[str, Any], *columns: str) -> tuple[pd.DataFrame, str]:
    """The rows that a query selects, and what they are in words.

    Raises:
        Missing: no such file, column or row.
    """
    file, where = query["file"], query.get("where", {})
    frame = folder.frame(file)
    for name in (*where, *columns):
        if name not in frame.columns:
            raise Missing(file, f"has no column '{name}'")
    keep = pd.Series(True, index=frame.index)
    for name, wanted in where.items():
        keep &= _matches(frame[name], wanted).fillna(False).astype(bool)
    rows = frame[keep]
    said = ", ".join(f"{name}={_said(wanted)}" for name, wanted in where.items())
    if rows.empty:
        raise Missing(file, f"has no row with {said}", absent=_lacking(frame, where))
    return rows, f"{file} [{said}] {len(rows)} rows"


def _lacking(frame: pd.DataFrame, where: Mapping[str, Any]) -> list[str]:
    """The runs and groups that the conditions name and of which the table has no row."""
    named = [(name, where[name]) for name in ("group", "run") if name in where]
    lacking = [wanted for name, wanted in named if not _matches(frame[name], wanted).fillna(False).any()]
    return [str(run) for wanted in lacking for run in (wanted if isinstance(wanted, list) else [wanted])]


def select(folder: Folder, query: Mapping[str, Any]) -> tuple[pd.Series, str]:
    """One value a replicate, indexed by the replicate columns, and what was selected in words.

    Raises:
        Missing: no such file, column or row.
    """
    column = query.get("value", "value")
    rows, evidence = rows_of(folder, query, column, *query.get("over", ()))
    over = [name for name in query.get("over", REPLICATES) if name in rows.columns]
    pick = query.get("pick", "mean")
    if pick in ("first", "last") and "step" in rows.columns:
        rows = rows.sort_values("step", kind="stable")
    if not over:
        rows, over = rows.assign(all_rows=0), ["all_rows"]
    values = rows.groupby(over, observed=True, dropna=False)[column].agg(PICKS[pick]).astype(float)
    return values, evidence


def diverged(folder: Folder, query: Mapping[str, Any]) -> list[str]:
    """The runs behind a query that were ended early, where that leaves its question without an answer.

    Such a run has a row ``diverged`` in the long table and lacks others: its last value is not that of its
    end, and its evaluations may be missing. Lowest, largest and first values are what they are.
    """
    frame, where = folder.frame(query["file"]), query.get("where", {})
    if query.get("pick", "mean") in _OF_ANY_RUN or not {"run", "metric"} <= set(frame.columns):
        return []
    marked = frame[(frame["metric"].astype("string") == "diverged") & (frame["value"] > 0)]
    for name in ("study", "group", "run", "seed"):
        if name in where:
            marked = marked[_matches(marked[name], where[name]).fillna(False).astype(bool)]
    asked = where.get("metric")
    if asked == "diverged" or marked.empty or not {"group", "run"} & set(where):
        return []
    return sorted(set(marked["run"].astype(str)))


def _said(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return "..".join(str(wanted.get(end, "")) for end in ("min", "max"))
    return "|".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)
