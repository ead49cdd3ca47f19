"""FEV-Bench: its Parquet data, windows and four metrics.

Unlike GIFT-Eval each metric is a mean over windows of a mean over target columns of a mean over items and
steps. Source: Shchur et al. 2025, arXiv:2509.26468, and the package ``fev``.

Shapes: N items, W evaluation windows, B forecasts of one target column.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.models.windows import Windows
from specseq.progress import say_left_out
from specseq.scoring.evaluation import Batch, Evaluation, WindowKeys
from specseq.scoring.fev_tasks import EPSILON, Task, lengths_digest, official_tasks, read_tasks
from specseq.scoring.fev_times import Stamps, common_frequency, window_cuts
from specseq.scoring.metrics import (
    LEVELS,
    Totals,
    mase,
    scaled_quantile_loss,
    seasonal_error,
    wape,
    weighted_quantile_loss,
)
from specseq.series.frequency import parse_frequency
from specseq.series.hub import check_finished
from specseq.settings import near
from specseq.tables.arrays import is_list

_LIKE_PARQUET = (".parquet", ".parquet.gz", ".parquet.zip", ".parquet.zst", ".pq")


@dataclass(frozen=True)
class TaskData:
    """The data of one task; open it with :func:`open_task`.

    Attributes:
        table: id and target columns, rows sorted by id.
        freq: frequency alias of the first item's timestamps.
        cuts: int64 ``[N, W]``, length of each item's history in each window, or -1 where the item is left
            out of the window.
        lengths: int64 ``[N]``.
        stamps: the timestamps, in the order of the files.
        order: int64 ``[N]``, the place of each item in the files.
    """

    task: Task
    folder: Path
    table: pa.Table
    freq: str
    cuts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    stamps: Stamps
    order: NDArray[np.int64]

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.lengths)

    @property
    def forecasts(self) -> int:
        """Number of forecasts: items kept, summed over windows and target columns."""
        return int((self.cuts >= 0).sum()) * len(self.task.targets)

    @property
    def starts(self) -> NDArray[np.datetime64]:
        """datetime64 ``[N]``, each item's first timestamp; the files are read for it."""
        return self.stamps.firsts()[self.order]

    @cached_property
    def query(self) -> Query:
        """The query of every window of the task."""
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


def parquet_files(folder: Path) -> list[Path]:
    """The files ``*.parquet`` of a data set, sorted; names that begin with a dot are caches.

    Raises:
        InputError: one is a folder or a link to nothing, or others like them would be passed over.
    """
    files = sorted(folder.glob("*.parquet"))
    if odd := [path for path in files if not path.is_file()]:
        raise InputError(odd[0], "is not a file", "give the Parquet file of this name, or remove it")
    places = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path not in files]
    others = [
        place.as_posix()
        for place in places
        if place.name.lower().endswith(_LIKE_PARQUET) and not any(part[0] == "." for part in place.parts)
    ]
    if others:
        fault = f"{len(others)} of its Parquet files are not read, such as {others[0]}"
        raise InputError(folder, fault, "unpack them, and name them NAME.parquet in the folder itself")
    return files


def open_task(root: str | Path, task: Task) -> TaskData:
    """Read a task's data from ``<root>/<dataset>/*.parquet``.

    Raises:
        InputError: files or columns are missing, ids are missing or repeat, columns differ in length,
            timestamps are irregular or of several frequencies, no item is long enough, or there are fewer
            forecasts than the published result has.
    """
    folder = Path(root) / task.dataset
    files = parquet_files(folder)
    if not files:
        raise InputError(folder, "no Parquet files of this task", "download the data set")
    table, ids = _read(folder, files, task)
    order = sorted(range(len(ids)), key=lambda row: ids[row].encode())
    filed = _lengths(table.column(task.targets[0]))
    if order != list(range(len(ids))):
        table = table.take(order)
    lengths = _lengths(table.column(task.targets[0]))
    for target in task.targets[1:]:
        if not np.array_equal(lengths, _lengths(table.column(target))):
            raise InputError(folder, f"columns {task.targets[0]!r} and {target!r} differ in length")
    stamps = Stamps(folder, tuple(files), task.timestamp_column)
    freq = common_frequency(stamps, filed, order[0], ids, task.name)
    cuts = window_cuts(stamps, task, filed, freq)[order]
    cuts = np.where((cuts >= task.min_context_length) & (lengths[:, None] - cuts >= task.horizon), cuts, -1)
    if empty := [str(window) for window in range(task.windows) if not (cuts[:, window] >= 0).any()]:
        raise InputError(task.name, f"no item is long enough for window {', '.join(empty)}")
    data = TaskData(
        task, folder, table, parse_frequency(freq, str(folder)).alias, cuts, lengths, stamps, np.array(order)
    )
    if task.forecasts is not None and data.forecasts != task.forecasts:
        raise InputError(
            task.name,
            f"{data.forecasts} forecasts where the benchmark has {task.forecasts}",
            "the result would be partial; download the data set again",
        )
    _check_lengths(task, lengths)
    return data


