"""FEV-Bench: its Parquet data, windows and four metrics.

Unlike GIFT-Eval each metric is a mean over windows of a mean over target columns of a mean over items and
steps. Source: Shchur et al. 2025, arXiv:2509.26468, and the package ``fev``.

Legend: N items, W windows, B forecasts of one column, Q quantile levels, H horizon.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.models.windows import Windows, seasonal_means
from specseq.scoring.fev_tasks import EPSILON, Task
from specseq.scoring.fev_times import Stamps, check_spacing, infer_frequency, window_cuts
from specseq.scoring.metrics import LEVELS, MEDIAN, WindowSums
from specseq.series.frequency import parse_frequency


@dataclass(frozen=True)
class TaskData:
    """The data of one task; open it with :func:`open_task`.

    Attributes:
        task: the task.
        folder: its folder.
        table: id and target columns, rows sorted by id.
        freq: frequency alias of the first item's timestamps.
        cuts: int64 ``[N, W]``, length of each item's history in each window, or -1 where the item is left
            out of the window.
        lengths: int64 ``[N]``.
    """

    task: Task
    folder: Path
    table: pa.Table
    freq: str
    cuts: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.lengths)

    @property
    def forecasts(self) -> int:
        """Number of forecasts: items kept, summed over windows and target columns."""
        return int((self.cuts >= 0).sum()) * len(self.task.targets)

    @property
    def points(self) -> int:
        """Forecast points."""
        return self.forecasts * self.task.horizon

    @cached_property
    def query(self) -> Query:
        """What every window of the task asks."""
        return Query(self.task.horizon, LEVELS, self.task.season_length, self.freq)

    def windows(self) -> Iterator[tuple[Windows, NDArray[np.int64], NDArray[np.int64]]]:
        """For each target column its forecasts, items in order.

        With them come the window ``[B]`` each belongs to, and where its series begins ``[B]``: before its
        context where the task cuts the history.
        """
        item, window = np.nonzero(self.cuts >= 0)
        for target in self.task.targets:
            values, starts = _flat(self.table.column(target))
            begins = firsts = starts[item]
            cuts = begins + self.cuts[item, window]
            if self.task.max_context_length is not None:
                firsts = np.maximum(begins, cuts - self.task.max_context_length)
            yield Windows(values, firsts, cuts, self.task.horizon), window, begins


def open_task(root: str | Path, task: Task) -> TaskData:
    """Read a task's data from ``<root>/<dataset>/*.parquet``.

    Raises:
        InputError: files or columns are missing, ids repeat, columns differ in length, timestamps are
            irregular or of several frequencies, no item is long enough, or there are fewer forecasts than the
            published result has.
    """
    folder = Path(root) / task.dataset
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise InputError(folder, "no Parquet files of this task", "download the data set")
    table = _read(folder, files, [task.id_column, *task.targets])
    for target in task.targets:
        kind = table.schema.field(target).type
        if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
            raise InputError(folder, f"column {target!r} is {kind}", "wanted is one list an item")
    ids = np.asarray(table.column(task.id_column).cast(pa.string()).to_pylist(), dtype=object)
    if len(set(ids)) < len(ids):
        raise InputError(folder, f"{len(ids) - len(set(ids))} item ids stand twice", "keep each item once")
    order = sorted(range(len(ids)), key=lambda row: str(ids[row]).encode())
    if order != list(range(len(ids))):
        table = table.take(order)
    lengths = _lengths(table.column(task.targets[0]))
    for target in task.targets[1:]:
        if not np.array_equal(lengths, _lengths(table.column(target))):
            raise InputError(folder, f"columns {task.targets[0]!r} and {target!r} differ in length")
    stamps = Stamps(folder, tuple(files), task.timestamp_column)
    freq, filed = infer_frequency(stamps, order[0]), np.empty_like(lengths)
    filed[order] = lengths
    check_spacing(stamps, filed, freq, task.name)
    cuts = window_cuts(stamps, task, filed, freq)[order]
    cuts = np.where((cuts >= task.min_context_length) & (lengths[:, None] - cuts >= task.horizon), cuts, -1)
    if empty := [str(window) for window in range(task.windows) if not (cuts[:, window] >= 0).any()]:
        raise InputError(task.name, f"no item is long enough for window {', '.join(empty)}")
    data = TaskData(task, folder, table, parse_frequency(freq, str(folder)).alias, cuts, lengths)
    if task.forecasts is not None and data.forecasts != task.forecasts:
        raise InputError(
            task.name,
            f"{data.forecasts} forecasts where the benchmark has {task.forecasts}",
            "a partial result is no result; download the data set again",
        )
    return data


def _read(folder: Path, files: list[Path], columns: list[str]) -> pa.Table:
    try:
        for file in files:
            if missing := sorted(set(columns) - set(pq.read_schema(file).names)):
                raise InputError(file, f"column {missing[0]!r} is missing", "download the data set again")
        return pa.concat_tables([pq.read_table(file, columns=columns) for file in files])
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
        raise InputError(folder, f"unreadable Parquet ({error})", "download the data set again") from None


def _lengths(column: pa.ChunkedArray) -> NDArray[np.int64]:
    lengths = pa.compute.list_value_length(column).fill_null(0)
    return lengths.to_numpy().astype(np.int64)


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """All values of a list column, float32 or float64 with NaN for null, and where each row begins."""
    values = pa.compute.list_flatten(column)
    flat = values.to_numpy() if isinstance(values, pa.ChunkedArray) else values.to_numpy(zero_copy_only=False)
    if flat.dtype not in (np.float32, np.float64):
        flat = flat.astype(np.float64)
    lengths = _lengths(column)
    return flat, np.cumsum(lengths) - lengths


def seasonal_scales(windows: Windows, season_length: int) -> NDArray[np.float64]:
    """Seasonal error of each history, ``[B]``: the mean of |y_t - y_{t-m}| over pairs that are known.

    NaN where no pair is known, the history is no longer than a season or the error is zero: such an item
    has no scaled error.
    """
    lags = np.full(len(windows), season_length, dtype=np.int64)
    scales, _ = seasonal_means(windows, lags, power=1)
    scales[scales == 0.0] = np.nan
    return scales


class FevMetrics:
    """Pools the forecasts of a task into its four metrics.

    Args:
        targets: number of target columns D.
        windows: number of windows W.
    """

    def __init__(self, targets: int, windows: int) -> None:
        shape, levels = (targets, windows), (targets, windows, len(LEVELS))
        self._observed, self._target, self._scaled_steps = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._pinball, self._scaled = np.zeros(levels), np.zeros(levels)

    def add(
        self, target: int, window: NDArray[np.int64], sums: WindowSums, scales: NDArray[np.float64]
    ) -> None:
        """Add forecasts of one target column, with the window and the scale ``[B]`` of each."""
        scaled = np.isfinite(scales)
        inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scaled)
        np.add.at(self._observed[target], window, sums.observed)
        np.add.at(self._target[target], window, sums.absolute_target)
        np.add.at(self._scaled_steps[target], window, sums.observed * scaled)
        np.add.at(self._pinball[target], window, sums.pinball)
        np.add.at(self._scaled[target], window, sums.pinball * inverse[:, None])

    def values(self) -> dict[str, float]:
        """SQL, MASE, WAPE and WQL; NaN where a window and column has nothing that defines one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            scaled = self._scaled / self._scaled_steps[..., None]
            scale = np.maximum(self._target / self._observed, EPSILON)
            relative = self._pinball / self._observed[..., None] / scale[..., None]
        return {
            "SQL": float(scaled.mean()),
            "MASE": float(scaled[..., MEDIAN].mean()),
            "WAPE": float(relative[..., MEDIAN].mean()),
            "WQL": float(relative.mean()),
        }
