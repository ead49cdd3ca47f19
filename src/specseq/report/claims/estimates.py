"""From selected rows to an estimate with an interval: means, paired comparisons, trends.

Intervals resample tasks and seeds crosswise and reach at least as far as Student's t over the means of tasks
and of seeds (:func:`specseq.scoring.comparison.crosswise_interval`). Where something was drawn (seed ≥ 0),
one seed gives no interval, and the verdict is *undecided*. The same holds if a seed was lost (its run was
ended early or its values are not finite) or a task lacks a finite value in some seed, because what is left is
only what went well.

Shapes: T tasks (all replicate columns but the seed), S seeds.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.report.claims.intervals import (
    BACK,
    FORWARD,
    LEAST_POINTS,
    Axis,
    Back,
    Measured,
    precomputed,
    trend_of_rows,
    two_rows,
)
from specseq.report.claims.language import Arithmetic, Difference, Percent, Query, Ratio, Select, Trend
from specseq.report.claims.loading import Claim
from specseq.report.claims.queries import Folder, Missing, diverged, replicates, rows_of, select
from specseq.scoring.comparison import crosswise_interval
from specseq.seeding import generator

Floats = NDArray[np.float64]

_SAME = "both sides are the same, number for number, so that what sets them apart has no effect here"


def _square(values: pd.Series) -> tuple[Floats, bool]:
    """Values as [T, S] on the tasks that every seed has, and whether anything was drawn at random.

    :func:`_lost_tasks` reports tasks that were dropped.
    """
    names = list(values.index.names)
    if "seed" not in names:
        return values.to_numpy()[:, None], False
    drawn = bool((values.index.get_level_values("seed").astype(float) >= 0).any())
    if len(names) == 1:
        return values.to_numpy()[None, :], drawn
    return values.unstack("seed").dropna().to_numpy(), drawn


def _lost(folder: Folder, values: pd.Series, *queries: Query) -> str:
    """Why some seeds have no values, in words; empty if all have."""
    ended = sorted({run for query in queries for run in diverged(folder, query)})
    if ended:
        return f"ended early: {', '.join(ended)}"
    if "seed" not in values.index.names:
        return ""
    seeds = values.index.get_level_values("seed")
    without = sorted(set(seeds) - set(seeds[np.isfinite(values)]))
    return f"no finite value with seed {', '.join(map(str, without))}" if without else ""


def _lost_tasks(values: pd.Series) -> str:
    """Number of tasks that lack a finite value in some seed, in words; empty if none does."""
    finite = pd.Series(np.isfinite(values), values.index)
    if not finite.any():
        return ""
    if "seed" in finite.index.names and len(finite.index.names) > 1:
        finite = finite.unstack("seed", fill_value=False).all(axis=1)
    lost = int((~finite).sum())
    return f"{lost} of {len(finite)} tasks without a finite value with every seed" if lost else ""


def _estimate(
    cells_TS: Floats,
    drawn: bool,
    name: str,
    evidence: str,
    scale: str = "difference",
    left_out: int = 0,
    lost: str = "",
) -> Measured:
    """Mean of the cells with its interval, carried back from ``scale``; no interval where seeds were lost."""
    back = BACK[scale]
    note = f"{left_out} replicates without a partner or a finite value left out" if left_out else ""
    if cells_TS.size == 0:
        return Measured(math.nan, math.nan, math.nan, False, 0, evidence, lost or "no finite value")
    value = back(cells_TS.mean())
    if lost:
        return Measured(value, math.nan, math.nan, False, cells_TS.size, evidence, lost)
    if drawn and cells_TS.shape[1] < 2:
        why = "one seed gives no interval over seeds"
        reason, axes = f"{why}; {note}".rstrip("; "), (Axis("seeds", 1),)
        return Measured(value, math.nan, math.nan, False, cells_TS.size, evidence, reason, axes, scale)
    if cells_TS.size < 2:
        why = "one measurement gives no interval"
        return Measured(value, math.nan, math.nan, False, 1, evidence, f"{why}; {note}".rstrip("; "))
    low, high = (back(end) for end in crosswise_interval(cells_TS, generator(0, "claims", name)))
    return Measured(value, low, high, False, cells_TS.size, evidence, note, _axes(cells_TS), scale)


def _axes(cells_TS: Floats) -> tuple[Axis, ...]:
    """Configs and seeds, where there are several of either."""
    means = {"configs": cells_TS.mean(axis=1), "seeds": cells_TS.mean(axis=0)}
    return tuple(Axis(unit, len(x), float(x.std(ddof=1))) for unit, x in means.items() if len(x) > 1)


def _exact(values: pd.Series, evidence: str, back: Back = float) -> Measured:
    """The mean of figures without sampling error; infinite ones (a solver that never arrives) count."""
    known = values.dropna()
    value = back(float(known.mean())) if len(known) else math.nan
    return Measured(value, value, value, True, len(known), evidence)


def _log(values: pd.Series) -> pd.Series:
    return np.log(values.where(values > 0))


def measure(claim: Claim, folder: Folder) -> Measured:
    """Evaluate a claim's quantity; the claim's id is its bootstrap stream.

    Raises:
        Missing: a file or rows of it are not there.
    """
    match claim.quantity:
        case Select(query=query):
            return over_windows(folder, single(folder, query, claim.id), query).within(query.bounds)
        case Ratio(ratio=(Select(query=a), Select(query=b))):
            return over_windows(folder, paired(folder, a, b, "ratio", claim.id), a, b)
        case Percent(percent=(Select(query=a), Select(query=b))):
            return over_windows(folder, paired(folder, a, b, "percent", claim.id), a, b)
        case Difference(difference=(Select(query=a), Select(query=b))):
            return over_windows(folder, paired(folder, a, b, "difference", claim.id), a, b)
        case Trend(trend=along) if isinstance(along.of, Select):
            return trend(folder, along.of.query, along.x, claim.id).within((-1, 1))
        case Arithmetic(arithmetic=name, of=arguments) if claim.compute:
            result = claim.compute()
            shown = ", ".join(f"{key}={_short(value)}" for key, value in arguments.items())
            evidence = f"arithmetic: {name}({shown})"
            return Measured(result.value, result.low, result.high, True, 1, evidence)
    raise AssertionError(f"{claim.id}: a quantity that was not resolved")


def over_windows(folder: Folder, found: Measured, *sides: Query) -> Measured:
    """A measurement whose interval also covers the test windows that its queries' rows were scored on.

    The half-widths of the rows' own intervals are added in quadrature to the half-width over seeds. Two sides
    are taken as independent, although sharing their windows would make the interval narrower.
    """
    halves = [_window_halves(folder, side, found.scale) if side.windows else (0.0, 0.0) for side in sides]
    # What reaches down on the second side reaches up in the comparison.
    down = math.hypot(*(half[place] for place, half in enumerate(halves)))
    up = math.hypot(*(half[1 - place] for place, half in enumerate(halves)))
    if found.exact or math.isnan(found.low) or not down + up > 0:
        return found
    forward, back = FORWARD[found.scale], BACK[found.scale]
    middle = forward(found.value)
    low = back(middle - math.hypot(middle - forward(found.low), down))
    high = back(middle + math.hypot(forward(found.high) - middle, up))
    return replace(found, low=low, high=high, windows=max(down, up))


def _window_halves(folder: Folder, query: Query, scale: str) -> tuple[float, float]:
    """Half-widths of the interval over windows, down and up, means over seeds; 0 where rows have none."""
    metric = query.where.get("metric")
    try:
        ends = [
            select(folder, replace(query, where={**query.where, "metric": f"{metric}{ending}"}))[0].mean()
            for ending in ("_low", "", "_high")
        ]
    except Missing:
        return 0.0, 0.0
    low, middle, high = map(FORWARD[scale], ends)
    return (middle - low, high - middle) if math.isfinite(high - low) else (0.0, 0.0)


def _short(value: object) -> str:
    text = str(value).replace("'", "")
    return text if len(text) <= 80 else f"{text[:77]}..."


def single(folder: Folder, query: Query, name: str) -> Measured:
    """Mean (or geometric mean) of one query with its interval."""
    if query.interval:
        return precomputed(folder, query)
    values, evidence = select(folder, query)
    geometric = query.reduce == "gmean"
    moved = _log(values) if geometric else values
    finite = moved[np.isfinite(moved)]
    back: Back = math.exp if geometric else float
    lost = _lost(folder, moved, query)
    if query.exact and not lost:
        return _exact(moved, evidence, back)
    cells, drawn = _square(finite)
    lost = lost or _lost_tasks(moved)
    scale = "ratio" if geometric else "difference"
    return _estimate(cells, drawn, name, evidence, scale, len(values) - len(finite), lost)


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


def paired(folder: Folder, a: Query, b: Query, kind: str, name: str) -> Measured:
    """Ratio, percentage or difference of two queries, paired by replicate.

    ``ratio`` and ``percent`` are of geometric means, ``difference`` is of means. Two exact sides make an
    exact comparison.
    """
    if a.interval and b.interval:
        return two_rows(precomputed(folder, a), precomputed(folder, b), kind)
    left, first = select(folder, a)
    right, second = select(folder, b)
    joined = _join(left, right)
    evidence = f"{first} against {second}"
    if joined.empty:
        raise Missing(b.file, "shares no task and seed with the other side")
    moved = joined if kind == "difference" else joined.apply(_log)
    cells = moved["a"] - moved["b"]
    finite = cells[np.isfinite(cells)]
    left_out = max(len(left), len(right)) - len(finite)
    square, drawn = _square(finite)
    lost = _lost(folder, cells, a, b)
    if a.exact and b.exact and not lost:
        return _exact(cells, evidence, BACK[kind])
    found = _estimate(square, drawn, name, evidence, kind, max(0, left_out), lost or _lost_tasks(cells))
    if square.size and not square.any() and not math.isnan(found.low):
        return replace(found, same=True, note=_SAME)
    return found


def trend(folder: Folder, query: Query, x: str, name: str) -> Measured:
    """Spearman's rank correlation of the value with column ``x``, averaged over replicates.

    A run that was ended early has the trend of the steps that it took.
    """
    if query.interval:
        return trend_of_rows(folder, query, x, name)
    rows, _ = rows_of(folder, query, x)
    over = [column for column in replicates(query, rows) if column != x]
    values, evidence = select(folder, replace(query, over=(*over, x)))
    table = values.unstack(x) if over else values.to_frame().T
    table = table.loc[:, np.isfinite(table.columns.to_numpy(float))].sort_index(axis=1)
    levels = table.columns.to_numpy(float)
    found = pd.Series([_rank_correlation(levels, row) for row in table.to_numpy(float)], table.index)
    if not np.isfinite(found).any():
        raise Missing(
            query.file, f"has fewer than {LEAST_POINTS} finite values over '{x}', too few for a trend"
        )
    evidence = f"{evidence}, rank correlation with {x}"
    lost = _lost(folder, found, replace(query, pick="first"))
    if query.exact and not lost:
        return _exact(found, evidence)
    square, drawn = _square(found[np.isfinite(found)])
    return _estimate(square, drawn, name, evidence, lost=lost or _lost_tasks(found))


def _rank_correlation(levels: Floats, values: Floats) -> float:
    """Spearman's correlation over the finite values; NaN for too few, 0 where nothing varies."""
    from scipy.stats import spearmanr

    finite = np.isfinite(values)
    if finite.sum() < LEAST_POINTS:
        return math.nan
    if np.ptp(values[finite]) == 0:
        return 0.0
    return float(spearmanr(levels[finite], values[finite]).statistic)