def _check_lengths(task: Task, lengths: NDArray[np.int64]) -> None:
    """Refuse data whose items are not as long as the benchmark's, where that is known."""
    if task.steps is None:
        return
    fault = ""
    if int(lengths.sum()) != task.steps:
        fault = f"{int(lengths.sum())} steps in all items where the benchmark has {task.steps}"
    elif lengths_digest(lengths) != task.lengths:
        fault = "items differ in length from the benchmark's, though not all together"
    if fault:
        raise InputError(task.name, fault, "download the data set again")


def _read(folder: Path, files: list[Path], task: Task) -> tuple[pa.Table, list[str]]:
    """Target columns and ids of all files; targets are lists of doubles where the files differ in type."""
    columns = [task.id_column, *task.targets]
    tables = []
    try:
        for file in files:
            names = pq.read_schema(file).names
            if twice := [name for name in (*columns, task.timestamp_column) if names.count(name) > 1]:
                raise InputError(file, f"column {twice[0]!r} appears twice", "keep one")
            if missing := sorted({*columns, task.timestamp_column} - set(names)):
                raise InputError(file, f"column {missing[0]!r} is missing", near(missing[0], names))
            tables.append(pq.read_table(file, columns=columns))
        if not sum(len(table) for table in tables):
            raise InputError(folder, "holds no item", "download the data set again")
        for target in task.targets:
            kinds = {table.schema.field(target).type for table in tables}
            for kind in kinds:
                if not (is_list(kind) and _is_number(kind.value_type)):
                    raise InputError(
                        folder, f"column {target!r} is {kind}", "give a list of numbers per item"
                    )
            inner = kinds.pop().value_type if len(kinds) == 1 else pa.float64()
            tables = [_with_lists(table, target, pa.large_list(inner)) for table in tables]
        table = pa.concat_tables(tables, promote_options="permissive")
        ids = table.column(task.id_column).cast(pa.string()).to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(folder, f"unreadable Parquet ({error})", "download the data set again") from None
    if unnamed := ids.count(None):
        raise InputError(folder, f"{unnamed} of {len(ids)} items without an id", "give each one")
    if len(set(ids)) < len(ids):
        raise InputError(folder, f"{len(ids) - len(set(ids))} item ids appear twice", "keep each item once")
    return table, ids


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind) or pa.types.is_integer(kind)


def _with_lists(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, name, table.column(name).cast(kind))


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


