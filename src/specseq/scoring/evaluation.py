"""What is scored at once: a config of GIFT-Eval or a task of FEV-Bench, with its windows and its metrics.

Legend: B windows, H horizon.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Forecaster, Query
from specseq.models.windows import WindowForecaster, Windows
from specseq.scoring import fev, gift_eval, gift_metrics
from specseq.scoring.fev_tasks import Task, official_tasks, read_tasks
from specseq.scoring.forecasting import forecast
from specseq.scoring.metrics import WindowSums, window_sums
from specseq.series.hub import check_finished
from specseq.tables import digest

# Forecast points at once: the naive forecasters make whole blocks in one go, a model forecasts in batches of
# its own, and smaller blocks show its progress.
_POINTS, _MODEL_POINTS = 2_000_000, 200_000

Window = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Windows that are scored together.

    Attributes:
        windows: B windows.
        target: number of the target column they belong to (FEV-Bench; 0 otherwise).
        window: evaluation window ``[B]`` each belongs to (FEV-Bench; empty otherwise).
        begins: where the series of each begins in the buffer ``[B]``; its context may begin later.
    """

    windows: Windows
    target: int
    window: Window
    begins: NDArray[np.int64]


class Metrics(Protocol):
    """Pools window sums into a benchmark's metrics."""

    def add(self, batch: Batch, sums: WindowSums) -> None:
        """Add a batch."""

    def values(self) -> dict[str, float]:
        """The metrics by their published column names."""


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

    def metrics(self) -> Metrics:
        """An empty pool."""

    def scales(self, batch: Batch) -> NDArray[np.float64]:
        """What errors of each window are divided by in MASE, ``[B]``; NaN for none."""

    def settings(self) -> dict[str, Any]:
        """What decides the numbers beside the forecaster, known before any value is read.

        Its last entry, ``files``, tells the data files from others of the same names.
        """

    def facts(self) -> dict[str, Any]:
        """What a result row says of the data: series, windows, seasonality, ..."""

    def close(self) -> None:
        """Let go of data held in memory."""


@dataclass
class _GiftPool:
    season_length: int
    pool: gift_metrics.GiftMetrics

    def add(self, batch: Batch, sums: WindowSums) -> None:
        self.pool.add(sums, gift_metrics.seasonal_scales(batch.windows, self.season_length))

    def values(self) -> dict[str, float]:
        return {f"eval_metrics/{name}": value for name, value in self.pool.values().items()}


@dataclass(frozen=True)
class GiftEvaluation:
    """A config of GIFT-Eval.

    Attributes:
        data: its data set.
        config: its row of the benchmark.
        ahead: steps by which another of the terms that are evaluated begins to test earlier than this one.
    """

    data: gift_eval.DataSet
    config: gift_eval.Config
    ahead: int = 0

    @property
    def name(self) -> str:
        """``key/freq/term``."""
        return self.config.name

    @property
    def points(self) -> int:
        """Series x variates x windows x horizon."""
        return self.config.points

    @property
    def query(self) -> Query:
        """What each window asks."""
        return self.config.query

    def batches(self, points: int) -> Iterator[Batch]:
        """All windows, series by series."""
        for windows in self.data.windows(self.config):
            for block in windows.blocks(points):
                yield Batch(block, 0, np.zeros(0, dtype=np.int64), block.starts)

    def metrics(self) -> Metrics:
        """An empty pool of the eleven metrics."""
        return _GiftPool(self.config.season_length, gift_metrics.GiftMetrics())

    def scales(self, batch: Batch) -> NDArray[np.float64]:
        """Seasonal errors of the contexts, ``[B]``."""
        return gift_metrics.seasonal_scales(batch.windows, self.config.season_length)

    def settings(self) -> dict[str, Any]:
        """:meth:`facts`, which are known when a folder is open, and the shards."""
        return {**self.facts(), "files": _files({block.shard for block in self.data.blocks})}

    def facts(self) -> dict[str, Any]:
        """What a result row says of the config."""
        config = self.config
        return {
            "config": config.name,
            "domain": config.domain,
            "term": config.term,
            "freq": config.query.freq,
            "num_variates": config.variates,
            "series": config.series,
            "windows": config.windows,
            "prediction_length": config.horizon,
            "seasonality": config.season_length,
        }

    def close(self) -> None:
        """Nothing to let go of: the data are mapped."""


@dataclass
class _FevPool:
    season_length: int
    pool: fev.FevMetrics

    def add(self, batch: Batch, sums: WindowSums) -> None:
        scales = fev.seasonal_scales(batch.windows, self.season_length)
        self.pool.add(batch.target, batch.window, sums, scales)

    def values(self) -> dict[str, float]:
        return self.pool.values()


