"""FEV-Bench: its tasks, from the official ``tasks.yaml`` or the table of its 100 tasks.

Source: Shchur et al. 2025, arXiv:2509.26468, and the package ``fev``.
"""

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.scoring.metrics import LEVELS

METRICS = ("SQL", "MASE", "WAPE", "WQL")
EPSILON = 1.0
"""Smallest mean |y| that WAPE and WQL divide by."""

_SCORED = {
    "dataset_config",
    "task_name",
    "horizon",
    "num_windows",
    "seasonality",
    "target",
    "initial_cutoff",
    "window_step_size",
    "min_context_length",
    "max_context_length",
    "id_column",
    "timestamp_column",
}
_CHECKED = {"eval_metric", "extra_metrics", "quantile_levels"}
# Columns beside the targets; a forecaster of this package sees the targets alone.
_IGNORED = {"dataset_path", "known_dynamic_columns", "past_dynamic_columns", "static_columns"}


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
        max_context_length: history is cut to so many values.
        id_column, timestamp_column: names of the columns.
        eval_metric: the metric that a result row gives as ``test_error``.
        forecasts: number of forecasts in the published result; None for a task of other making.
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


@cache
def official_tasks() -> dict[str, Task]:
    """The 100 tasks of FEV-Bench by name."""
    text = resources.files("specseq.scoring").joinpath("fev_tasks.csv").read_text("utf-8")
    tasks = {}
    for row in csv.DictReader(text.splitlines()):
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
        )
    return tasks


def read_tasks(path: str | Path) -> dict[str, Task]:
    """Tasks of a file in the layout of ``tasks.yaml``, by name.

    Raises:
        InputError: the file is missing or no such YAML, or a task asks for something that is not scored here.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(Path(path).read_text("utf-8"), Loader=loader)
    except FileNotFoundError:
        raise InputError(path, "no such file", "give the benchmark's tasks.yaml") from None
    except yaml.YAMLError as error:
        raise InputError(path, f"not YAML ({error})", "give the benchmark's tasks.yaml") from None
    entries = content.get("tasks") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise InputError(path, "field tasks is missing or empty", "give the benchmark's tasks.yaml")
    tasks: dict[str, Task] = {}
    for entry in entries:
        task = _task(path, entry)
        if task.name in tasks:
            raise InputError(path, f"task '{task.name}' stands twice", "give each a task_name of its own")
        tasks[task.name] = task
    return tasks


def _task(path: str | Path, entry: Any) -> Task:
    name = entry.get("task_name", entry.get("dataset_config")) if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise InputError(path, f"a task has neither task_name nor dataset_config: {entry!r}")
    where = f"{path}: {name}"
    if unknown := sorted(set(entry) - _SCORED - _CHECKED - _IGNORED):
        raise InputError(where, f"field {', '.join(unknown)} is not scored here", "remove it")
    metrics = [entry.get("eval_metric", "SQL"), *entry.get("extra_metrics", ())]
    named = [metric if isinstance(metric, dict) else {"name": metric} for metric in metrics]
    for metric, fields in zip(metrics, named, strict=True):
        kind, epsilon = fields.get("name"), fields.get("epsilon", 0.0)
        if kind not in METRICS or epsilon != (EPSILON if kind in ("WAPE", "WQL") else 0.0):
            raise InputError(
                where, f"metric {metric!r} is not scored here", "SQL, MASE, WAPE(1) and WQL(1) are"
            )
    if tuple(entry.get("quantile_levels", LEVELS)) != LEVELS:
        raise InputError(where, f"quantile_levels {entry['quantile_levels']}", "wanted are 0.1 to 0.9")
    try:
        horizon, windows = int(entry["horizon"]), int(entry.get("num_windows", 1))
        step = entry.get("window_step_size", horizon)
        first = entry.get("initial_cutoff")
        if first is None:
            first = -horizon - (windows - 1) * int(step)
        target = entry.get("target", "target")
        official = official_tasks().get(name)
        task = Task(
            name=name,
            dataset=str(entry["dataset_config"]),
            horizon=horizon,
            windows=windows,
            season_length=int(entry.get("seasonality", 1)),
            targets=(target,) if isinstance(target, str) else tuple(sorted(map(str, target))),
            initial_cutoff=first if isinstance(first, int) else str(first),
            step=step if isinstance(step, int) else str(step),
            min_context_length=int(entry.get("min_context_length", 1)),
            max_context_length=entry.get("max_context_length"),
            id_column=str(entry.get("id_column", "id")),
            timestamp_column=str(entry.get("timestamp_column", "timestamp")),
            eval_metric=str(named[0]["name"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(where, f"field missing or not a number ({error})") from None
    if min(task.horizon, task.windows, task.season_length, task.min_context_length) < 1 or not task.targets:
        raise InputError(where, "horizon, num_windows, seasonality and min_context_length are at least 1")
    same = official and _shape(task) == _shape(official)
    return Task(**{**task.__dict__, "forecasts": official.forecasts}) if official and same else task


def _shape(task: Task) -> tuple[Any, ...]:
    return (task.dataset, task.horizon, task.windows, task.targets, task.min_context_length)
