"""Queries over result Parquet: select rows, line them up by task and seed, estimate with an interval.

A query is a mapping with

``file``      path under the scale's folder, e.g. ``tables/preconditioning.parquet``
``where``     column -> value, list of values, or {min: a, max: b}
``value``     column that is measured, default ``value``
``over``      columns that tell replicates apart, default those of task, dataset, config and seed that exist
``pick``      of several rows of one replicate: mean (default), first, last, min, max; first and last by step
``reduce``    over replicates: mean (default) or gmean
``exact``     true where the figure carries no sampling error (a count, a closed form); no interval is asked
``interval``  two columns that hold the interval already, for tables of one row a comparison
``enough``    column -> least value without which a row's interval decides nothing, e.g. {seeds: 2}

Intervals are percentile bootstraps that resample tasks and seeds crosswise. A bootstrap of three seeds is too
narrow, so where something was drawn (seed ≥ 0) the interval reaches at least as far as Student's t over the
seeds' means, and one seed gives no interval: the verdict is then *undecided*.

Shapes: T tasks (all replicate columns but the seed), S seeds.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.seeding import generator

KEYS = ("file", "where", "value", "over", "pick", "reduce", "exact", "interval", "enough")
REPLICATES = ("task", "dataset", "config", "seed")
PICKS = ("mean", "first", "last", "min", "max")
_RESAMPLES = 2000
_ALPHA = 0.05

Floats = NDArray[np.float64]
Back = Callable[[float], float]


class Missing(Exception):
    """A file, or rows or columns of it, are not there."""

    def __init__(self, file: str, what: str) -> None:
        self.file, self.what = file, what
        super().__init__(f"{file}: {what}")


@dataclass(frozen=True)
class Measured:
    """A measured quantity.

    Attributes:
        value: the estimate; NaN where it was measured and is undefined.
        low, high: its interval; NaN where there is none.
        exact: whether the interval is a range of rounding and no statistic.
        n: replicates behind it.
        evidence: what decided it: files and rows, or the formula.
        note: why there is no interval, or what was left out.
    """

    value: float
    low: float
    high: float
    exact: bool
    n: int
    evidence: str
    note: str = ""


@dataclass
class Folder:
    """The result files of one scale, each read once."""

    root: Path
    _read: dict[str, pd.DataFrame] = field(default_factory=dict)

    def frame(self, file: str) -> pd.DataFrame:
        """A result table.

        Raises:
            Missing: there is no such file.
        """
        if file not in self._read:
            path = self.root / file
            if not path.is_file():
                raise Missing(file, "no such file")
            from specseq.tables import read_parquet

            self._read[file] = read_parquet(path)
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


def _rows(folder: Folder, query: Mapping[str, Any], *columns: str) -> tuple[pd.DataFrame, str]:
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
        raise Missing(file, f"has no row with {said}")
    return rows, f"{file} [{said}] {len(rows)} rows"


def select(folder: Folder, query: Mapping[str, Any]) -> tuple[pd.Series, str]:
    """One value a replicate, indexed by the replicate columns, and what was selected in words.

    Raises:
        Missing: no such file, column or row.
    """
    column = query.get("value", "value")
    rows, evidence = _rows(folder, query, column, *query.get("over", ()))
    over = [name for name in query.get("over", REPLICATES) if name in rows.columns]
    pick = query.get("pick", "mean")
    if pick in ("first", "last") and "step" in rows.columns:
        rows = rows.sort_values("step", kind="stable")
    if not over:
        rows, over = rows.assign(all_rows=0), ["all_rows"]
    values = rows.groupby(over, observed=True, dropna=False)[column].agg(pick).astype(float)
    return values, evidence


def _said(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return "..".join(str(wanted.get(end, "")) for end in ("min", "max"))
    return "|".join(map(str, wanted)) if isinstance(wanted, list) else str(wanted)


def _square(values: pd.Series) -> tuple[Floats, bool]:
    """Values as [T, S] on the tasks that every seed has, and whether anything was drawn at random."""
    names = list(values.index.names)
    if "seed" not in names:
        return values.to_numpy()[:, None], False
    drawn = bool((values.index.get_level_values("seed").astype(float) >= 0).any())
    if len(names) == 1:
        return values.to_numpy()[None, :], drawn
    return values.unstack("seed").dropna().to_numpy(), drawn


def _shares(draw: np.random.Generator, size: int) -> Floats:
    return draw.multinomial(size, np.full(size, 1 / size), size=_RESAMPLES) / size


def _interval(cells_TS: Floats, drawn: bool, name: str) -> tuple[float, float]:
    draw = generator(0, "claims", name)
    weights_RT, weights_RS = _shares(draw, cells_TS.shape[0]), _shares(draw, cells_TS.shape[1])
    means = np.einsum("rs,rs->r", weights_RT @ cells_TS, weights_RS)
    low, high = (float(end) for end in np.quantile(means, [_ALPHA / 2, 1 - _ALPHA / 2]))
    if not drawn:
        return low, high
    from scipy.stats import t

    by_seed = cells_TS.mean(axis=0)
    reach = t.ppf(1 - _ALPHA / 2, len(by_seed) - 1) * by_seed.std(ddof=1) / math.sqrt(len(by_seed))
    return min(low, by_seed.mean() - reach), max(high, by_seed.mean() + reach)


def _estimate(
    cells_TS: Floats, drawn: bool, name: str, evidence: str, back: Back = float, left_out: int = 0
) -> Measured:
    """Mean of the cells with its interval, carried back through ``back``."""
    note = f"{left_out} replicates without a partner or a finite value left out" if left_out else ""
    if cells_TS.size == 0:
        return Measured(math.nan, math.nan, math.nan, False, 0, evidence, "no finite value")
    value = back(cells_TS.mean())
    if drawn and cells_TS.shape[1] < 2:
        why = "one seed gives no interval over seeds"
        return Measured(
            value, math.nan, math.nan, False, cells_TS.size, evidence, f"{why}; {note}".rstrip("; ")
        )
    if cells_TS.size < 2:
        why = "one measurement gives no interval"
        return Measured(value, math.nan, math.nan, False, 1, evidence, f"{why}; {note}".rstrip("; "))
    low, high = (back(end) for end in _interval(cells_TS, drawn, name))
    return Measured(value, low, high, False, cells_TS.size, evidence, note)


def _log(values: pd.Series) -> pd.Series:
    return np.log(values.where(values > 0))


def _ready(folder: Folder, query: Mapping[str, Any]) -> Measured:
    """A row of a table that carries its own interval.

    Raises:
        Missing: no such row, or more than one.
    """
    column, (low, high) = query.get("value", "value"), query["interval"]
    enough = query.get("enough", {})
    rows, evidence = _rows(folder, query, column, low, high, *enough)
    if len(rows) > 1:
        raise Missing(query["file"], f"has {len(rows)} rows where one is wanted ({evidence})")
    row = rows.iloc[0]
    value = float(row[column])
    for name, least in enough.items():
        if row[name] < least:
            note = f"{name} is {row[name]:g}, and {least:g} are wanted for an interval"
            return Measured(value, math.nan, math.nan, False, 1, evidence, note)
    return Measured(value, float(row[low]), float(row[high]), False, 1, evidence)


def single(folder: Folder, query: Mapping[str, Any], name: str) -> Measured:
    """Mean (or geometric mean) of one query with its interval."""
    if "interval" in query:
        return _ready(folder, query)
    values, evidence = select(folder, query)
    geometric = query.get("reduce") == "gmean"
    moved = _log(values) if geometric else values
    finite = moved[np.isfinite(moved)]
    back: Back = math.exp if geometric else float
    if query.get("exact"):
        value = back(finite.mean()) if len(finite) else math.nan
        return Measured(value, value, value, True, len(finite), evidence)
    cells, drawn = _square(finite)
    return _estimate(cells, drawn, name, evidence, back, len(values) - len(finite))


def _keyed(values: pd.Series, side: str) -> pd.DataFrame:
    frame = values.rename(side).reset_index()
    if "seed" in frame and (frame["seed"] == -1).all():
        return frame.drop(columns="seed")
    return frame


def _join(a: pd.Series, b: pd.Series) -> pd.DataFrame:
    """Pair two queries on the replicate columns they share; a side without seeds serves every seed."""
    left, right = _keyed(a, "a"), _keyed(b, "b")
    shared = [name for name in left.columns if name in right.columns]
    joined = left.merge(right, on=shared) if shared else left.merge(right, how="cross")
    keys = [name for name in joined.columns if name not in ("a", "b")]
    return joined.set_index(keys) if keys else joined


def _of_two_rows(a: Measured, b: Measured, kind: str) -> Measured:
    """Compare two rows with intervals of their own, taken as independent: wider than a paired interval."""
    forward: Back = float if kind == "difference" else math.log
    back = _BACK[kind]
    evidence = f"{a.evidence} against {b.evidence}"
    ends = [a.low, a.high, b.low, b.high]
    middle = forward(a.value) - forward(b.value)
    if not all(math.isfinite(end) for end in ends):
        note = a.note or b.note or "no interval on one side"
        return Measured(back(middle), math.nan, math.nan, False, 2, evidence, note)
    down = math.hypot(forward(a.value) - forward(a.low), forward(b.high) - forward(b.value))
    up = math.hypot(forward(a.high) - forward(a.value), forward(b.value) - forward(b.low))
    return Measured(back(middle), back(middle - down), back(middle + up), False, 2, evidence)


def _percent(log_ratio: float) -> float:
    return 100 * math.expm1(log_ratio)


_BACK: dict[str, Back] = {"difference": float, "ratio": math.exp, "percent": _percent}


def paired(folder: Folder, a: Mapping[str, Any], b: Mapping[str, Any], kind: str, name: str) -> Measured:
    """Ratio, percentage or difference of two queries, paired by replicate.

    ``ratio`` and ``percent`` are of geometric means, ``difference`` is of means.
    """
    if "interval" in a and "interval" in b:
        return _of_two_rows(_ready(folder, a), _ready(folder, b), kind)
    left, first = select(folder, a)
    right, second = select(folder, b)
    joined = _join(left, right)
    evidence = f"{first} against {second}"
    if joined.empty:
        raise Missing(b["file"], "shares no task and seed with the other side")
    moved = joined if kind == "difference" else joined.apply(_log)
    cells = moved["a"] - moved["b"]
    back = _BACK[kind]
    finite = cells[np.isfinite(cells)]
    left_out = max(len(left), len(right)) - len(finite)
    square, drawn = _square(finite)
    return _estimate(square, drawn, name, evidence, back, max(0, left_out))


def trend(folder: Folder, query: Mapping[str, Any], x: str, name: str) -> Measured:
    """Spearman's rank correlation of the value with column ``x``, averaged over replicates."""
    from scipy.stats import spearmanr

    rows, _ = _rows(folder, query, x)
    over = [n for n in query.get("over", REPLICATES) if n in rows.columns and n != x]
    values, evidence = select(folder, {**query, "over": [*over, x]})
    table = values.unstack(x) if over else values.to_frame().T
    table = table.loc[:, np.isfinite(table.columns.to_numpy(float))].dropna(axis=int(not over))
    if table.shape[1] < 3 or table.empty:
        raise Missing(query["file"], f"has fewer than three finite values over '{x}'")
    levels = table.columns.to_numpy(float)
    found = pd.Series([float(spearmanr(levels, row).statistic) for row in table.to_numpy()], table.index)
    evidence = f"{evidence}, rank correlation with {x}"
    if query.get("exact"):
        value = float(found.mean())
        return Measured(value, value, value, True, table.shape[1], evidence)
    square, drawn = _square(found[np.isfinite(found)])
    return _estimate(square, drawn, name, evidence)
