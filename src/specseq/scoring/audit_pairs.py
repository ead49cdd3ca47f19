"""Results beside one another: equal rows, near copies, rows put together from several models' metrics.

Shapes: M models, T tasks, K metrics.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

_EQUAL = 1e-5  # relative: float32 rounding
_NEAR = 2e-3  # relative, after a constant factor per metric
_MOST_ROUNDING = 0.05  # beyond this share of a value, agreement after rounding says nothing
_MOST_DECIMALS = 6
_FEW_ROWS = 5  # a pair with at least this many near rows is looked at in full
_MAIN_SOURCE = 0.05  # a model that equals at least this share of another's cells may be its source


@dataclass(frozen=True)
class Pair:
    """Two models with rows in common.

    Attributes:
        a, b: their numbers.
        rows: rows that agree in every metric.
        of: rows that both have.
        factor: median of a's errors over b's, [K]; ones where rows are equal outright.
    """

    a: int
    b: int
    rows: int
    of: int
    factor: Floats


def equal_pairs(table: Floats) -> tuple[list[Pair], Counts]:
    """Compare every pair of models.

    Args:
        table: ``[M, T, K]``, NaN where a model has no value.

    Returns:
        Every pair with rows that are equal in every metric, to float32 rounding; and ``[M, M]``, how many
        metrics of each pair are equal to ten times that precision.
    """
    pairs, cells = [], np.zeros((len(table), len(table)), np.int64)
    finite, size = np.isfinite(table), np.abs(table)
    for a in range(len(table) - 1):
        rest = slice(a + 1, None)
        with np.errstate(invalid="ignore"):
            apart = np.abs(table[a] - table[rest])
            same, precise = apart <= _EQUAL * size[rest], apart <= 0.1 * _EQUAL * size[rest]
        cells[a, rest] = cells[rest, a] = precise.sum(axis=(1, 2))
        both = finite[a] & finite[rest]
        shared = both.sum(axis=2) >= min(2, table.shape[2])
        counts, of = ((same | ~both).all(axis=2) & shared).sum(axis=1), shared.sum(axis=1)
        pairs += [
            Pair(a, a + 1 + int(b), int(counts[b]), int(of[b]), np.ones(table.shape[2]))
            for b in np.flatnonzero(counts)
        ]
    return pairs, cells


def near_pairs(table: Floats) -> list[Pair]:
    """Every pair with rows that are equal but for rounding, noise of 0.2 % or a constant factor per metric.

    Rows in which fewer than half of the metrics can be compared count as different; pairs with fewer than
    five near rows are not all listed.

    Args:
        table: ``[M, T, K]``, NaN where a model has no value.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(table > 0, table, np.nan))
        # Half a unit of the last decimal, relative to the value.
        rounding = 0.5 * _units(table)[:, None, :] / np.abs(table)
    pairs = []
    for a in range(len(table) - 1):
        # The first and the last metric alone leave few pairs to look at in full.
        few = [0, table.shape[2] - 1]
        rest = np.arange(a + 1, len(table))
        near, _, _ = _near_cells(
            logs[a][:, few], logs[rest][:, :, few], rounding[a][:, few], rounding[rest][:, :, few]
        )
        rest = rest[near.all(axis=2).sum(axis=1) >= _FEW_ROWS]
        near, telling, factor = _near_cells(logs[a], logs[rest], rounding[a], rounding[rest])
        enough = 2 * telling.sum(axis=2) >= table.shape[2]
        counts, of = (near.all(axis=2) & enough).sum(axis=1), enough.sum(axis=1)
        pairs += [
            Pair(a, int(rest[b]), int(counts[b]), int(of[b]), np.exp(factor[b]))
            for b in np.flatnonzero(counts)
        ]
    return pairs


def _near_cells(
    own: Floats, others: Floats, own_rounding: Floats, other_rounding: Floats
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]:
    """For one model's logs [T, K] and B others': which cells are near, which are telling; factors [B, K].

    A cell that is not telling counts as near.
    """
    apart = own - others
    factor = _medians(apart)
    allowed = _NEAR + own_rounding + other_rounding
    telling = np.isfinite(apart) & (allowed < _MOST_ROUNDING)
    return (np.abs(apart - factor[:, None, :]) <= allowed) | ~telling, telling, factor


def _units(table: Floats) -> Floats:
    """The unit of the last decimal that each model's metric is printed with, [M, K]; 0 for full precision."""
    units = np.zeros((table.shape[0], table.shape[2]))
    for decimals in range(_MOST_DECIMALS, -1, -1):
        same = np.isclose(table, np.round(table, decimals), rtol=1e-12, atol=0) | ~np.isfinite(table)
        units[same.all(axis=1)] = 10.0**-decimals
    return units


def _medians(values: Floats) -> Floats:
    """Median over tasks of ``[B, T, K]`` values, [B, K]; NaN is left out, 0 stands where nothing is left."""
    ordered = np.sort(values, axis=1)  # NaN last
    counts = np.isfinite(values).sum(axis=1)
    middle = np.take_along_axis(ordered, np.maximum(counts - 1, 0)[:, None, :] // 2, axis=1)[:, 0]
    return np.where(counts > 0, middle, 0.0)


def mosaics(table: Floats, equal_MM: Counts) -> Iterator[tuple[int, int, int, list[int]]]:
    """Models with rows put together metric by metric from others.

    A source is a model that equals at least one cell in twenty. A row counts if the source that explains most
    of its metrics leaves two or more to others. A choice between models, task by task, has no such row.

    Args:
        table: ``[M, T, K]``, NaN where a model has no value.
        equal_MM: how many of its cells are equal, see :func:`equal_pairs`.

    Yields:
        The number of the model, its rows that need two sources or more, its metrics that equal a source's,
        and the numbers of the sources, the largest first.
    """
    for model, own in enumerate(table):
        shares = equal_MM[model] / max(int(np.isfinite(own).sum()), 1)
        sources = [int(one) for one in np.argsort(-shares) if shares[one] >= _MAIN_SOURCE]
        if len(sources) < 2:
            continue
        cells = np.abs(table[sources] - own) <= 0.1 * _EQUAL * np.abs(own)
        explained, by_one = cells.any(axis=0).sum(axis=1), cells.sum(axis=2).max(axis=0)
        if rows := int((explained - by_one >= 2).sum()):
            yield model, rows, int(cells.any(axis=0).sum()), sources


def origins(
    pairs: Sequence[Pair], names: Sequence[str], references: frozenset[str]
) -> list[tuple[Pair, int, int]]:
    """Each pair with the numbers of the origin and of the other one.

    A reference is the origin; else the model that shares most rows with others, then the first by name.
    """
    degree: Counter[int] = Counter()
    for pair in pairs:
        degree.update({pair.a: pair.rows, pair.b: pair.rows})

    def standing(index: int) -> tuple[bool, int, str]:
        return names[index] not in references, -degree[index], names[index]

    return [(pair, *sorted((pair.a, pair.b), key=standing)) for pair in pairs]  # type: ignore[misc]
