"""Published result files, read by column name: one CSV or Parquet per submission, whatever else it carries.

Shapes: T tasks (configs), M models.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from specseq.errors import InputError

Floats = NDArray[np.float64]
Selection = slice | NDArray[np.bool_]


@dataclass(frozen=True)
class Benchmark:
    """Layout of a benchmark's published files.

    Attributes:
        name: ``gift_eval`` or ``fev``.
        task_columns: names of the task column; the first one present counts.
        model_column: column that names the model; None where the file's stem does.
        baseline: model by which errors are normalised.
        metrics: short name -> column.
        leakage_model: zero-shot model that stands in where a model was trained on the task's data.
        provenance: columns that describe the data scored, equal for all who scored the same.
    """

    name: str
    task_columns: tuple[str, ...]
    model_column: str | None
    baseline: str
    metrics: dict[str, str]
    leakage_model: str | None = None
    provenance: tuple[str, ...] = ()


_GIFT = ("MSE[mean]", "MSE[0.5]", "MAE[0.5]", "MASE[0.5]", "MAPE[0.5]", "sMAPE[0.5]", "MSIS")
GIFT_EVAL = Benchmark(
    name="gift_eval",
    task_columns=("dataset", "config"),
    model_column=None,
    baseline="seasonal_naive",
    metrics={
        **{name.removesuffix("[0.5]"): f"eval_metrics/{name}" for name in _GIFT},
        "RMSE": "eval_metrics/RMSE[mean]",
        "NRMSE": "eval_metrics/NRMSE[mean]",
        "ND": "eval_metrics/ND[0.5]",
        "CRPS": "eval_metrics/mean_weighted_sum_quantile_loss",
    },
)
FEV = Benchmark(
    name="fev",
    task_columns=("task_name", "config", "dataset_config"),
    model_column="model_name",
    baseline="Seasonal Naive",
    metrics={"SQL": "SQL", "MASE": "MASE", "WAPE": "WAPE", "WQL": "WQL"},
    leakage_model="Chronos-Bolt",
    provenance=("horizon", "num_windows", "seasonality", "num_forecasts"),
)
BENCHMARKS = {benchmark.name: benchmark for benchmark in (GIFT_EVAL, FEV)}
_TABLES = (".csv", ".csv.gz", ".csv.bz2", ".csv.zst", ".parquet")
_RESULTS = re.compile(r"(all[_-]?)?results?", re.IGNORECASE)
_BESIDE = re.compile(r"(readme|licen[cs]e).*|config\.json|.*\.(md|rst|ya?ml)", re.IGNORECASE)
_FLAG = "trained_on_this_dataset"
_FLAGS = {
    **dict.fromkeys(("true", "1", "1.0", "yes"), True),
    **dict.fromkeys(("false", "0", "0.0", "no"), False),
}
_LABELS = ("model", "domain", "num_variates", "context_length", "dataset_config", "target")


@dataclass(frozen=True)
class Submission:
    """One model's rows.

    Attributes:
        model: its name on the leaderboard.
        tasks: T task names, in the file's order.
        metrics: short name -> values [T]; NaN where the file has none.
        overlap: [T], True where the model says it was trained on the task's data.
        labels: further columns as text [T], where the file has them: model, domain, num_variates,
            context_length, dataset_config, target and the provenance columns.
    """

    model: str
    source: Path
    tasks: tuple[str, ...]
    metrics: dict[str, Floats]
    overlap: NDArray[np.bool_]
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    @property
    def states_overlap(self) -> bool:
        """Whether the file says which tasks the model was trained on."""
        return _FLAG in self.columns

    def numbers(self, label: str) -> list[float]:
        """A further column as numbers [T]; 0 throughout where the file has none.

        Raises:
            InputError: a cell is not a number.
        """
        values = []
        for task, text in zip(self.tasks, self.labels.get(label, ("0",) * len(self.tasks)), strict=True):
            try:
                values.append(float(text))
                if not math.isfinite(values[-1]):
                    raise ValueError
            except ValueError:
                fault = f"{label} of '{task}' is '{text}', which is not a number"
                raise InputError(self.source, fault, "correct the cell") from None
        return values

    def repeated(self) -> list[str]:
        """Tasks that have more than one row."""
        return [task for task, rows in Counter(self.tasks).items() if rows > 1]


@dataclass(frozen=True)
class Scores:
    """One metric of many models on the same tasks.

    Attributes:
        tasks: T names.
        models: M names.
        values: [T, M]; NaN where a model has no row.
        overlap: [T, M], True where the model was trained on the task's data.
    """

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    values: Floats
    overlap: NDArray[np.bool_]

    def column(self, model: str) -> Floats:
        """The errors [T] of one model."""
        return self.values[:, self.models.index(model)]

    def select(self, tasks: Selection, models: Selection) -> "Scores":
        """The scores of some tasks and models."""
        names = (tuple(np.array(self.tasks)[tasks].tolist()), tuple(np.array(self.models)[models].tolist()))
        return Scores(*names, self.values[tasks][:, models], self.overlap[tasks][:, models])


def read_table(source: Path) -> pa.Table:
    """A CSV or Parquet file as an Arrow table; a CSV file may be compressed.

    Raises:
        InputError: it is missing or unreadable.
    """
    try:
        if source.suffix.lower() == ".parquet":
            from pyarrow import parquet  # imported here: most submissions are CSV

            return parquet.read_table(source, partitioning=None)
        return csv.read_csv(source, csv.ReadOptions(use_threads=False))  # files of 100 rows
    except FileNotFoundError:
        raise InputError(source, "no such result file", "name an existing CSV or Parquet file") from None
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        raise InputError(source, f"not a readable result table ({error})", "export it again as CSV") from None


def _numbers(table: pa.Table, column: str, source: Path) -> Floats:
    values = table.column(column)
    if pa.types.is_null(values.type):
        return np.full(len(values), np.nan)
    try:
        if pa.types.is_boolean(values.type):
            raise ValueError("it holds true and false")
        if pa.types.is_nested(values.type):
            raise ValueError(f"it holds {values.type}")
        # By way of a list: Arrow's own conversion imports pandas, which takes longer than the leaderboard.
        return np.array(values.to_pylist(), dtype=float)
    except (TypeError, ValueError) as error:
        raise InputError(source, f"column '{column}' is not numeric ({error})", "correct the cell") from None


def _text(table: pa.Table, column: str) -> list[str]:
    return ["" if value is None else str(value) for value in table.column(column).to_pylist()]


def read_flag(value: object) -> bool | None:
    """A cell that says yes or no, in any of the usual spellings; None for any other."""
    return _FLAGS.get(str(value).strip().lower())


def _overlap(table: pa.Table, tasks: Sequence[str], source: Path) -> NDArray[np.bool_]:
    if _FLAG not in table.column_names:
        return np.zeros(table.num_rows, bool)
    values = table[_FLAG].to_pylist()
    flags = [read_flag(value) for value in values]
    if None in flags:
        row = flags.index(None)
        shown = "empty" if values[row] in (None, "") else repr(values[row])
        fault = f"{_FLAG} of '{tasks[row]}' is {shown}, one of {flags.count(None)} such"
        raise InputError(source, fault, "give true or false")
    return np.array(flags, bool)


def detect(source: Path) -> Benchmark:
    """The benchmark whose columns a result file has.

    Raises:
        InputError: it has those of neither.
    """
    names = set(read_table(source).column_names)
    for benchmark in BENCHMARKS.values():
        wanted = set(benchmark.metrics.values()) & names
        if len(wanted) >= 2 and names & set(benchmark.task_columns):
            return benchmark
    raise InputError(
        source, "has neither GIFT-Eval nor FEV-Bench columns", "expected e.g. 'dataset' and "
        "'eval_metrics/MASE[0.5]', or 'task_name' and 'SQL'",
    )  # fmt: skip


def _split(path: Path) -> tuple[str, str]:
    """The name of a file without its ending, and the ending; empty if that is not a table's."""
    ending = next((ending for ending in _TABLES if path.name.lower().endswith(ending)), "")
    return path.name.removesuffix(path.name[len(path.name) - len(ending) :]), ending


