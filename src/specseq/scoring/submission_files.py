"""Results as the leaderboards of GIFT-Eval and FEV-Bench take them, made from a file of scores.

GIFT-Eval: a folder with ``all_results.csv``, 97 rows of 15 columns, and ``config.json``. FEV-Bench: a CSV
file of 100 rows with the columns of fev's ``Task.evaluation_summary``. Both are complete or refused with the
count.
"""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from specseq.errors import InputError
from specseq.scoring.fev_tasks import METRICS, Task, official_rows, official_tasks
from specseq.scoring.gift_eval import METRICS as GIFT_METRICS
from specseq.scoring.gift_eval_data import reference
from specseq.scoring.metrics import LEVELS
from specseq.scoring.submissions import read_table
from specseq.settings import STRICT, Field, dataclass, near
from specseq.tables.files import atomic_path, write_text

Row = dict[str, Any]
FEV_VERSION = "0.10.0"
"""The version of fev that these scores are tested against."""
_REPOSITORY = "autogluon/fev_datasets"
_EXTRA = [name if name == "MASE" else {"name": name, "epsilon": 1.0} for name in METRICS[1:]]
_NO, _YES = "No", "Yes"


@dataclass(frozen=True, config=STRICT, kw_only=True)
class GiftEvalConfig:
    """The ``config.json`` of a submission to GIFT-Eval."""

    model: str = Field(pattern=r"^[^/\s][^/]*$", description="Name on the leaderboard.")
    model_type: Literal[
        "statistical", "deep-learning", "agentic", "pretrained", "fine-tuned", "zero-shot"
    ] = Field(description="zero-shot: trained on no data set of the benchmark.")
    model_dtype: str = Field(min_length=1, description="Precision, such as float32.")
    model_link: str = Field(description="Where the model is; empty for none.")
    code_link: str = Field(default="", description="Where the replication code is.")
    org: str = Field(min_length=1, description="Who submits.")
    testdata_leakage: Literal["Yes", "No"] = Field(description="Whether test data were trained on.")
    replication_code_available: Literal["Yes", "No"] = Field(description="Whether the code is public.")

    def __post_init__(self) -> None:
        for name in ("model_link", "code_link"):
            link = getattr(self, name)
            if link and not re.fullmatch(r"https?://\S+\.\S+", link):
                raise InputError(
                    name, f"{link!r} is not a link", "for example https://huggingface.co/org/model"
                )
        if self.model_type == "zero-shot" and self.testdata_leakage == _YES:
            fault = "is Yes for a zero-shot model"
            raise InputError("testdata_leakage", fault, "zero-shot models have not seen test data")
        if self.replication_code_available == _YES and not self.code_link:
            raise InputError("code_link", "is missing for code that is available", "give the link")


def write_gift_eval(scores: Path, config: GiftEvalConfig, folder: Path) -> list[Path]:
    """Write ``all_results.csv`` and ``config.json`` and name them.

    Args:
        scores: result of ``specseq score gift_eval``.

    Raises:
        InputError: rows of configs are missing or duplicated, were made from other data, or lack a number.
    """
    published = {config.name: config for config in reference().values()}
    rows = _rows(scores, "config", published, [f"eval_metrics/{name}" for name in GIFT_METRICS])
    made = []
    for name, facts in published.items():
        row = rows[name]
        for column, wanted in (
            ("num_variates", facts.variates),
            ("windows", facts.windows),
            ("series", facts.series),
        ):
            _check_fact(scores, name, row, column, wanted)
        metrics = {f"eval_metrics/{metric}": row[f"eval_metrics/{metric}"] for metric in GIFT_METRICS}
        about = {"domain": facts.domain, "num_variates": facts.variates}
        made.append({"dataset": name, "model": config.model, **metrics, **about})
    results, about_model = folder / "all_results.csv", folder / "config.json"
    _write_csv(results, made)
    write_text(about_model, json.dumps(asdict(config), indent=4) + "\n")
    return [results, about_model]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Declared:
    """Declaration about a task in a submission to FEV-Bench, besides its scores."""

    trained_on_this_dataset: bool
    training_time_s: float | None = Field(default=None, ge=0)
    inference_time_s: float | None = Field(default=None, ge=0)


