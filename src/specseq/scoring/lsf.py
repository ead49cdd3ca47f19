"""Long-sequence forecasting: ETTh1, ETTh2, ETTm1, ETTm2, electricity and weather at four horizons.

Each variate is a series of its own, standardised by mean and deviation (of the population) of its training
part. Every window of the test part is scored, one step apart; its context is all that stands before it. MSE
and MAE are of the median and pool all windows, variates and steps. The splits are the usual ones: of ETT 12,
4 and 4 months of 30 days; of the others the first 70 % and the last 20 %. Source: Zhou et al. 2021 (Informer,
arXiv:2012.07436) and Wu et al. 2021 (Autoformer, arXiv:2106.13008).

Shapes: T steps, V variates, N windows.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.models.windows import Windows
from specseq.progress import say_left_out
from specseq.scoring import metrics
from specseq.scoring.evaluation import Batch, Evaluation, WindowKeys
from specseq.scoring.metrics import LEVELS, Totals
from specseq.series.frequency import parse_frequency
from specseq.settings import near

HORIZONS = (96, 192, 336, 720)
_MONTH = 30 * 24
_SECONDS = {"H": 3600, "15T": 900, "10T": 600}


@dataclass(frozen=True)
class LsfData:
    """A data set of the benchmark.

    Attributes:
        name: as published; its file is ``<name>.csv``.
        steps: rows of the published file.
        variates: columns beside ``date``.
        freq: frequency alias.
        regular: whether every row of the published file is a step after the one before.
    """

    name: str
    steps: int
    variates: int
    freq: str
    regular: bool = True

    @property
    def split(self) -> tuple[int, int, int]:
        """Steps of the training part, and where the test part begins and ends."""
        if self.name.startswith("ETT"):
            month = _MONTH * (4 if self.freq == "15T" else 1)
            return 12 * month, 16 * month, 20 * month
        return int(0.7 * self.steps), self.steps - int(0.2 * self.steps), self.steps


DATA = {
    data.name: data
    for data in (
        LsfData("ETTh1", 17420, 7, "H"),
        LsfData("ETTh2", 17420, 7, "H"),
        LsfData("ETTm1", 69680, 7, "15T"),
        LsfData("ETTm2", 69680, 7, "15T"),
        LsfData("electricity", 26304, 321, "H"),
        LsfData("weather", 52696, 21, "10T", regular=False),
    )
}


@dataclass(frozen=True)
class _Table:
    """Columns ``names``, standardised, float32 [V, T]; the time of the first row."""

    names: tuple[str, ...]
    values: NDArray[np.float32]
    start: np.datetime64


@lru_cache(maxsize=1)
def _read(path: Path, data: LsfData, changed: int) -> _Table:
    """Read a published file, last modified at ``changed``; once for all horizons, which are scored in turn.

    Raises:
        InputError: it is unreadable, or has other rows or columns, rows out of order, or values that are
            missing.
    """
    try:
        table = csv.read_csv(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(path, f"not a readable CSV ({error})", "download it again") from None
    names = [name for name in table.column_names if name != "date"]
    if "date" not in table.column_names:
        raise InputError(path, "column 'date' is missing", near("date", table.column_names))
    if twice := [name for name, count in Counter(table.column_names).items() if count > 1]:
        raise InputError(path, f"column {twice[0]!r} appears twice", "download it again")
    for found, wanted, what in (
        (table.num_rows, data.steps, "rows"),
        (len(names), data.variates, "columns beside date"),
    ):
        if found != wanted:
            raise InputError(path, f"{found} {what} where the benchmark has {wanted}", "download it again")
    try:
        columns = [table.column(name).cast(pa.float64()).to_numpy() for name in names]
        dates = table.column("date")
        if pa.types.is_integer(dates.type) or dates.null_count:
            raise pa.ArrowInvalid(f"column 'date' is {dates.type} with {dates.null_count} nulls")
        times = dates.cast(pa.timestamp("us")).to_numpy()
    except pa.ArrowException as error:
        raise InputError(
            path, f"holds values that are not numbers or dates ({error})", "download it again"
        ) from None
    values = np.stack(columns)
    if missing := int((~np.isfinite(values)).sum()):
        raise InputError(path, f"{missing} values are missing", "download it again")
    if data.regular:
        _check_times(path, data, times)
    train = values[:, : data.split[0]]
    spread = train.std(axis=1, keepdims=True)
    spread[spread == 0] = 1.0
    standardised = (values - train.mean(axis=1, keepdims=True)) / spread
    return _Table(tuple(names), standardised.astype(np.float32), times[0])


def _check_times(path: Path, data: LsfData, times: NDArray[np.datetime64]) -> None:
    step = np.timedelta64(_SECONDS[data.freq], "s")
    if len(odd := np.flatnonzero(np.diff(times) != step)):
        fault = f"{len(odd)} rows are not {data.freq} after the one before, e.g. row {odd[0] + 2}"
        raise InputError(path, fault, "sort them by date, or download it again")


class LsfEvaluation(Evaluation):
    """A data set at a horizon; its file is read when it is first needed."""

    def __init__(self, path: Path, data: LsfData, horizon: int) -> None:
        self.path, self.data, self.horizon = path, data, horizon
        _, first, last = data.split
        self._cuts = np.arange(first, last - horizon + 1)

    @property
    def table(self) -> _Table:
        """The file's content."""
        return _read(self.path, self.data, self.path.stat().st_mtime_ns)

    @property
    def name(self) -> str:
        """``<data set>/<horizon>``."""
        return f"{self.data.name}/{self.horizon}"

    @property
    def points(self) -> int:
        """Variates x windows x horizon."""
        return self.data.variates * len(self._cuts) * self.horizon

    @property
    def query(self) -> Query:
        """The query of each window; the season is a day."""
        frequency = parse_frequency(self.data.freq)
        return Query(self.horizon, LEVELS, frequency.season_length, self.data.freq)

    def batches(self, points: int) -> Iterator[Batch]:
        """All windows, variate by variate."""
        variates, steps = self.table.values.shape
        begins = np.repeat(np.arange(variates) * steps, len(self._cuts))
        cuts = begins + np.tile(self._cuts, variates)
        whole = Batch(Windows(self.table.values.ravel(), begins, cuts, self.horizon), begins)
        return whole.blocks(points)

    def keys(self) -> WindowKeys:
        """Variate and number of each window."""
        target, window = np.indices((self.data.variates, len(self._cuts))).reshape(2, -1)
        return WindowKeys(
            items=(self.data.name,),
            targets=self.table.names,
            item=np.zeros_like(target),
            target=target,
            window=window,
            places=self._cuts[window],
            starts=np.array([self.table.start]),
            freq=self.data.freq,
        )

    def metrics(self, totals: Totals) -> dict[str, float]:
        """MSE and MAE of the standardised series."""
        return {
            "MSE": float(metrics.mean_squared_error(totals)),
            "MAE": float(metrics.mean_absolute_error(totals)),
        }

    def facts(self) -> dict[str, Any]:
        """The task, its windows and its splits."""
        train, first, last = self.data.split
        return {
            "task": self.name,
            "freq": self.data.freq,
            "num_variates": self.data.variates,
            "windows": len(self._cuts),
            "prediction_length": self.horizon,
            "train_steps": train,
            "test_begin": first,
            "test_end": last,
        }

    def files(self) -> list[Path]:
        return [self.path]