class FevEvaluation(Evaluation):
    """A task of FEV-Bench; its data are read when they are first needed.

    Args:
        root: folder of ``<dataset>/*.parquet``.
    """

    _held = ("data",)

    def __init__(self, root: str | Path, task: Task) -> None:
        self.root, self.task = root, task

    @cached_property
    def data(self) -> TaskData:
        """The task's data."""
        return open_task(self.root, self.task)

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def points(self) -> int:
        """Forecasts x horizon; of a published task without reading its data."""
        forecasts = self.data.forecasts if self.task.forecasts is None else self.task.forecasts
        return forecasts * self.task.horizon

    @property
    def query(self) -> Query:
        return self.data.query

    def batches(self, points: int) -> Iterator[Batch]:
        """All forecasts, target column by target column."""
        before = 0
        for target, (windows, window, begins) in enumerate(self.data.windows()):
            whole = Batch(windows, begins, (np.full_like(window, target), window), before)
            before += len(windows)
            yield from whole.blocks(points)

    def keys(self) -> WindowKeys:
        """Series and window of each forecast: items by id, for each target column."""
        data, targets = self.data, self.task.targets
        item, window = np.nonzero(data.cuts >= 0)
        return WindowKeys(
            items=tuple(data.table.column(self.task.id_column).cast(pa.string()).to_pylist()),
            targets=targets,
            item=np.tile(item, len(targets)),
            target=np.repeat(np.arange(len(targets)), len(item)),
            window=np.tile(window, len(targets)),
            places=np.tile(data.cuts[item, window], len(targets)),
            starts=data.starts,
            freq=data.query.freq,
        )

    def totals(self) -> Totals:
        """Totals of a pool for each target column and evaluation window."""
        return Totals((len(self.task.targets), self.task.windows))

    def metrics(self, totals: Totals) -> dict[str, float]:
        """SQL, MASE, WAPE and WQL: means over target columns and windows."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return {
                "SQL": float(scaled_quantile_loss(totals).mean()),
                "MASE": float(mase(totals).mean()),
                "WAPE": float(wape(totals, EPSILON).mean()),
                "WQL": float(weighted_quantile_loss(totals, EPSILON).mean()),
            }

    def seasonal_errors(self, batch: Batch) -> NDArray[np.float64]:
        """Seasonal errors of the contexts, [B]."""
        return seasonal_error(batch.windows, self.task.season_length)

    def settings(self) -> dict[str, Any]:
        """All of the task."""
        return asdict(self.task)

    def files(self) -> list[Path]:
        """The Parquet files."""
        return parquet_files(Path(self.root) / self.task.dataset)

    def facts(self) -> dict[str, Any]:
        return {
            "task_name": self.task.name,
            "dataset_config": self.task.dataset,
            "num_variates": len(self.task.targets),
            "num_windows": self.task.windows,
            "horizon": self.task.horizon,
            "seasonality": self.task.season_length,
            "eval_metric": self.task.eval_metric,
            "freq": self.data.query.freq,
            "series": self.data.items,
            "num_forecasts": self.data.forecasts,
        }


def fev_evaluations(
    root: str | Path, tasks: str | Path | None = None, only: Sequence[str] = ()
) -> list[FevEvaluation]:
    """Every task whose data lie below ``root``.

    Args:
        root: folder of ``<dataset>/*.parquet``.
        tasks: a ``tasks.yaml``; where None, the one in ``root``, else the 100 tasks of the benchmark.
        only: names of tasks or data sets to keep; each must have its data.

    Raises:
        InputError: nothing is found, or the download is unfinished. Faulty data are found when they are read.
    """
    check_finished(root)
    if not Path(root).is_dir():
        raise InputError(root, "no such folder", "give the folder of <dataset>/*.parquet")
    beside = Path(root) / "tasks.yaml"
    known = read_tasks(tasks or beside) if tasks or beside.is_file() else official_tasks()
    chosen: list[Task] = []
    for name in only:
        matching = [task for task in known.values() if name in (task.name, task.dataset)]
        if not matching:
            names = dict.fromkeys(name for task in known.values() for name in (task.name, task.dataset))
            raise InputError(name, "no such task or data set", near(name, names))
        chosen += matching
    if not only:
        chosen = [task for task in known.values() if (Path(root) / task.dataset).is_dir()]
    if not chosen:
        raise InputError(root, f"holds data of none of the {len(known)} tasks", "download them first")
    if not only:
        _say_what_is_unused(Path(root), known.values(), chosen, given=known is not official_tasks())
    return [FevEvaluation(root, task) for task in dict.fromkeys(chosen)]


def _say_what_is_unused(root: Path, known: Iterable[Task], chosen: Sequence[Task], given: bool) -> None:
    """Name the tasks of a user's own list that have no data, and the data that no task is made of."""
    if given and (lacking := [task for task in known if task not in chosen]):
        first = f"{lacking[0].name} (folder {lacking[0].dataset})"
        say_left_out(f"{len(lacking)} tasks without data, such as {first}")
    used = {Path(task.dataset).parts[0] for task in known if Path(task.dataset).parts}
    folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    if idle := [path.name for path in folders if path.name not in used and any(path.glob("*.parquet"))]:
        say_left_out(f"{len(idle)} folders of no task, such as {idle[0]}")
