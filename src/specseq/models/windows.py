"""Forecast windows over series that lie end to end in one buffer.

Many windows of a benchmark share a history. With windows as index ranges into one flat buffer, the history is
read only once: sums over all contexts cost one pass, whatever the number of windows.

Shapes: T values of the buffer, B windows, H horizon.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from specseq.models.protocol import Query

Flat = NDArray[np.floating]
Index = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Windows:
    """B windows with the same horizon.

    Attributes:
        values: float ``[T]``, the series end to end; NaN where a value is missing. May be memory-mapped.
        starts: int64 ``[B]``, index where the series of each window begins.
        cuts: int64 ``[B]``, index where its context ends and its target begins.
        horizon: steps H of every window; ``values[cut : cut + H]`` is the target.

    Windows of one series are adjacent, with cuts in ascending order.
    """

    values: Flat
    starts: Index
    cuts: Index
    horizon: int

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, rows: slice) -> "Windows":
        return Windows(self.values, self.starts[rows], self.cuts[rows], self.horizon)

    def contexts(self, limit: int | None = None) -> list[Flat]:
        """B views of the histories, each cut to its last ``limit`` values."""
        first = self.starts if limit is None else np.maximum(self.starts, self.cuts - limit)
        return [self.values[low:high] for low, high in zip(first.tolist(), self.cuts.tolist(), strict=True)]

    def targets(self) -> Values:
        """The true values of the horizons, float64 ``[B, H]``."""
        return self.values[self.cuts[:, None] + np.arange(self.horizon)].astype(np.float64)

    def local(self) -> "Windows":
        """The same windows over only the part of the buffer that they use."""
        if not len(self):
            return self
        low, high = int(self.starts.min()), int(self.cuts.max()) + self.horizon
        return Windows(self.values[low:high], self.starts - low, self.cuts - low, self.horizon)

    def blocks(self, points: int = 2_000_000, values: int = 4_000_000) -> Iterator["Windows"]:
        """Pieces of at most ``points`` forecast points, each over at most ``values`` of the buffer.

        A series that alone exceeds a bound gets its own pieces; all windows of a series longer than
        ``values`` stay together, so that it is read only once.
        """
        rows = max(points // self.horizon, 1)
        ends = np.append(
            np.flatnonzero(np.diff(self.starts)) + 1, len(self)
        )  # where the windows of a series end
        first = 0
        while first < len(self):
            reach = np.maximum.accumulate(self.cuts[first : first + rows]) - self.starts[first]
            count = int(np.searchsorted(reach, values, side="right"))
            if count < len(reach):
                whole = int(np.searchsorted(ends, first + max(count, 1), side="right"))
                last = ends[whole - 1] - first if whole else 0
                count = int(last) if last > 0 else int(ends[whole]) - first
            count = min(count, len(reach))
            yield self[first : first + count]
            first += count


@runtime_checkable
class WindowForecaster(Protocol):
    """A forecaster that reads windows directly from the buffer, to share work between them."""

    def forecast_windows(self, windows: Windows, query: Query) -> NDArray[np.floating]:
        """Quantiles ``[B, Q, H]``, non-decreasing along Q and finite."""


def range_sums(terms: NDArray[Any], low: Index, high: Index) -> Values:
    """Sum ``terms[low : high]`` for every window, in float64.

    Neighbouring windows with the same ``low`` and growing ``high`` are summed piecewise; each value is read
    once. Sums never mix ranges, so a small series next to a huge one keeps its digits.

    Args:
        low, high: ``[B]``; an empty or inverted range sums to zero.

    Returns:
        ``[B]``.
    """
    if not len(low):
        return np.zeros(0)
    high = np.maximum(high, low)
    follows = np.zeros(len(low), dtype=bool)
    follows[1:] = (low[1:] == low[:-1]) & (high[1:] >= high[:-1])
    begin = np.where(follows, np.concatenate([[0], high[:-1]]), low)
    edges = np.minimum(np.stack([begin, high], axis=1).ravel(), len(terms))
    values = terms.astype(np.float64, copy=False)
    if edges.max() == len(terms):
        # reduceat accepts no edge past the end.
        values = np.append(values, 0.0)
    sums = np.add.reduceat(values, edges)[::2]
    sums[begin >= high] = 0.0
    edges = np.append(np.flatnonzero(~follows), len(low))
    counts = np.diff(edges)
    if (counts > 1).sum() <= counts.max():
        for group in np.flatnonzero(counts > 1):
            part = sums[edges[group] : edges[group + 1]]
            np.cumsum(part, out=part)
        return sums
    position = np.arange(len(low)) - np.repeat(edges[:-1], counts)
    for step in range(1, int(counts.max())):
        rows = np.flatnonzero(position == step)
        sums[rows] += sums[rows - 1]
    return sums


def seasonal_means(windows: Windows, lags: Index, power: int) -> tuple[Values, Index]:
    """Mean of |y_t - y_{t-m}|^power over each whole context; pairs with a missing value are left out.

    Args:
        lags: int64 ``[B]``, the seasonal lag m of each window.

    Returns:
        The means, float64 ``[B]`` (NaN where no pair is complete), and the number of complete pairs.
    """
    part = windows.local()
    means, counts = np.full(len(windows), np.nan), np.zeros(len(windows), dtype=np.int64)
    values = part.values.astype(np.float64)
    finite = np.isfinite(values)
    complete = bool(finite.all())
    values = values if complete else np.where(finite, values, 0.0)
    for lag in np.unique(lags).tolist():
        rows = np.flatnonzero(lags == lag)
        low, high = part.starts[rows] + lag, part.cuts[rows]
        kept = max(len(values) - lag, 0)
        terms = np.zeros(len(values))
        difference = terms[lag:]
        np.subtract(values[lag:], values[:kept], out=difference)
        np.abs(difference, out=difference) if power == 1 else np.square(difference, out=difference)
        if complete:
            pairs = np.maximum(high - low, 0).astype(np.float64)
        else:
            paired = np.zeros(len(values), dtype=bool)
            paired[lag:] = finite[lag:] & finite[:kept]
            terms[~paired] = 0.0
            pairs = range_sums(paired, low, high)
        sums = range_sums(terms, low, high)
        with np.errstate(invalid="ignore"):
            means[rows] = np.divide(sums, pairs, out=np.full(len(rows), np.nan), where=pairs > 0)
        counts[rows] = pairs
    return means, counts


def carry_forward(windows: Windows, leading: str) -> tuple[Windows, NDArray[np.bool_]]:
    """Fill missing values with the last one seen before them.

    Args:
        leading: fill before a series' first value: ``first`` (that value) or ``zero``.

    Returns:
        The windows over a filled copy of their part of the buffer, and ``[B]`` whether a context holds no
        value at all (such contexts are zero throughout).
    """
    part = windows.local()
    values, starts, cuts = part.values, part.starts, part.cuts
    missing = ~np.isfinite(values)
    if not missing.any():
        return part, np.zeros(len(part), dtype=bool)
    position = np.arange(len(values))
    source = np.where(missing, 0, position)
    source[starts] = starts
    np.maximum.accumulate(source, out=source)
    filled = values[source]
    unknown = ~np.isfinite(filled)
    empty = unknown[cuts - 1]
    if leading == "first":
        after = np.where(missing, len(values), position)[::-1]
        after = np.minimum(np.minimum.accumulate(after)[::-1], len(values) - 1)
        filled[unknown] = values[after[unknown]]
        filled[~np.isfinite(filled)] = 0.0
    else:
        filled[unknown] = 0.0
    return Windows(filled, starts, cuts, part.horizon), empty
