"""What is scored at once: a config of GIFT-Eval or a task of FEV-Bench, with its windows and its metrics.

Shapes: B windows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specseq.models.protocol import Forecaster, Query
from specseq.models.windows import WindowForecaster, Windows
from specseq.scoring.metrics import Totals
from specseq.tables import digest

# Forecast points at once: the naive forecasters make whole blocks in one go, a model forecasts in batches of
# its own, and smaller blocks show its progress.
_POINTS, _MODEL_POINTS = 2_000_000, 200_000


@dataclass(frozen=True)
class Batch:
    """Windows that are scored together.

    Attributes:
        windows: B windows.
        begins: where the series of each begins in the buffer, [B]; its context may begin later.
        pool: the pool of each in the evaluation's totals: an index [B] for every axis of them.
    """

    windows: Windows
    begins: NDArray[np.int64]
    pool: tuple[NDArray[np.int64], ...] = ()

    def __getitem__(self, rows: slice) -> "Batch":
        return Batch(self.windows[rows], self.begins[rows], tuple(index[rows] for index in self.pool))


class Evaluation(Protocol):
    """One config or task, ready to be scored."""

    @property
    def name(self) -> str:
        """Name of the config or task, as published."""

    @property
    def points(self) -> int:
        """Number of forecast points."""

    @property
    def query(self) -> Query:
        """What each window asks."""

    @property
    def ahead(self) -> int:
        """Steps by which another evaluation of the same data begins to test earlier than this one."""

    def batches(self, points: int) -> Iterator[Batch]:
        """All windows in batches of about ``points`` forecast points."""

    def totals(self) -> Totals:
        """Empty totals in the shape that the metrics are pooled in."""

    def metrics(self, totals: Totals) -> dict[str, float]:
        """The metrics by their published column names; NaN where nothing defines one."""

    def seasonal_errors(self, batch: Batch) -> NDArray[np.float64]:
        """What errors of each window are divided by in MASE, [B]; NaN for none."""

    def settings(self) -> dict[str, Any]:
        """What decides the numbers beside the forecaster, known before any value is read.

        Its last entry, ``files``, tells the data files from others of the same names.
        """

    def facts(self) -> dict[str, Any]:
        """What a published row says of the data: series, windows, seasonality, ..."""

    def close(self) -> None:
        """Release data held in memory."""


def file_digest(paths: Iterable[Path]) -> str:
    """A digest of the names, sizes and times of change of data files: reading them takes too long."""
    stats = {path.name: path.stat() for path in paths}
    return digest({name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()})


def batches_for(evaluation: Evaluation, forecaster: Forecaster) -> Iterator[Batch]:
    """The evaluation's windows in batches of a size that suits the forecaster."""
    return evaluation.batches(_POINTS if isinstance(forecaster, WindowForecaster) else _MODEL_POINTS)
