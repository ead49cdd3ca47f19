"""FEV-Bench: its tasks, from the official ``tasks.yaml`` or the table of its 100 tasks.

Source: Shchur et al. 2025, arXiv:2509.26468, and the package ``fev``.
"""

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Strict

from specseq.errors import InputError
from specseq.scoring.metrics import LEVELS
from specseq.settings import Field, read
from specseq.settings import dataclass as settings_class
from specseq.yaml_files import read_yaml

METRICS = ("SQL", "MASE", "WAPE", "WQL")
EPSILON = 1.0
"""Smallest mean |y| that WAPE and WQL divide by."""
_EPSILONS = {"WAPE": EPSILON, "WQL": EPSILON}

# Numbers may be written as words or as 20.0, as fev takes them; true is not a number.
_LAX = ConfigDict(extra="forbid", allow_inf_nan=False)


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a whole number")
    return value


# Products of two of them fit 64 bits.
_MOST, _MOST_WINDOWS = 10**9, 10_000
Count = Annotated[int, BeforeValidator(_no_flag), Field(ge=1, le=_MOST)]
Index = Annotated[int, Strict(), Field(ge=-_MOST, le=_MOST)]


@settings_class(frozen=True, config=_LAX, kw_only=True)
class MetricFields:
    """A metric with its settings, as ``tasks.yaml`` writes it."""

    name: str
    epsilon: float = 0.0


@settings_class(frozen=True, config=_LAX, kw_only=True)
class TaskFields:
    """An entry of ``tasks.yaml``; what a forecaster of this package does not see is not used."""

    dataset_config: str
    task_name: str | None = None
    horizon: Count
    num_windows: Annotated[Count, Field(le=_MOST_WINDOWS)] = 1
    seasonality: Count = 1
    target: str | Annotated[tuple[str, ...], Field(min_length=1)] = "target"
    initial_cutoff: Index | str | None = None
    window_step_size: Annotated[Index, Field(ge=1)] | str | None = None
    min_context_length: Count = 1
    max_context_length: Count | None = None
    id_column: str = "id"
    timestamp_column: str = "timestamp"
    eval_metric: str | MetricFields = "SQL"
    extra_metrics: tuple[str | MetricFields, ...] = ()
    quantile_levels: tuple[float, ...] = LEVELS
    generate_univariate_targets_from: None = None
    dataset_path: str | None = None
    known_dynamic_columns: tuple[str, ...] = ()
    past_dynamic_columns: tuple[str, ...] = ()
    static_columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        targets = (self.target,) if isinstance(self.target, str) else self.target
        columns = Counter([self.id_column, self.timestamp_column, *targets])
        if twice := [name for name, count in columns.items() if count > 1]:
            fault = f"column {twice[0]!r} is named twice among id, timestamp and targets"
            raise InputError("target", fault, "name each column once")
        for metric in self.metrics:
            if metric.name not in METRICS or metric.epsilon != _EPSILONS.get(metric.name, 0.0):
                fault = f"{metric.name} with epsilon {metric.epsilon} is not scored here"
                raise InputError("eval_metric", fault, "SQL, MASE, WAPE(1) and WQL(1) are")
        if self.quantile_levels != LEVELS:
            raise InputError("quantile_levels", f"{list(self.quantile_levels)}", "use 0.1 to 0.9")
        if isinstance(self.window_step_size, str):
            _check_offset(self.window_step_size)
            if not isinstance(self.initial_cutoff, str):
                fault = f"{self.window_step_size!r} with a cutoff that is not a time"
                raise InputError("window_step_size", fault, "give whole steps for an index cutoff")
        if isinstance(self.initial_cutoff, str):
            _check_time(self.initial_cutoff)
        elif self.latest < (self.initial_cutoff or self.latest) < 0:
            fault = f"{self.initial_cutoff} leaves no horizon after the last window"
            raise InputError("initial_cutoff", fault, f"give {self.latest} or less")

    @property
    def metrics(self) -> list[MetricFields]:
        """The metrics, the one that decides first."""
        given = (self.eval_metric, *self.extra_metrics)
        return [MetricFields(name=one) if isinstance(one, str) else one for one in given]

    @property
    def step(self) -> int | str:
        """Distance between windows."""
        return self.horizon if self.window_step_size is None else self.window_step_size

    @property
    def latest(self) -> int:
        """The latest first cutoff, counted from the end, for steps that are an index."""
        step = self.step if isinstance(self.step, int) else self.horizon
        return -self.horizon - (self.num_windows - 1) * step


def _check_offset(step: str) -> None:
    import pandas as pd  # imported here: the published tasks step by numbers

    try:
        count = pd.tseries.frequencies.to_offset(step).n
    except ValueError:
        raise InputError(
            "window_step_size", f"{step!r} is not an offset", "give steps, or an offset like 7D"
        ) from None
    if count < 1:
        raise InputError("window_step_size", f"{step!r} does not go forward", "give a positive offset")