def lsf_evaluations(root: str | Path, only: Sequence[str] = ()) -> list[LsfEvaluation]:
    """Every data set whose file lies below a folder, at every horizon.

    Args:
        root: folder of ``<name>.csv`` at any depth.
        only: data sets or tasks (``ETTh1`` or ``ETTh1/96``) to keep; each must be there.

    Raises:
        InputError: nothing is found, or a file twice.
    """
    if not Path(root).is_dir():
        raise InputError(root, "no such folder", "give the folder of ETTh1.csv, electricity.csv ...")
    found: dict[str, Path] = {}
    others: list[str] = []
    for path in sorted(Path(root).rglob("*")):
        if ".csv" not in path.name.lower():
            continue
        if path.suffix != ".csv" or path.stem not in DATA:
            others.append(path.name)
        elif path.stem in found:
            raise InputError(root, f"holds {found[path.stem]} and {path}", "keep one of them")
        else:
            found[path.stem] = path
    evaluations = {
        f"{name}/{horizon}": LsfEvaluation(path, DATA[name], horizon)
        for name, path in sorted(found.items())
        for horizon in HORIZONS
    }
    if not evaluations:
        raise InputError(root, "holds none of the data sets", f"expected any of {', '.join(DATA)} as .csv")
    if others and not only:
        say_left_out(f"{len(others)} files of no data set of the benchmark: {', '.join(others[:9])}")
    for name in only:
        if name not in {*evaluations, *found}:
            raise InputError(name, "no such data set or task", near(name, [*found, *evaluations]))
    return [one for name, one in evaluations.items() if not only or {name, one.data.name} & set(only)]
