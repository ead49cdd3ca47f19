"""Score a forecaster on every config or task of a folder: for ``specseq score`` and the stage evaluate."""

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import pandas as pd

from specseq.errors import InputError
from specseq.filters import Filter, design
from specseq.models.chronos2 import HUB_ID, find_weights, is_hub_id
from specseq.models.protocol import Forecaster
from specseq.models.registry import load_forecaster
from specseq.progress import Progress
from specseq.scoring.config import ForecasterSettings, ScoreRequest, Term
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.fev import fev_evaluations
from specseq.scoring.gift_eval import TERMS, gift_evaluations
from specseq.scoring.results import Layout, Published, ResultFile, Tidy
from specseq.scoring.reversal import Outcome, Plan, Variant, evaluate
from specseq.tables import Provenance, read_parquet

_SAVE_EVERY = 10.0


def score_benchmark(request: ScoreRequest, log: TextIO | None = None) -> pd.DataFrame:
    """Score a forecaster on a benchmark, plain and under the filters and reversals of the request.

    Weights of a training that diverged are not scored: in the tidy layout they have a row ``diverged``.

    Args:
        request: what to score, and the file to write; rows it holds already are kept, see :func:`score_all`.
        log: where progress goes; standard error where None.

    Returns:
        The rows of the configs or tasks that the request asks for, in their order.

    Raises:
        InputError: data, forecaster or filters are at fault, or the file was made with other parameters or of
            other data.
    """
    evaluations = open_evaluations(
        request.benchmark, request.data, request.tasks, request.terms, request.only
    )
    name = str(request.forecaster.name)
    parameters: dict[str, Any] = {"benchmark": request.benchmark, "forecaster": fingerprint(name)}
    stage = "evaluate" if request.layout == "tidy" else "score"
    provenance = Provenance(stage, parameters, run=request.run or None, seed=request.seed)
    provenance.facts |= {"basis": "raw", "configs": len(evaluations)}
    layout: Layout = Tidy(request.benchmark, request.study, request.run, request.seed)
    reason = _diverged(Path(name)) if name.endswith(".safetensors") else None
    if reason is not None:
        if request.layout == "published":
            raise InputError(name, f"its training diverged: {reason}", "there is nothing to score")
        results = ResultFile(request.out, layout, provenance)
        for evaluation in evaluations:
            results.add(evaluation, {Variant(Path(name).parent.name): Outcome({}, None, reason)})
        results.save()
        return results.frame([evaluation.name for evaluation in evaluations])
    plan = make_plan(request)
    if request.arguments:
        parameters["arguments"] = request.arguments
    parameters["context_length"] = plan.forecaster.context_length
    if request.layout == "published":
        parameters["model"] = request.model or plan.forecaster.name
        layout = Published(request.benchmark, parameters["model"], plan.forecaster.context_length)
    else:
        parameters |= {
            "run": request.run,
            "filters": {name: [made.stride, *made.taps] for name, made in plan.filters.items()},
            "reversals": list(request.reversals),
            "other": request.other and fingerprint(str(request.other.name)),
            "missing": request.missing,
            "centre": request.centre,
        }
    results = ResultFile(request.out, layout, provenance)
    return score_all(evaluations, plan, results, log)


def score_all(
    evaluations: Sequence[Evaluation], plan: Plan, results: ResultFile, log: TextIO | None = None
) -> pd.DataFrame:
    """Score every config or task and keep the rows in a file.

    Rows that the file holds already are kept if they were made of the same tasks and data files. Where its
    layout resumes, it is written again every ten seconds and when anything stops the run.

    Args:
        evaluations: what to score.
        plan: who forecasts, under which filters.
        results: the file.
        log: where progress goes; standard error where None.

    Returns:
        The rows of ``evaluations``, in their order.

    Raises:
        InputError: the file holds rows of other data or tasks, or a config cannot be scored.
    """
    for evaluation in evaluations:
        results.expect(evaluation)
    missing = [evaluation for evaluation in evaluations if evaluation.name not in results]
    total = sum(evaluation.points for evaluation in evaluations)
    done = total - sum(evaluation.points for evaluation in missing)
    progress = Progress(total, "points", done, out=log or sys.stderr)
    saved, rows = time.monotonic(), 0

    def report(points: int) -> None:
        nonlocal done
        done += points
        progress.update(done)

    try:
        for evaluation in missing:
            results.add(evaluation, evaluate(evaluation, plan, report))
            evaluation.close()
            rows += 1
            if results.layout.resumes and time.monotonic() - saved > _SAVE_EVERY:
                results.save()
                saved = time.monotonic()
    finally:
        if rows == len(missing) > 0 or (rows and results.layout.resumes):
            results.save()
    return results.frame([evaluation.name for evaluation in evaluations])