def result_files(folder: Path, left_out: Callable[[str], None] = lambda text: None) -> dict[Path, str]:
    """The result files of a folder, each with the name it goes by.

    CSV and Parquet files go by their own name; ``MODEL/all_results.csv``, as GIFT-Eval's repository has them,
    by that of their folder, at any depth. The case of names and endings does not matter, and a CSV file may
    be compressed.

    Args:
        left_out: told of files that are not read.

    Raises:
        InputError: the folder is missing or holds none.
    """
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "give the folder of published result files")
    files: dict[Path, str] = {}
    others: list[str] = []
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if any(part.startswith(".") for part in place.parts):
            continue
        stem, ending = _split(path)
        if path.is_dir():
            others += [f"{place} (a folder)"] if ending else []
        elif ending and len(place.parts) == 1:
            files[path] = stem
        elif ending and _RESULTS.fullmatch(stem):
            files[path] = place.parent.as_posix()
        elif not _BESIDE.fullmatch(path.name):
            others.append(place.as_posix())
    if others:
        left_out(f"{len(others)} files whose name or ending is not that of a result: {', '.join(others[:9])}")
    if not files:
        raise InputError(folder, "holds no CSV or Parquet file", "give the folder of published result files")
    return files


def read_submissions(source: Path, benchmark: Benchmark, name: str | None = None) -> list[Submission]:
    """The submissions in one file, one for each model it names; one that names none goes by ``name``.

    Raises:
        InputError: the file is unreadable, has no task column, no metric, no row, or a
            cell that is not a number.
    """
    table = read_table(source)
    names = table.column_names
    if twice := [name for name, columns in Counter(names).items() if columns > 1]:
        raise InputError(source, f"column '{twice[0]}' stands {names.count(twice[0])} times", "keep one")
    task_column = next((name for name in benchmark.task_columns if name in names), None)
    if task_column is None:
        wanted = " or ".join(f"'{name}'" for name in benchmark.task_columns)
        raise InputError(source, f"no column {wanted}", f"is it a {benchmark.name} result?")
    present = {short: column for short, column in benchmark.metrics.items() if column in names}
    if not present:
        raise InputError(source, "no metric column", f"wanted any of {sorted(benchmark.metrics.values())}")
    if table.num_rows == 0:
        raise InputError(source, "no rows", "score the model first")
    tasks = np.array(_text(table, task_column), dtype=object)
    metrics = {short: _numbers(table, column, source) for short, column in present.items()}
    overlap = _overlap(table, tasks.tolist(), source)
    labels = {name: _text(table, name) for name in (*_LABELS, *benchmark.provenance) if name in names}
    owner = [name or _split(source)[0]] * table.num_rows
    if benchmark.model_column in names:
        owner = _text(table, benchmark.model_column or "")
        if unnamed := owner.count(""):
            fault = f"{unnamed} of {len(owner)} rows without '{benchmark.model_column}'"
            raise InputError(source, fault, "name the model in each")
    found = []
    for model in dict.fromkeys(owner):
        rows = np.array([row == model for row in owner])
        found.append(
            Submission(
                model=model,
                source=source,
                tasks=tuple(tasks[rows]),
                metrics={short: values[rows] for short, values in metrics.items()},
                overlap=overlap[rows],
                labels={name: tuple(np.array(values, dtype=object)[rows]) for name, values in labels.items()},
                columns=tuple(names),
            )
        )
    return found


