"""Score a forecaster on every config or task of a folder: for ``specseq score`` and the stage evaluate."""

import hashlib
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.filters import Filter, design
from specseq.models.chronos2 import HUB_ID, find_weights, is_hub_id
from specseq.models.protocol import Forecaster
from specseq.models.registry import load_forecaster
from specseq.progress import Progress
from specseq.scoring.config import ForecasterSettings, ScoreRequest, Term
from specseq.scoring.evaluate import Outcome, evaluate
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.fev import fev_evaluations
from specseq.scoring.forecast_files import ForecastFiles
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.lsf import lsf_evaluations
from specseq.scoring.monash import monash_evaluations
from specseq.scoring.parts import Parts
from specseq.scoring.results import Published, ResultFile, Row, Tidy
from specseq.scoring.reversal import ForecastPlan, Variant
from specseq.series.evaluation import TERMS
from specseq.series.store import file_digest
from specseq.tables import Provenance, read_parquet

_SAVE_EVERY = 10.0


def score_benchmark(request: ScoreRequest) -> list[Row]:
    """Score a forecaster on a benchmark, plain and under the filters and reversals of the request.

    Weights of a training that diverged are not scored: in the tidy layout they have a row ``diverged``.

    Args:
        request: what to score, and the file to write; rows it holds already are kept, see :func:`score_all`.

    Returns:
        The rows of the configs or tasks that the request asks for, in their order.

    Raises:
        InputError: data, forecaster, forecasts or filters are at fault, or the file was made with other
            parameters or of other data.
    """
    evaluations = open_evaluations(
        request.benchmark, request.data, request.tasks, request.terms, request.only
    )
    if request.layout == "published":
        return _score_published(request, evaluations)
    return _score_tidy(request, evaluations)


def _score_published(request: ScoreRequest, evaluations: Sequence[Evaluation]) -> list[Row]:
    given = ForecastFiles(request.forecasts) if request.forecasts else None
    if given:
        given.check_complete(evaluations)
    name = str(request.forecaster.name) if request.forecaster else ""
    parameters: dict[str, Any] = {
        "benchmark": request.benchmark,
        "forecaster": forecaster_digest(name) if request.forecaster else "forecasts",
        "arguments": request.arguments,
        "context_length": request.forecaster and request.forecaster.context_length,
        "model": request.model,
    }
    results = ResultFile(
        request.out, Published(request.benchmark), _provenance(request, parameters, evaluations)
    )
    for evaluation in evaluations:
        results.expect(evaluation, given.digest(evaluation.name) if given else None)
    names = [evaluation.name for evaluation in evaluations]
    if all(name in results for name in names):
        return results.rows(names)
    if (reason := _diverged(name)) is not None:
        raise InputError(name, f"its training diverged: {reason}", "there is nothing to score")
    plan = ForecastPlan(given) if given else forecast_plan(request)
    who = plan.forecaster
    results.layout = Published(request.benchmark, request.model or who.name, who.context_length)
    return score_all(evaluations, plan, results)


def _score_tidy(request: ScoreRequest, evaluations: Sequence[Evaluation]) -> list[Row]:
    name = str(request.forecaster and request.forecaster.name)
    parameters: dict[str, Any] = {"benchmark": request.benchmark, "forecaster": forecaster_digest(name)}
    layout = Tidy(request.benchmark, request.study, request.run, request.seed)
    provenance = _provenance(request, parameters, evaluations)
    if (reason := _diverged(name)) is not None:
        results = ResultFile(request.out, layout, provenance)
        for evaluation in evaluations:
            results.add(evaluation, {Variant(Path(name).parent.name): Outcome({}, None, reason)})
        results.save()
        return results.rows([evaluation.name for evaluation in evaluations])
    plan = forecast_plan(request)
    if request.arguments:
        parameters["arguments"] = request.arguments
    parameters |= {
        "context_length": plan.forecaster.context_length,
        "run": request.run,
        "filters": {name: [made.stride, *made.taps] for name, made in plan.filters.items()},
        "reversals": list(request.reversals),
        "other": request.other and forecaster_digest(str(request.other.name)),
        "missing": request.missing,
        "centre": request.centre,
    }
    results = ResultFile(request.out, layout, provenance)
    for evaluation in evaluations:
        results.expect(evaluation)
    parts = Parts(request.parts, parameters) if request.parts else None
    rows = score_all(evaluations, plan, results, parts)
    if parts:
        parts.forget()
    return rows


def _provenance(
    request: ScoreRequest, parameters: dict[str, Any], evaluations: Sequence[Evaluation]
) -> Provenance:
    stage = "evaluate" if request.layout == "tidy" else "score"
    provenance = Provenance(stage, parameters, run=request.run or None, seed=request.seed)
    provenance.facts |= {"basis": "raw", "configs": len(evaluations)}
    return provenance


