"""What is scored at once: a config of GIFT-Eval or a task of FEV-Bench, with its windows and its metrics.

Shapes: B windows.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from specseq.models.protocol import Forecaster, Query
from specseq.models.windows import WindowForecaster, Windows
from specseq.scoring.metrics import Totals
from specseq.series.store import file_digest
from specseq.tables import digest

# Forecast points at once: naive forecasters take whole blocks in one go; a model forecasts in batches of its
# own, and smaller blocks show its progress.
_POINTS, MODEL_POINTS = 2_000_000, 200_000
_FINE_POINTS, _FINE_WINDOWS = 20_000, 256


@dataclass(frozen=True)
class Batch:
    """Windows that are scored together.

    Attributes:
        windows: B windows.
        begins: where the series of each begins in the buffer, [B]; its context may begin later.
        pool: the pool of each in the evaluation's totals: an index [B] for every axis of them.
        first: number of the first window among all of the evaluation.
    """

    windows: Windows
    begins: NDArray[np.int64]
    pool: tuple[NDArray[np.int64], ...] = ()
    first: int = 0

    def __getitem__(self, rows: slice) -> "Batch":
        first, _, _ = rows.indices(len(self.windows))
        pool = tuple(index[rows] for index in self.pool)
        return Batch(self.windows[rows], self.begins[rows], pool, self.first + first)

    def blocks(self, points: int) -> Iterator["Batch"]:
        """The same windows in batches of about ``points`` forecast points."""
        first = 0
        for block in self.windows.blocks(points):
            yield self[first : first + len(block)]
            first += len(block)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The number of each window among all of the evaluation, [B]."""
        return np.arange(self.first, self.first + len(self.windows))


@dataclass(frozen=True)
class WindowKeys:
    """Series and number of each of N windows, in the evaluation's order.

    Attributes:
        items: ids of the items.
        targets: names of the target variates.
        item, target, window: int64 [N], each window's place in ``items`` and ``targets``, and its number.
        places: int64 [N], steps of its series before its target.
        starts: datetime64 [len(items)], the time of each item's first step.
        freq: frequency alias.
    """

    items: tuple[str, ...]
    targets: tuple[str, ...]
    item: NDArray[np.int64]
    target: NDArray[np.int64]
    window: NDArray[np.int64]
    places: NDArray[np.int64]
    starts: NDArray[np.datetime64]
    freq: str

    def __len__(self) -> int:
        return len(self.item)

    def rows(
        self, item: NDArray[np.int64], target: NDArray[np.int64], window: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The number of the window of each item, target and window; -1 where there is none."""
        shape = (len(self.items), len(self.targets), int(self.window.max()) + 1)
        numbers = np.full(shape, -1, np.int64)
        numbers[self.item, self.target, self.window] = np.arange(len(self))
        inside = (window >= 0) & (window < shape[2])
        return np.where(inside, numbers[item, target, np.where(inside, window, 0)], -1)

    def label(self, row: int, step: int) -> str:
        """A step of a window in words."""
        target = f", target {self.targets[self.target[row]]}" if len(self.targets) > 1 else ""
        return f"item_id {self.items[self.item[row]]}{target}, window {self.window[row]}, step {step + 1}"


class Evaluation(ABC):
    """One config or task, ready to be scored; unless it says otherwise, its metrics pool all windows."""

    ahead: int = 0
    """Steps by which another evaluation of the same data begins to test earlier than this one."""
    _held: tuple[str, ...] = ()
    """Cached properties that hold data in memory."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the config or task, as published."""

    @property
    @abstractmethod
    def points(self) -> int:
        """Number of forecast points."""

    @property
    @abstractmethod
    def query(self) -> Query:
        """The query of each window."""

    @abstractmethod
    def batches(self, points: int) -> Iterator[Batch]:
        """All windows in batches of about ``points`` forecast points."""

    @abstractmethod
    def keys(self) -> WindowKeys:
        """Series and number of each window, in the order of :meth:`batches`."""

    @abstractmethod
    def metrics(self, totals: Totals) -> dict[str, float]:
        """The metrics by their published column names; NaN where nothing defines one."""

    @abstractmethod
    def files(self) -> list[Path]:
        """The data files."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Description of the data as in a published row: series, windows, seasonality, ..."""

    def totals(self) -> Totals:
        """Empty totals in the shape that the metrics are pooled in."""
        return Totals()

    def seasonal_errors(self, batch: Batch) -> NDArray[np.float64]:
        """Seasonal error of each window, the divisor in MASE, [B]; NaN for none."""
        return np.full(len(batch.windows), np.nan)

    def settings(self) -> dict[str, Any]:
        """Settings that decide the numbers beside forecaster and data; known before a value is read."""
        return self.facts()

    def close(self) -> None:
        """Release data held in memory; they are read again when needed."""
        for name in self._held:
            self.__dict__.pop(name, None)


@runtime_checkable
class Recorded(Protocol):
    """Forecasts that exist already, for the windows of evaluations."""

    def recorded(self, evaluation: Evaluation, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """Quantiles ``[len(rows), Q, H]`` of windows by their numbers in the evaluation's order."""


def content_digest(paths: Iterable[Path], root: Path | None = None) -> str:
    """A digest of names and contents of files, but not of their times; names are paths below ``root``."""
    named = {str(path.relative_to(root)) if root else path.name: path for path in paths}
    return digest({name: _sha256(path, path.stat().st_mtime_ns) for name, path in named.items()})


@lru_cache(maxsize=4096)
def _sha256(path: Path, changed: int) -> str:
    """A file's digest, computed once for all configs of a data set."""
    return file_digest(path)


def batches_for(evaluation: Evaluation, forecaster: Forecaster, *, fine: bool = False) -> Iterator[Batch]:
    """The evaluation's windows in batches of a size that suits the forecaster.

    Args:
        fine: whether work can stop between batches; those of a model, which is slow, are then smaller.
    """
    if isinstance(forecaster, WindowForecaster | Recorded):
        return evaluation.batches(_POINTS)
    few = max(_FINE_POINTS, _FINE_WINDOWS * evaluation.query.horizon)
    return evaluation.batches(min(few, MODEL_POINTS) if fine else MODEL_POINTS)