def _with_its_name(submission: Submission, taken: set[str]) -> Submission:
    """An added result under the name in its column ``model``, if that is a single name not yet taken."""
    names = set(submission.labels.get("model", ())) - {""}
    return replace(submission, model=names.pop()) if len(names) == 1 and not names & taken else submission


def read_folder(
    folder: Path,
    benchmark: Benchmark,
    added: Sequence[Path] = (),
    left_out: Callable[[str], None] = lambda text: None,
) -> list[Submission]:
    """All submissions of a folder's files, see :func:`result_files`, then those of the files added.

    Published GIFT-Eval files are known by the file's name, because their column ``model`` differs in
    spelling. An added one goes by that column, or by its file's name if that model name is taken.

    Raises:
        InputError: the folder is missing or empty, or two submissions go by one name.
    """
    files = result_files(folder, left_out)
    found = [made for path, name in files.items() for made in read_submissions(path, benchmark, name)]
    for path in added:
        for made in read_submissions(path, benchmark):
            own = benchmark.model_column is None
            found.append(_with_its_name(made, {other.model for other in found}) if own else made)
    by_name: dict[str, Path] = {}
    for submission in found:
        if submission.model in by_name:
            raise InputError(
                submission.source,
                f"model '{submission.model}' is also in {by_name[submission.model].name}",
                "rename one of them",
            )
        by_name[submission.model] = submission.source
    return found


def scores(submissions: Sequence[Submission], tasks: Sequence[str], metric: str) -> Scores:
    """Line up one metric of many submissions on the tasks given.

    Raises:
        InputError: a submission has two rows for a task, or a value that is infinite or negative.
    """
    row = {task: number for number, task in enumerate(tasks)}
    values = np.full((len(row), len(submissions)), np.nan)
    overlap = np.zeros(values.shape, bool)
    for column, submission in enumerate(submissions):
        if repeated := submission.repeated():
            raise InputError(
                submission.source,
                f"{len(repeated)} tasks twice, e.g. '{repeated[0]}'",
                "keep one row per task",
            )
        if metric not in submission.metrics:
            continue
        here = submission.metrics[metric]
        bad = np.isinf(here) | (here < 0)
        if bad.any():
            task = submission.tasks[int(np.argmax(bad))]
            raise InputError(
                submission.source,
                f"{metric} of '{task}' is {here[bad][0]}",
                f"{int(bad.sum())} such; score it again",
            )
        for position, task in enumerate(submission.tasks):
            if task in row:
                values[row[task], column] = here[position]
                overlap[row[task], column] = submission.overlap[position]
    return Scores(tuple(row), tuple(submission.model for submission in submissions), values, overlap)
