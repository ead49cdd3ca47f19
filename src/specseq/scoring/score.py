"""Score a forecaster on every config or task of a folder into one result file, resuming where it stopped."""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from specseq.errors import Diverged, InputError
from specseq.models.protocol import Forecaster
from specseq.progress import Progress
from specseq.scoring.evaluation import Evaluation, score
from specseq.tables import Provenance, digest, read_parquet, read_provenance, write_parquet

NAME_COLUMN = {"gift_eval": "config", "fev": "task_name"}
_SAVE_EVERY = 10.0


def score_all(
    benchmark: str,
    evaluations: Sequence[Evaluation],
    forecaster: Forecaster,
    out: str | Path,
    parameters: Mapping[str, Any],
    model: str | None = None,
    log: TextIO | None = None,
) -> pd.DataFrame:
    """Score every config or task, one row each, and keep the rows in ``out``.

    Rows that ``out`` holds already are kept if it was made with the same parameters, of the same tasks and
    data files. It is written again every ten seconds and when anything stops the run.

    Args:
        benchmark: ``gift_eval`` or ``fev``.
        evaluations: what to score.
        forecaster: who forecasts.
        out: Parquet file; metric columns are named as in the benchmark's published results.
        parameters: what decides the numbers, kept in the file's provenance.
        model: name in the result; the forecaster's own where None.
        log: where progress goes; standard error where None.

    Returns:
        The rows of ``evaluations``, in their order.

    Raises:
        InputError: ``out`` was made with other parameters or holds rows of other data or tasks, or a config
            cannot be scored.
    """
    path = Path(out)
    provenance = Provenance("score", dict(parameters))
    rows, made_of = _earlier_rows(path, provenance, NAME_COLUMN[benchmark])
    for evaluation in evaluations:
        settings = json.loads(json.dumps(evaluation.settings()))
        if evaluation.name in rows:
            _check_kept(path, evaluation.name, made_of.get(evaluation.name, {}), settings)
        made_of[evaluation.name] = settings
    provenance.facts["made_of"] = made_of
    missing = [evaluation for evaluation in evaluations if evaluation.name not in rows]
    total = sum(evaluation.points for evaluation in evaluations)
    done = total - sum(evaluation.points for evaluation in missing)
    progress = Progress(total, "points", done, out=log or sys.stderr)
    saved = time.monotonic()

    def report(points: int) -> None:
        nonlocal done
        done += points
        progress.update(done)

    try:
        for evaluation in missing:
            values = _values(evaluation, forecaster, report)
            rows[evaluation.name] = _row(benchmark, evaluation, forecaster, model, values)
            evaluation.close()
            if time.monotonic() - saved > _SAVE_EVERY:
                _save(path, rows, provenance)
                saved = time.monotonic()
    finally:
        if rows and (missing or not path.exists()):
            _save(path, rows, provenance)
    return _frame([rows[evaluation.name] for evaluation in evaluations])


def _values(
    evaluation: Evaluation, forecaster: Forecaster, report: Callable[[int], None]
) -> dict[str, float]:
    try:
        return score(evaluation, forecaster, report)
    except Diverged as error:
        raise InputError(evaluation.name, f"{forecaster.name} diverged: {error}") from None


def _earlier_rows(
    path: Path, provenance: Provenance, column: str
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The rows of a file by config or task, and the settings that each was made with."""
    if not path.exists():
        return {}, {}
    recorded = read_provenance(path)
    if recorded.get("parameters_digest") != digest(provenance.parameters):
        before, now = recorded.get("parameters", {}), provenance.parameters
        other = [f"{name} {before.get(name)}" for name in now if before.get(name) != now[name]]
        fault = f"was made with other parameters: {', '.join(other) or 'more of them'}"
        raise InputError(path, fault, "delete it or give another --out")
    frame = read_parquet(path)
    records = frame.to_dict(orient="records")
    rows = {record[column]: {str(name): value for name, value in record.items()} for record in records}
    return rows, recorded.get("made_of", {})


def _check_kept(path: Path, name: str, kept: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse a kept row that was made of other data or another task than the one to be scored now."""
    for field, value in now.items():
        if kept.get(field) != value:
            fault = f"its row of {name} has {field} {kept.get(field)}, the data and tasks have {value}"
            if field == "files":
                fault = f"its row of {name} was made of other data files"
            raise InputError(path, fault, "delete it or give another --out")


def _row(
    benchmark: str,
    evaluation: Evaluation,
    forecaster: Forecaster,
    model: str | None,
    values: Mapping[str, float],
) -> dict[str, Any]:
    name = {"gift_eval": "model", "fev": "model_name"}[benchmark]
    row = {name: model or forecaster.name, **evaluation.facts()}
    if benchmark == "fev":
        row |= {"test_error": values[row["eval_metric"]], "trained_on_this_dataset": False}
    return {**row, **values, "context_length": forecaster.context_length, "basis": "raw"}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    return frame.astype({"context_length": "Int64"})


def _save(path: Path, rows: Mapping[str, dict[str, Any]], provenance: Provenance) -> None:
    write_parquet(path, _frame(list(rows.values())), provenance)