def open_evaluations(
    benchmark: str,
    data: Path,
    tasks: Path | None = None,
    terms: Sequence[Term] | None = None,
    only: Sequence[str] = (),
) -> Sequence[Evaluation]:
    """The configs or tasks of a benchmark whose data lie in a folder.

    Args:
        benchmark: ``gift_eval`` or ``fev``.
        data: folder of the benchmark's data.
        tasks: FEV-Bench: a ``tasks.yaml``; None for that of the folder, else the benchmark's.
        terms: GIFT-Eval: terms to keep; None for all.
        only: data sets or tasks to keep; all where empty.

    Raises:
        InputError: there are none, or the data are not there.
    """
    if benchmark == "fev":
        return fev_evaluations(data, tasks, only)
    return gift_evaluations(data, terms or tuple(TERMS), only)


def open_forecaster(
    settings: ForecasterSettings, benchmark: str, arguments: Mapping[str, Any] | None = None
) -> Forecaster:
    """The forecaster that settings name; ``arguments`` are those of a class of another package.

    Raises:
        InputError: there is none of that name, or it takes no such option.
    """
    return load_forecaster(str(settings.name), benchmark, arguments, **settings.options)


def make_plan(request: ScoreRequest) -> Plan:
    """What a request asks to be scored; seasonal naive is the control of the oracle.

    Raises:
        InputError: there is no such forecaster or filter.
    """
    forecaster = open_forecaster(request.forecaster, request.benchmark, request.arguments)
    control = None
    if "oracle" in request.reversals and forecaster.name != "seasonal_naive":
        control = load_forecaster("seasonal_naive", request.benchmark)
    return Plan(
        forecaster,
        {name: _filter(name, spec, request.designed) for name, spec in request.filters.items()},
        request.reversals,
        control,
        open_forecaster(request.other, request.benchmark) if request.other else None,
        request.missing,
        request.centre,
        by_step=bool(request.reversals),
    )


def _filter(name: str, spec: dict[str, Any], designed: Path | None) -> Filter:
    if spec.get("family") != "matched" or "autocovariance" in spec:
        return design(spec, f"filters.{name}", name)
    if designed is None:
        fault = "a matched filter is designed for a forecaster"
        raise InputError(f"filters.{name}", fault, "give the table of designed filters")
    rows = read_parquet(designed)
    rows = rows[rows["name"] == name]
    if len(rows) != 1:
        raise InputError(designed, f"has {len(rows)} filters called '{name}'", "design it there")
    row = rows.iloc[0]
    return Filter(row["family"], tuple(row["taps"]), int(row["stride"]), float(row["lam"]), name)


def _diverged(weights: Path) -> str | None:
    """Why the training that left these weights was ended early; None where it was not."""
    from specseq.training.checkpoint import diverged  # imported here: naive forecasters need no torch

    return diverged(weights)


def fingerprint(source: str | Path) -> str:
    """What identifies a forecaster in a result: its name, or the content of its weights and their config.

    A class of another package is known by its import path alone; its code may change.
    """
    named = HUB_ID if str(source) == "chronos2" else source
    path = find_weights(named) if is_hub_id(named) else Path(named)
    files = [path] if path.is_file() else sorted({*path.glob("*.safetensors"), *path.glob("config.json")})
    if not files:
        return str(source)
    whole = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            whole.update(hashlib.file_digest(handle, "sha256").digest())
    return f"sha256:{whole.hexdigest()[:16]}"