def _check_time(cutoff: str) -> None:
    import pandas as pd

    try:
        if pd.Timestamp(cutoff) is pd.NaT:
            raise ValueError
    except ValueError:
        raise InputError("initial_cutoff", f"{cutoff!r} is not a time", "for example 2024-01-31") from None


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: as published.
        dataset: folder of its Parquet files.
        horizon: steps to forecast.
        windows: evaluation windows.
        season_length: season of the scale in SQL and MASE.
        targets: target columns, sorted.
        initial_cutoff: end of the first window's history: an index as Python counts them, or a time.
        step: distance between windows, in steps or as a calendar offset.
        min_context_length: items with a shorter history are left out of a window.
        max_context_length: history is cut to this many values.
        id_column, timestamp_column: names of the columns.
        eval_metric: the metric that a result row gives as ``test_error``.
        forecasts: number of forecasts in the published result; None for a task outside the benchmark.
        steps: steps of all items of the published data; None where they are not known.
        lengths: digest of the lengths of the published items, see :func:`lengths_digest`.
    """

    name: str
    dataset: str
    horizon: int
    windows: int
    season_length: int
    targets: tuple[str, ...]
    initial_cutoff: int | str
    step: int | str
    min_context_length: int = 1
    max_context_length: int | None = None
    id_column: str = "id"
    timestamp_column: str = "timestamp"
    eval_metric: str = "SQL"
    forecasts: int | None = None
    steps: int | None = None
    lengths: str | None = None


def lengths_digest(lengths: NDArray[np.int64]) -> str:
    """A digest of the lengths of items, in the order of their ids."""
    return hashlib.sha256(lengths.astype("<i8").tobytes()).hexdigest()[:12]


@cache
def official_rows() -> list[dict[str, str]]:
    """The table of the 100 tasks of FEV-Bench."""
    text = resources.files("specseq.scoring").joinpath("fev_tasks.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


@cache
def official_tasks() -> dict[str, Task]:
    """The 100 tasks of FEV-Bench by name."""
    tasks = {}
    for row in official_rows():
        horizon, windows = int(row["horizon"]), int(row["windows"])
        tasks[row["task"]] = Task(
            name=row["task"],
            dataset=row["dataset"],
            horizon=horizon,
            windows=windows,
            season_length=int(row["season_length"]),
            targets=tuple(sorted(row["targets"].split("|"))),
            initial_cutoff=row["initial_cutoff"] or -horizon * windows,
            step=horizon,
            min_context_length=int(row["min_context_length"]),
            forecasts=int(row["forecasts"]),
            steps=int(row["steps"]) if row["steps"] else None,
            lengths=row["lengths"] or None,
        )
    return tasks


def read_tasks(path: str | Path) -> dict[str, Task]:
    """Tasks of a file in the layout of ``tasks.yaml``, by name.

    Raises:
        InputError: the file is missing or no such YAML, or a task asks for something that is not scored here.
    """
    if not Path(path).exists():
        raise InputError(path, "no such file", "give the benchmark's tasks.yaml")
    content = read_yaml(Path(path))
    entries = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(path, "field tasks is missing or empty", "give the benchmark's tasks.yaml")
    tasks: dict[str, Task] = {}
    for number, entry in enumerate(entries):
        task = _task(path, number, entry)
        if task.name in tasks:
            raise InputError(path, f"task '{task.name}' appears twice", "give each a task_name of its own")
        tasks[task.name] = task
    return tasks


def _task(path: str | Path, number: int, entry: Any) -> Task:
    named = entry.get("task_name") or entry.get("dataset_config") if isinstance(entry, dict) else None
    where = f"{path}: {named if isinstance(named, str) else f'tasks[{number}]'}"
    fields = read(TaskFields, entry, where)
    first = fields.latest if fields.initial_cutoff is None else fields.initial_cutoff
    task = Task(
        name=fields.task_name or fields.dataset_config,
        dataset=fields.dataset_config,
        horizon=fields.horizon,
        windows=fields.num_windows,
        season_length=fields.seasonality,
        targets=(fields.target,) if isinstance(fields.target, str) else tuple(sorted(fields.target)),
        initial_cutoff=first,
        step=fields.step,
        min_context_length=fields.min_context_length,
        max_context_length=fields.max_context_length,
        id_column=fields.id_column,
        timestamp_column=fields.timestamp_column,
        eval_metric=fields.metrics[0].name,
    )
    official = official_tasks().get(task.name)
    same = official and _shape(task) == _shape(official)
    if official is None or not same:
        return task
    return replace(task, forecasts=official.forecasts, steps=official.steps, lengths=official.lengths)


def _shape(task: Task) -> tuple[Any, ...]:
    return (task.dataset, task.horizon, task.windows, task.targets, task.min_context_length)