def write_fev(scores: Path, model: str, declared: Mapping[str, Declared], folder: Path) -> Path:
    """Write ``<model>.csv``, a row per task as fev's leaderboard reads them, and name it.

    Args:
        scores: result of ``specseq score fev``.

    Raises:
        InputError: rows of tasks are missing or duplicated, were made from other tasks, or lack a number.
    """
    rows = _rows(scores, "task_name", official_tasks(), METRICS)
    made = []
    for name, task in official_tasks().items():
        row = rows[name]
        for column, wanted in (
            ("horizon", task.horizon),
            ("num_windows", task.windows),
            ("seasonality", task.season_length),
            ("num_forecasts", task.forecasts),
        ):
            _check_fact(scores, name, row, column, wanted)
        facts = {
            "test_error": row[task.eval_metric],
            **asdict(declared[name]),
            "num_forecasts": task.forecasts,
        }
        flag = facts.pop("trained_on_this_dataset")
        facts |= {"dataset_fingerprint": None, "trained_on_this_dataset": flag, "fev_version": FEV_VERSION}
        metrics = {metric: row[metric] for metric in METRICS}
        made.append({"model_name": model, **definition(task), **facts, **metrics})
    target = folder / f"{re.sub(r'[^a-z0-9]+', '-', model.lower()).strip('-') or 'model'}.csv"
    _write_csv(target, made)
    return target


def declare(names: Sequence[str]) -> dict[str, Declared]:
    """Every task of FEV-Bench; those named, or of the data sets named, are declared as trained on.

    Raises:
        InputError: there is no such task or data set.
    """
    tasks = official_tasks()
    known = {name for task in tasks.values() for name in (task.name, task.dataset)}
    for name in names:
        if name not in known:
            raise InputError("--trained-on", f"no task or data set '{name}'", near(name, sorted(known)))
    chosen = {task.name for task in tasks.values() if {task.name, task.dataset} & set(names)}
    return {name: Declared(trained_on_this_dataset=name in chosen) for name in tasks}


def definition(task: Task) -> Row:
    """The columns of a task's definition, as fev writes them."""
    row = next(row for row in official_rows() if row["task"] == task.name)
    known, past, static = (sorted(filter(None, row[kind].split("|"))) for kind in ("known", "past", "static"))
    cutoff = task.initial_cutoff
    return {
        "dataset_path": _REPOSITORY,
        "dataset_config": task.dataset,
        "horizon": task.horizon,
        "num_windows": task.windows,
        "initial_cutoff": f"{cutoff}T00:00:00" if isinstance(cutoff, str) and "T" not in cutoff else cutoff,
        "window_step_size": task.step,
        "min_context_length": task.min_context_length,
        "max_context_length": task.max_context_length,
        "seasonality": task.season_length,
        "eval_metric": task.eval_metric,
        "extra_metrics": _EXTRA,
        "quantile_levels": list(LEVELS),
        "id_column": task.id_column,
        "timestamp_column": task.timestamp_column,
        "target": task.targets[0] if len(task.targets) == 1 else list(task.targets),
        "generate_univariate_targets_from": None,
        "known_dynamic_columns": known,
        "past_dynamic_columns": past,
        "static_columns": static,
        "task_name": task.name,
    }


def _rows(scores: Path, column: str, names: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, Row]:
    """The rows of a file of scores by name, complete."""
    table = read_table(scores)
    for wanted in (column, *metrics):
        if wanted not in table.column_names:
            fault = f"column {wanted!r} is missing"
            raise InputError(scores, fault, "give the result of 'specseq score'")
    rows = table.to_pylist()
    counts = Counter(str(row[column]) for row in rows)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(scores, f"{len(twice)} rows appear twice, e.g. {twice[0]}", "keep one of each")
    if missing := [name for name in names if name not in counts]:
        fault = f"{len(names) - len(missing)} of {len(names)} rows, without e.g. {missing[0]}"
        raise InputError(scores, fault, "a submission is complete; score the rest")
    if other := [name for name in counts if name not in names]:
        raise InputError(
            scores, f"{len(other)} rows are not of the benchmark, e.g. {other[0]}", "leave them out"
        )
    for row in rows:
        for metric in metrics:
            if not isinstance(row[metric], float) or not math.isfinite(row[metric]):
                raise InputError(scores, f"{metric} of {row[column]} is {row[metric]}", "score it again")
    return {row[column]: row for row in rows}


def _check_fact(scores: Path, name: str, row: Row, column: str, wanted: int | None) -> None:
    if row.get(column) != wanted:
        fault = f"{column} of {name} is {row.get(column)} where the benchmark has {wanted}"
        raise InputError(scores, fault, "score the benchmark's own data and tasks")


def _write_csv(target: Path, rows: Sequence[Row]) -> None:
    with atomic_path(target) as path, path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