class FevEvaluation:
    """A task of FEV-Bench; its data are read when they are first needed.

    Args:
        root: folder of ``<dataset>/*.parquet``.
        task: the task.
    """

    def __init__(self, root: str | Path, task: Task) -> None:
        self.root, self.task = root, task

    @cached_property
    def data(self) -> fev.TaskData:
        """The task's data."""
        return fev.open_task(self.root, self.task)

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.name

    @property
    def points(self) -> int:
        """Forecasts x horizon; of a published task without reading its data."""
        if self.task.forecasts is not None:
            return self.task.forecasts * self.task.horizon
        return self.data.points

    @property
    def query(self) -> Query:
        """What each window asks."""
        return self.data.query

    @property
    def ahead(self) -> int:
        """0: the benchmark's tasks on one data set begin to test at the same step."""
        return 0

    def batches(self, points: int) -> Iterator[Batch]:
        """All forecasts, target column by target column."""
        for target, (windows, window, begins) in enumerate(self.data.windows()):
            first = 0
            for block in windows.blocks(points):
                rows = slice(first, first + len(block))
                yield Batch(block, target, window[rows], begins[rows])
                first += len(block)

    def metrics(self) -> Metrics:
        """An empty pool of the four metrics."""
        return _FevPool(self.task.season_length, fev.FevMetrics(len(self.task.targets), self.task.windows))

    def scales(self, batch: Batch) -> NDArray[np.float64]:
        """Seasonal errors of the contexts, ``[B]``."""
        return fev.seasonal_scales(batch.windows, self.task.season_length)

    def settings(self) -> dict[str, Any]:
        """All of the task, and its Parquet files."""
        return {**asdict(self.task), "files": _files((Path(self.root) / self.task.dataset).glob("*.parquet"))}

    def facts(self) -> dict[str, Any]:
        """What a result row says of the task."""
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

    def close(self) -> None:
        """Let go of the data; they are read again when needed."""
        self.__dict__.pop("data", None)


def _files(paths: Iterable[Path]) -> str:
    """A digest of the names, sizes and times of change of data files: reading them takes too long."""
    stats = {path.name: path.stat() for path in paths}
    return digest({name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()})


def score(
    evaluation: Evaluation, forecaster: Forecaster, report: Callable[[int], None] = lambda points: None
) -> dict[str, float]:
    """Forecast every window and pool the metrics.

    Args:
        evaluation: the config or task.
        forecaster: who forecasts.
        report: called after each batch with its number of forecast points.

    Raises:
        InputError: a forecast is missing, not finite or out of order.
    """
    metrics = evaluation.metrics()
    for batch in batches_for(evaluation, forecaster):
        quantiles = forecast(forecaster, batch.windows, evaluation.query, evaluation.name)
        metrics.add(batch, window_sums(batch.windows.targets(), quantiles))
        report(len(batch.windows) * evaluation.query.horizon)
    return metrics.values()


def batches_for(evaluation: Evaluation, forecaster: Forecaster) -> Iterator[Batch]:
    """The evaluation's windows in batches of a size that suits the forecaster."""
    return evaluation.batches(_POINTS if isinstance(forecaster, WindowForecaster) else _MODEL_POINTS)


def gift_evaluations(
    root: str | Path, terms: Sequence[str] = tuple(gift_eval.TERMS), only: Sequence[str] = ()
) -> list[Evaluation]:
    """Every config of the data sets below ``root``, short terms first within a data set.

    Raises:
        InputError: a term is unknown, nothing is found, the download is unfinished, data differ from the
            published config, or two folders go by one name.
    """
    check_finished(root)
    for term in terms:
        if term not in gift_eval.TERMS:
            raise InputError("terms", f"unknown term {term!r}", f"there are {', '.join(gift_eval.TERMS)}")
    found: dict[str, GiftEvaluation] = {}
    for data in gift_eval.find_datasets(root, only):
        configs = [data.config(term) for term in gift_eval.TERMS if term in terms and data.offers(term)]
        tested = max((config.windows * config.horizon for config in configs), default=0)
        for config in configs:
            made = GiftEvaluation(data, config, tested - config.windows * config.horizon)
            if other := found.get(made.name):
                fault = f"folders {other.data.folder} and {data.folder} both go by {made.name}"
                raise InputError(root, fault, "rename one of them")
            found[made.name] = made
    if not found:
        raise InputError(root, f"no config of the terms {', '.join(terms)}", "ask for more terms")
    return list(found.values())


def fev_evaluations(
    root: str | Path, tasks: str | Path | None = None, only: Sequence[str] = ()
) -> list[Evaluation]:
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
    wanted: list[Task] = []
    for name in only:
        matching = [task for task in known.values() if name in (task.name, task.dataset)]
        if not matching:
            raise InputError(name, "no such task", "see tasks.yaml for the names")
        wanted += matching
    if not only:
        wanted = [task for task in known.values() if (Path(root) / task.dataset).is_dir()]
    if not wanted:
        raise InputError(root, f"holds data of none of the {len(known)} tasks", "download them first")
    return [FevEvaluation(root, task) for task in dict.fromkeys(wanted)]
