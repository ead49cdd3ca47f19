"""Evaluate a forecaster on a benchmark, plain and under every filter and reversal.

Parameters (``--params``), all optional but ``benchmark``:

- ``study``, ``run``, ``seed``: whose result it is;
- ``benchmark``: ``gift_eval`` or ``fev``; ``terms`` and ``only`` choose among its configs;
- ``forecaster``: ``{name, context_length, batch_size, device}``; the name is left out where ``--weights``
  gives the model;
- ``filters``: specifications by name (``matched`` ones without an autocovariance are those that
  ``--designed`` holds under their name), ``reversals``: modes to undo them with (``self``, ``oracle``,
  ``plug_in``, ``hybrid``, ``fir``), ``other``: a forecaster for the lags of ``hybrid``, ``missing`` and
  ``centre`` as in :func:`specseq.models.preconditioned.precondition`.

A model that was trained on filtered series is scored as it forecasts, with its own reversal, and under each
of ``self``, ``oracle`` and ``fir`` that is asked for.

The result has the long shape with these key columns: ``forecaster``; ``filter`` and ``reversal``, both
``none`` for a plain forecast; ``spectral_radius`` and ``noise_gain`` of the filter, NaN for none. Where the
oracle is among the reversals, rows of ``seasonal_naive`` stand beside the forecaster's, plain and under the
same oracle. Where reversals are asked for, rows ``scaled_absolute_error`` give the error of the median at
chosen horizon steps (``step``, from 1), scaled as in MASE. A reversal that diverged has metrics NaN and a row
``diverged`` of 1, a model whose training diverged has that row alone; the reason is in the file's provenance.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.filters import Filter, design, noise_gain
from specseq.filters.stability import spectral_radius
from specseq.models.registry import load_forecaster
from specseq.progress import Progress
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.opening import fingerprint, open_evaluations, open_forecaster
from specseq.scoring.published import BENCHMARKS
from specseq.scoring.reversal import Outcome, Plan, Variant, evaluate
from specseq.scoring.steps import step_grid
from specseq.stages import arguments
from specseq.tables import Provenance, long_table, read_parquet, write_parquet

KEYS = ("forecaster", "filter", "reversal", "spectral_radius", "noise_gain")
_KNOWN = {
    *("study", "run", "seed", "benchmark", "terms", "only", "forecaster"),
    *("filters", "reversals", "other", "missing", "centre"),
}
_MODES = ("self", "oracle", "plug_in", "hybrid", "fir")


def main() -> None:
    """Read the arguments, evaluate, write the long table."""
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, help="weights.safetensors of a trained run")
    parser.add_argument("--data", type=Path, required=True, help="folder of the benchmark's data")
    parser.add_argument("--tasks", type=Path, help="FEV-Bench: a tasks.yaml")
    parser.add_argument("--designed", type=Path, help="table of the design stage with the matched filters")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    params = options.params
    _check(params)
    provenance = Provenance("evaluate", params, run=params.get("run"), seed=params.get("seed"))
    evaluations = open_evaluations(params, options.data, options.tasks)
    provenance.facts |= {"basis": "raw", "configs": len(evaluations)}
    if options.weights:
        provenance.facts["weights"] = fingerprint(options.weights)
    reason = _diverged(options.weights) if options.weights else None
    if reason is not None:
        variant, nothing = Variant(options.weights.parent.name), Outcome({}, None, reason)
        scored = [(evaluation, {variant: nothing}) for evaluation in evaluations]
    else:
        plan = make_plan(params, options.weights, options.designed)
        provenance.facts["context_length"] = plan.forecaster.context_length
        scored = list(_scored(evaluations, plan))
    provenance.facts["diverged"] = {
        "/".join((evaluation.name, variant.filter, variant.reversal)): outcome.diverged
        for evaluation, outcomes in scored
        for variant, outcome in outcomes.items()
        if outcome.diverged
    }
    rows = [row for evaluation, outcomes in scored for row in _rows(params, evaluation, outcomes)]
    write_parquet(options.out, long_table(rows, KEYS), provenance)


def _scored(
    evaluations: Sequence[Evaluation], plan: Plan
) -> Iterator[tuple[Evaluation, dict[Variant, Outcome]]]:
    progress, done = Progress(sum(evaluation.points for evaluation in evaluations), "points"), 0

    def report(points: int) -> None:
        nonlocal done
        done += points
        progress.update(done)

    for evaluation in evaluations:
        yield evaluation, evaluate(evaluation, plan, report)
        evaluation.close()


def _diverged(weights: Path) -> str | None:
    """Why the run that left these weights was ended early; such a run is not scored."""
    from specseq.training.checkpoint import diverged

    return diverged(weights)


def make_plan(params: Mapping[str, Any], weights: Path | None, designed: Path | None = None) -> Plan:
    """What the parameters ask to be scored.

    Raises:
        InputError: a parameter is unknown or impossible.
    """
    benchmark, reversals = params["benchmark"], list(params.get("reversals", ()))
    forecaster = open_forecaster(params.get("forecaster", {}), weights, benchmark)
    filters = {name: _filter(name, spec, designed) for name, spec in params.get("filters", {}).items()}
    other = open_forecaster(params["other"], None, benchmark, "other") if "other" in params else None
    if ("hybrid" in reversals) != (other is not None):
        raise InputError("other", "goes with the reversal hybrid", "give both or neither")
    control = None
    if "oracle" in reversals and forecaster.name != "seasonal_naive":
        control = load_forecaster("seasonal_naive", benchmark)
    chosen = {name: params[name] for name in ("missing", "centre") if name in params}
    return Plan(forecaster, filters, reversals, control, other, by_step=bool(reversals), **chosen)


def _check(params: Mapping[str, Any]) -> None:
    if unknown := sorted(set(params) - _KNOWN):
        raise InputError(
            "--params", f"unknown key {', '.join(unknown)}", f"there are {', '.join(sorted(_KNOWN))}"
        )
    if params.get("benchmark") not in BENCHMARKS:
        raise InputError("benchmark", f"{params.get('benchmark')!r}", f"choose of {', '.join(BENCHMARKS)}")
    if unknown := sorted(set(params.get("reversals", ())) - set(_MODES)):
        raise InputError("reversals", f"unknown mode {', '.join(unknown)}", f"choose of {', '.join(_MODES)}")


def _filter(name: str, spec: Mapping[str, Any], designed: Path | None) -> Filter:
    if spec.get("family") != "matched" or "autocovariance" in spec:
        return design(spec, f"filters.{name}", name)
    if designed is None:
        raise InputError(
            f"filters.{name}", "a matched filter is designed for a forecaster", "give --designed"
        )
    rows = read_parquet(designed)
    rows = rows[rows["name"] == name]
    if len(rows) != 1:
        raise InputError(designed, f"has {len(rows)} filters called '{name}'", "design it there")
    row = rows.iloc[0]
    return Filter(row["family"], tuple(row["taps"]), int(row["stride"]), float(row["lam"]), name)


def _rows(
    params: Mapping[str, Any], evaluation: Evaluation, outcomes: Mapping[Variant, Outcome]
) -> Iterator[dict[str, Any]]:
    columns = {column: name for name, column in BENCHMARKS[params["benchmark"]].metrics.items()}
    for variant, outcome in outcomes.items():
        taps = outcome.filter.array if outcome.filter else None
        keys = {
            "study": params.get("study", ""),
            "run": params.get("run", ""),
            "seed": params.get("seed", -1),
            "benchmark": params["benchmark"],
            "task": evaluation.name,
            "forecaster": variant.forecaster,
            "filter": variant.filter,
            "reversal": variant.reversal,
            "spectral_radius": float("nan") if taps is None else spectral_radius(taps),
            "noise_gain": float("nan") if taps is None else noise_gain(taps),
        }
        for column, value in outcome.values.items():
            yield {**keys, "metric": columns[column], "value": value}
        if outcome.steps is not None:
            for step in step_grid(len(outcome.steps)):
                error = float(outcome.steps[step - 1])
                yield {**keys, "step": step, "metric": "scaled_absolute_error", "value": error}
        if outcome.diverged:
            yield {**keys, "metric": "diverged", "value": 1.0}


if __name__ == "__main__":
    arguments.run(main)
