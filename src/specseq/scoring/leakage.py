"""How much of what a benchmark tests on lies in a training corpus, judged by the values themselves.

A test point is leaked if a stretch of values around it, within its series and up to its last test window,
also occurs in the corpus (:mod:`specseq.series.stretches`). Earlier parts of a test series in the corpus are
its history, which any model may see: they are counted separately and are not leaks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.scoring.config import Benchmark
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.score import open_evaluations
from specseq.series.lotsa import leaked_keys
from specseq.series.store import Store, open_store
from specseq.series.stretches import WINDOW, Hashes, Stretches, telling, window_hashes
from specseq.settings import STRICT, Field
from specseq.settings import dataclass as settings_class
from specseq.tables import Provenance, write_parquet

# How many stretches of a history to look for; a corpus that holds the history has most of them.
_HISTORY = 64
_ALL_POINTS = 10**15


@settings_class(frozen=True, config=STRICT, kw_only=True)
class LeakageRequest:
    """Search of a corpus for the test points of a benchmark."""

    benchmark: Benchmark
    data: Path = Field(description="folder of the benchmark's data")
    corpus: Path = Field(description="store of the corpus, or its manifest.json")
    out: Path = Field(description="Parquet file to write")


@dataclass(frozen=True)
class _Tested:
    """A series up to the end of its last test window.

    Attributes:
        values: ``[T]``.
        points: places of its test points, those of each window.
        first: the first of them.
    """

    values: NDArray[np.floating]
    points: NDArray[np.int64]
    first: int

    @property
    def begin(self) -> int:
        """Start of the first stretch that may hold a test point."""
        return max(self.first - WINDOW + 1, 0)

    @property
    def tested(self) -> tuple[Hashes, NDArray[np.bool_]]:
        """The stretches from :attr:`begin` on, and which of them are telling."""
        values = self.values[self.begin :]
        return window_hashes(values), telling(values)

    @property
    def history(self) -> Hashes:
        """Some telling stretches before the first test point, spread evenly."""
        before = self.values[: self.first]
        count = len(before) - WINDOW + 1
        if count < 1:
            return np.zeros(0, np.uint64)
        begins = np.unique(np.linspace(0, count - 1, min(count, _HISTORY)).astype(np.int64))
        windows = [before[begin : begin + WINDOW] for begin in begins.tolist()]
        return np.concatenate([window_hashes(window)[telling(window)] for window in windows])

    def covered(self, windows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Mask of the test points that lie in a marked one of the stretches that :attr:`tested` gives."""
        sums = np.concatenate([[0], np.cumsum(windows)])
        place = self.points - self.begin
        return np.asarray(
            sums[np.minimum(place + 1, len(windows))] > sums[np.clip(place - WINDOW + 1, 0, len(windows))]
        )


def measure_leakage(request: LeakageRequest) -> pd.DataFrame:
    """Write and return the table of :func:`leakage` of a benchmark's data at hand.

    Raises:
        InputError: there is no store, no data, or they are damaged.
    """
    folder = request.corpus.parent if request.corpus.suffix else request.corpus
    store = open_store(folder)
    table = leakage(store, open_evaluations(request.benchmark, request.data))
    table.insert(0, "benchmark", request.benchmark)
    facts = {"benchmark": request.benchmark, "window": WINDOW}
    write_parquet(request.out, table, Provenance("leakage", facts))
    return table


def leakage(store: Store, evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Test points of each config or task that a corpus holds. Columns:

    - ``task``; ``series``, ``points``: scored series, and points of all of their test windows;
    - ``leaked_points``: those that lie in a stretch of the corpus; ``leaked_series``, the series that have
      one; ``leaked_from``, the sub-datasets that hold them;
    - ``untold_points``: those that cannot be judged, because values around them are too alike, such as runs
      of zeros, or the series is shorter than a stretch;
    - ``history_series``: series whose earlier parts the corpus holds, which is not a leak;
    - ``named``: whether the corpus has a sub-dataset that is named for the data set of GIFT-Eval: a prior,
      not a measurement.
    """
    stretches = Stretches(_looked_for(evaluations))
    stretches.look_through(store)
    named = leaked_keys(store.manifest)
    rows = []
    for evaluation in evaluations:
        parts = evaluation.name.split("/")
        prior = parts[0] in named or "_".join(parts[:2]) in named
        rows.append(
            {"task": evaluation.name, **_counts(evaluation, stretches, store.datasets), "named": prior}
        )
        evaluation.close()
    return pd.DataFrame(rows)


def _looked_for(evaluations: Sequence[Evaluation]) -> Iterator[Hashes]:
    for evaluation in evaluations:
        parts = [np.zeros(0, np.uint64)]
        for series in _series(evaluation):
            hashes, distinct = series.tested
            parts += [hashes[distinct], series.history]
        yield np.unique(np.concatenate(parts))
        evaluation.close()


def _counts(evaluation: Evaluation, stretches: Stretches, datasets: Sequence[str]) -> dict[str, Any]:
    count = dict.fromkeys(("series", "points", "leaked_series", "leaked_points"), 0)
    count |= {"untold_points": 0, "history_series": 0}
    holders: set[int] = set()
    for series in _series(evaluation):
        hashes, distinct = series.tested
        holder = np.where(distinct, stretches.holders(hashes), -1)
        leaked = series.covered(holder >= 0)
        holders |= set(holder[holder >= 0].tolist()) if leaked.any() else set()
        count["series"] += 1
        count["points"] += len(series.points)
        count["leaked_points"] += int(leaked.sum())
        count["leaked_series"] += bool(leaked.any())
        count["untold_points"] += int((~series.covered(distinct)).sum())
        count["history_series"] += bool((stretches.holders(series.history) >= 0).any())
    return {**count, "leaked_from": ", ".join(datasets[number] for number in sorted(holders))}


def _series(evaluation: Evaluation) -> Iterator[_Tested]:
    """The series of a config or task, each with all of its windows."""
    for batch in evaluation.batches(_ALL_POINTS):
        windows = batch.windows
        edges = [0, *(np.flatnonzero(np.diff(batch.begins)) + 1).tolist(), len(windows)]
        steps = np.arange(windows.horizon)
        for low, high in pairwise(edges):
            begin, cuts = int(batch.begins[low]), windows.cuts[low:high]
            values = windows.values[begin : int(cuts.max()) + windows.horizon]
            yield _Tested(values, (cuts[:, None] + steps - begin).ravel(), int(cuts.min()) - begin)
