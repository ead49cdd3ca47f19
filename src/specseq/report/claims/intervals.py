"""Measured quantities, and those from rows that carry an interval: one row, two compared, a trend.

The rows' intervals are taken as independent and, on the logarithmic scale, as normal. What they share (tasks,
a common baseline) would make a comparison narrower, so the verdicts err towards *undecided*.

Shapes: R draws, N rows.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.report.claims.language import Ends, Query, Span
from specseq.report.claims.queries import Folder, Missing, rows_of
from specseq.seeding import generator

_DRAWS = 2000
_ALPHA = 0.05
LEAST_POINTS = 4  # three points are in order by chance once in six
_NORMAL_QUANTILE = 1.959963984540054  # of 1 - α/2

Floats = NDArray[np.float64]
Back = Callable[[float], float]


@dataclass(frozen=True)
class Axis:
    """Replicates of one kind behind a measurement.

    Attributes:
        unit: ``seeds``, ``configs`` or another kind. n: how many. sd: standard deviation of single replicates
        on the scale of the comparison; NaN where only the interval is known.
    """

    unit: str
    n: int
    sd: float = math.nan


@dataclass(frozen=True)
class Measured:
    """A measured quantity.

    Attributes:
        value: the estimate; NaN where it was measured and is undefined.
        low, high: its interval; NaN where there is none.
        exact: whether the interval is a range of rounding rather than a statistic.
        n: replicates behind it.
        evidence: what decided it: files and rows, or the formula.
        note: why there is no interval, or what was left out.
        axes: the replicates by kind, where more of them would narrow the interval.
        scale: of the comparison: ``difference``, or ``ratio`` and ``percent`` for logarithms.
        windows: the part of the half-width, on that scale, that is due to test windows and that more
            replicates do not reduce.
        same: whether two sides were compared that agree number for number, as where a cap that one of them
            has never binds.
    """

    value: float
    low: float
    high: float
    exact: bool
    n: int
    evidence: str
    note: str = ""
    axes: tuple[Axis, ...] = ()
    scale: str = "difference"
    windows: float = 0.0
    same: bool = False

    def within(self, bounds: Span | None) -> "Measured":
        """The same with the interval limited to the values that the quantity can have."""
        if bounds is None or math.isnan(self.low):
            return self
        least = -math.inf if bounds[0] is None else bounds[0]
        greatest = math.inf if bounds[1] is None else bounds[1]
        value, low, high = (min(max(x, least), greatest) for x in (self.value, self.low, self.high))
        return replace(self, value=value, low=low, high=high)


def percent(log_ratio: float) -> float:
    """A log ratio as a percentage of change."""
    return 100 * math.expm1(log_ratio)


# From the scale on which two quantities are compared (logarithms for ratios) back to that of the claim.
BACK: dict[str, Back] = {"difference": float, "ratio": math.exp, "percent": percent}


def _log(value: float) -> float:
    return math.log(value) if value > 0 else math.nan


FORWARD: dict[str, Back] = {"difference": float, "ratio": _log, "percent": lambda x: _log(1 + x / 100)}
_COUNTED = {"seeds": ("paired_seeds", "seeds"), "configs": ("paired_configs", "configs", "tasks")}
_SPREAD = {"seeds": "seed_sd", "configs": "config_sd"}  # of the logarithm of the column ratio


def _axes_of_row(row: "pd.Series[Any]", column: str) -> tuple[Axis, ...]:
    """The replicates behind a row's interval: those whose spread it holds, else its seeds or its configs."""
    counts = {
        unit: int(row[found[0]])
        for unit, names in _COUNTED.items()
        if (found := [name for name in names if name in row and pd.notna(row[name])])
    }
    known = [
        Axis(unit, number, float(row[_SPREAD[unit]]))
        for unit, number in counts.items()
        if column == "ratio" and _SPREAD[unit] in row and (number < 2 or math.isfinite(row[_SPREAD[unit]]))
    ]
    if known:
        return tuple(known)
    several = [Axis(unit, number) for unit, number in counts.items() if number > 1]
    return tuple((several or [Axis(unit, number) for unit, number in counts.items()])[:1])


def precomputed(folder: Folder, query: Query) -> Measured:
    """The value of a query's one row with the interval that the table holds.

    Raises:
        Missing: no such row, or more than one.
    """
    if ends := query.ends_in_rows:
        return _interval_in_rows(folder, query, ends)
    low, high = _columns(query)
    row, evidence = _one_row(folder, query, query.value, low, high, *query.enough)
    value, axes = float(row[query.value]), _axes_of_row(row, query.value)
    scale = "ratio" if any(math.isfinite(axis.sd) for axis in axes) else "difference"
    for name, least in query.enough.items():
        if row[name] < least:
            note = f"{name} is {row[name]:.3g}, an interval needs {least:g}"
            return Measured(value, math.nan, math.nan, False, 1, evidence, note)
    if row[low] == row[high]:
        note = "its interval has no width: one replicate gives none"
        return Measured(value, math.nan, math.nan, False, 1, evidence, note, axes, scale)
    return Measured(value, float(row[low]), float(row[high]), False, 1, evidence, "", axes, scale)