def score_all(
    evaluations: Sequence[Evaluation],
    plan: ForecastPlan,
    results: ResultFile,
    parts: Parts | None = None,
) -> list[Row]:
    """Score every config or task and keep the rows in a file.

    Rows that the file holds already are kept. If its layout resumes, it is written again every ten seconds
    and when anything stops the run, with the sums over the finished windows of the current config or task:
    the next run continues after them.

    Args:
        evaluations: what to score; the file expects them, see :meth:`ResultFile.expect`.
        parts: keeps what is done of each config or task; None keeps nothing.

    Returns:
        The rows of ``evaluations``, in their order.

    Raises:
        InputError: a config cannot be scored.
    """
    missing = [evaluation for evaluation in evaluations if evaluation.name not in results]
    resumes, total = results.layout.resumes, sum(evaluation.points for evaluation in evaluations)
    checkpoints = {evaluation.name: results.checkpoint(evaluation) for evaluation in missing}
    done = total - sum(evaluation.points for evaluation in missing)
    done += sum(
        checkpoints[one.name].windows * one.query.horizon for one in missing if checkpoints[one.name].windows
    )
    progress = Progress(total, "points", done, out=sys.stderr)
    saved, unsaved = time.monotonic(), False
    begun = saved

    def report(points: int) -> None:
        nonlocal begun, done, saved, unsaved
        done += points
        results.took(evaluation, time.monotonic() - begun)
        begun = time.monotonic()
        progress.update(done)
        if resumes:
            results.note(evaluation, checkpoint)
            unsaved = True
            if time.monotonic() - saved > _SAVE_EVERY:
                results.save()
                saved, unsaved = time.monotonic(), False

    finished = False
    try:
        for evaluation in missing:
            checkpoint, begun = checkpoints[evaluation.name], time.monotonic()
            if parts:
                outcomes = parts.evaluate(evaluation, plan, report)
            else:
                outcomes = evaluate(evaluation, plan, report, checkpoint if resumes else None)
            results.add(evaluation, outcomes)
            evaluation.close()
            unsaved = True
        finished = True
    finally:
        if unsaved and (finished or resumes):
            results.save()
    return results.rows([evaluation.name for evaluation in evaluations])


def open_evaluations(
    benchmark: str,
    data: Path,
    tasks: Path | None = None,
    terms: Sequence[Term] | None = None,
    only: Sequence[str] = (),
) -> Sequence[Evaluation]:
    """The configs or tasks of a benchmark whose data lie in a folder.

    Args:
        tasks: FEV-Bench: a ``tasks.yaml``; None for that of the folder, else the benchmark's.
        terms: GIFT-Eval: terms to keep; None for all.
        only: data sets or tasks to keep; all where empty.

    Raises:
        InputError: there are none, or the data are not there.
    """
    if benchmark == "fev":
        return fev_evaluations(data, tasks, only)
    if benchmark == "lsf":
        return lsf_evaluations(data, only)
    if benchmark == "monash":
        return monash_evaluations(data, only)
    return gift_evaluations(data, terms or tuple(TERMS), only)


def open_forecaster(
    settings: ForecasterSettings, benchmark: str, arguments: Mapping[str, Any] | None = None
) -> Forecaster:
    """The forecaster that settings name; ``arguments`` are those of a class of another package.

    Raises:
        InputError: there is none of that name, or it takes no such option.
    """
    return load_forecaster(str(settings.name), benchmark, arguments, **settings.options)


def forecast_plan(request: ScoreRequest) -> ForecastPlan:
    """Plan of a request; seasonal naive is the control of the oracle.

    Raises:
        InputError: there is no such forecaster or filter.
    """
    if request.forecaster is None:
        raise InputError("forecaster", "is not given", "say who forecasts")
    forecaster = open_forecaster(request.forecaster, request.benchmark, request.arguments)
    control = None
    if "oracle" in request.reversals and forecaster.name != "seasonal_naive":
        control = load_forecaster("seasonal_naive", request.benchmark)
    return ForecastPlan(
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


def _diverged(name: str) -> str | None:
    """Why the training that left these weights was ended early; None where it was not."""
    if not name.endswith(".safetensors") or not Path(name).is_file():
        return None
    from specseq.training.checkpoint import diverged  # imported here: naive forecasters need no torch

    return diverged(Path(name))


def forecaster_digest(source: str | Path) -> str:
    """Identity of a forecaster in a result: its name, or a digest of its weights and their config.

    For a class of another package, this is only its import path; its code may change.
    """
    named = HUB_ID if str(source) == "chronos2" else source
    path = find_weights(named) if is_hub_id(named) else Path(named)
    files = [path] if path.is_file() else sorted({*path.glob("*.safetensors"), *path.glob("config.json")})
    if not files:
        return str(source)
    whole = hashlib.sha256()
    for file in files:
        whole.update(bytes.fromhex(file_digest(file)))
    return f"sha256:{whole.hexdigest()[:16]}"