def _columns(query: Query) -> tuple[str, ...]:
    """The two columns that hold a query's interval."""
    return query.interval if isinstance(query.interval, tuple) else ("", "")


def _one_row(folder: Folder, query: Query, *columns: str) -> tuple["pd.Series[Any]", str]:
    rows, evidence = rows_of(folder, query, *columns)
    if len(rows) > 1:
        raise Missing(query.file, f"has {len(rows)} rows where one is expected ({evidence})")
    return rows.iloc[0], evidence


def _interval_in_rows(folder: Folder, query: Query, interval: Mapping[str, Ends]) -> Measured:
    """``interval: {metric: [nll_low, nll_high]}``: the ends are rows of their own, under other metrics."""
    ((name, ends),) = interval.items()
    row, evidence = _one_row(folder, query, query.value)
    low, high = (
        _one_row(folder, replace(query, where={**query.where, name: end}), query.value)[0] for end in ends
    )
    column = query.value
    least, greatest = float(low[column]), float(high[column])
    note = "" if math.isfinite(least + greatest) else "its rows hold no interval: fewer than two windows"
    return Measured(float(row[column]), least, greatest, False, 1, evidence, note)


def two_rows(a: Measured, b: Measured, kind: str) -> Measured:
    """Compare two rows with intervals of their own, taken as independent: wider than a paired interval."""
    forward: Back = float if kind == "difference" else _log
    back = BACK[kind]
    evidence = f"{a.evidence} against {b.evidence}"
    middle = forward(a.value) - forward(b.value)
    if not all(map(math.isfinite, map(forward, (a.low, a.high, b.low, b.high)))):
        note = a.note or b.note or "no interval on one side that could be compared"
        return Measured(back(middle), math.nan, math.nan, False, 2, evidence, note)
    down = math.hypot(forward(a.value) - forward(a.low), forward(b.high) - forward(b.value))
    up = math.hypot(forward(a.high) - forward(a.value), forward(b.value) - forward(b.low))
    ends = back(middle - down), back(middle + up)
    return Measured(back(middle), *ends, False, 2, evidence, "", _shared_axes(a, b), kind)


def _shared_axes(a: Measured, b: Measured) -> tuple[Axis, ...]:
    """The replicates of two rows that are compared, as many as the row with fewer has."""
    others = {axis.unit: axis for axis in b.axes}
    shared = [(axis, others[axis.unit]) for axis in a.axes if axis.unit in others]
    return tuple(Axis(x.unit, min(x.n, y.n), math.hypot(x.sd, y.sd)) for x, y in shared)


def trend_of_rows(folder: Folder, query: Query, x: str, name: str) -> Measured:
    """Rank correlation over rows with intervals; its interval comes from drawing each row from the row's."""
    from scipy.stats import rankdata

    column, ends, enough = query.value, _columns(query), query.enough
    rows, evidence = rows_of(folder, query, x, column, *ends, *enough)
    evidence = f"{evidence}, rank correlation with {x}"
    columns = [x, column, *ends]
    rows = rows[np.isfinite(rows[x].to_numpy(float))]
    known = np.isfinite(rows[columns].to_numpy(float)).all(axis=1) & (rows[[column, *ends]] > 0).all(axis=1)
    lost, rows = int((~known).sum()), rows[known]
    if rows[x].nunique() < LEAST_POINTS:
        raise Missing(
            query.file, f"has fewer than {LEAST_POINTS} finite values over '{x}', too few for a trend"
        )
    levels, values, low, high = (rows[c].to_numpy(float) for c in columns)
    spread = np.log(high / low) / (2 * _NORMAL_QUANTILE)
    draws = np.log(values) + generator(0, "claims", name).normal(size=(_DRAWS, len(values))) * spread
    at = rankdata(levels)
    at = (at - at.mean()) / at.std()

    def correlation(table_RN: Floats) -> Floats:
        ranks = rankdata(table_RN, axis=1)
        centred = ranks - ranks.mean(axis=1, keepdims=True)
        return (centred * at).mean(axis=1) / np.maximum(centred.std(axis=1), 1e-12)

    value = float(correlation(np.log(values)[None])[0])
    for needed, least in enough.items():
        if (rows[needed] < least).any():
            note = f"{needed} is below {least:g} for some rows"
            return Measured(value, math.nan, math.nan, False, len(rows), evidence, note)
    if lost:
        note = f"{lost} of {lost + len(rows)} rows without a finite value and interval"
        return Measured(value, math.nan, math.nan, False, len(rows), evidence, note)
    low_end, high_end = np.quantile(correlation(draws), [_ALPHA / 2, 1 - _ALPHA / 2])
    # The draws add noise to rows that are noisy already, which pulls correlations towards zero; stretched
    # to the estimate, the interval errs towards undecided.
    bounds = min(float(low_end), value), max(float(high_end), value)
    return Measured(value, *bounds, False, len(rows), evidence)
