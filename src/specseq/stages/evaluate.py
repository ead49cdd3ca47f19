"""Evaluate a forecaster on a benchmark, plain and under every filter and reversal.

Parameters (``--params``), all optional but ``benchmark``:

- ``study``, ``run``, ``seed``: whose result it is;
- ``benchmark``: ``gift_eval`` or ``fev``; ``terms`` and ``only`` choose among its configs;
- ``forecaster``: ``{name, context_length, batch_size, device}``; the name is left out where ``--weights``
  gives the model;
- ``filters``: specifications by name, ``reversals``: modes to undo them with (``self``, ``oracle``,
  ``plug_in``, ``hybrid``, ``fir``), ``other``: a forecaster for the lags of ``hybrid``, ``missing`` and
  ``centre`` as in :func:`specseq.forecasters.preconditioned.precondition`.

A model that was trained in a filter's space and comes wrapped in it is also scored under each reversal of its
own filter.

The result has the long shape with these key columns: ``forecaster``; ``filter`` and ``reversal``, both
``none`` for a plain forecast; ``spectral_radius`` and ``noise_gain`` of the filter, NaN for none. Where the
oracle is among the reversals, rows of ``seasonal_naive`` stand beside the forecaster's, plain and under the
same oracle. A reversal that diverged has metrics NaN and a row ``diverged`` of 1; the reason is in the file's
provenance.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from specseq.benchmarks.evaluation import Evaluation, fev_evaluations, gift_evaluations
from specseq.benchmarks.published import BENCHMARKS
from specseq.benchmarks.reversal import NONE, Outcome, Plan, Variant, evaluate
from specseq.benchmarks.score import fingerprint
from specseq.errors import InputError
from specseq.filters import design, diagnose
from specseq.forecasters.preconditioned import Preconditioned
from specseq.forecasters.protocol import Forecaster
from specseq.forecasters.registry import load_forecaster
from specseq.progress import Progress
from specseq.stages import arguments
from specseq.tables import Provenance, long_frame, write_parquet

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
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    options = parser.parse_args()
    params = options.params
    _check(params)
    provenance = Provenance("evaluate", params, run=params.get("run"), seed=params.get("seed"))
    plan = make_plan(params, options.weights)
    evaluations = (
        gift_evaluations(
            options.data, params.get("terms", ("short", "medium", "long")), params.get("only", ())
        )
        if params["benchmark"] == "gift_eval"
        else fev_evaluations(options.data, options.tasks, params.get("only", ()))
    )
    rows: list[dict[str, Any]] = []
    diverged: dict[str, str] = {}
    progress, done = Progress(sum(evaluation.points for evaluation in evaluations), "points"), 0

    def report(points: int) -> None:
        nonlocal done
        done += points
        progress.update(done)

    for evaluation in evaluations:
        outcomes = evaluate(evaluation, plan, report)
        rows += _rows(params, plan, evaluation, outcomes)
        diverged |= {
            "/".join((evaluation.name, variant.filter, variant.reversal)): outcome.diverged
            for variant, outcome in outcomes.items()
            if outcome.diverged
        }
        evaluation.close()
    provenance.facts |= {
        "basis": "raw",
        "configs": len(evaluations),
        "context_length": plan.forecaster.context_length,
        "weights": fingerprint(options.weights) if options.weights else None,
        "diverged": diverged,
    }
    write_parquet(options.out, long_frame(rows, KEYS), provenance)


def make_plan(params: Mapping[str, Any], weights: Path | None) -> Plan:
    """What the parameters ask to be scored.

    Raises:
        InputError: a parameter is unknown or impossible.
    """
    benchmark, reversals = params["benchmark"], list(params.get("reversals", ()))
    forecaster = _forecaster(params.get("forecaster", {}), weights, benchmark, "forecaster")
    filters = {name: design(spec, f"filters.{name}") for name, spec in params.get("filters", {}).items()}
    other = _forecaster(params["other"], None, benchmark, "other") if "other" in params else None
    if ("hybrid" in reversals) != (other is not None):
        raise InputError("other", "goes with the reversal hybrid", "give both or neither")
    inner = None
    if isinstance(forecaster, Preconditioned):
        if filters:
            raise InputError("filters", "the model has a filter of its own", "leave filters out")
        filters, inner = {forecaster.filter.name: forecaster.filter}, forecaster.forecaster
    control = None
    if filters and "oracle" in reversals and params.get("forecaster", {}).get("name") != "seasonal_naive":
        control = load_forecaster("seasonal_naive", benchmark)
    chosen = {name: params[name] for name in ("missing", "centre") if name in params}
    return Plan(forecaster, filters, reversals, control, other, inner, **chosen)


def _check(params: Mapping[str, Any]) -> None:
    if unknown := sorted(set(params) - _KNOWN):
        raise InputError(
            "--params", f"unknown key {', '.join(unknown)}", f"there are {', '.join(sorted(_KNOWN))}"
        )
    if params.get("benchmark") not in BENCHMARKS:
        raise InputError("benchmark", f"{params.get('benchmark')!r}", f"choose of {', '.join(BENCHMARKS)}")
    if unknown := sorted(set(params.get("reversals", ())) - set(_MODES)):
        raise InputError("reversals", f"unknown mode {', '.join(unknown)}", f"choose of {', '.join(_MODES)}")


def _forecaster(spec: Mapping[str, Any], weights: Path | None, benchmark: str, where: str) -> Forecaster:
    options = {name: value for name, value in spec.items() if name != "name"}
    if (weights is None) == ("name" not in spec):
        raise InputError(where, "give either a name or --weights")
    return load_forecaster(weights or spec["name"], benchmark, **options)


def _rows(
    params: Mapping[str, Any], plan: Plan, evaluation: Evaluation, outcomes: Mapping[Variant, Outcome]
) -> Iterator[dict[str, Any]]:
    short = {column: name for name, column in BENCHMARKS[params["benchmark"]].metrics.items()}
    gains = {name: diagnose(made) for name, made in plan.filters.items()}
    for variant, outcome in outcomes.items():
        found = gains.get(variant.filter) if variant.filter != NONE else None
        keys = {
            "study": params.get("study", ""),
            "run": params.get("run", ""),
            "seed": params.get("seed", -1),
            "benchmark": params["benchmark"],
            "task": evaluation.name,
            "forecaster": variant.forecaster,
            "filter": variant.filter,
            "reversal": variant.reversal,
            "spectral_radius": found.spectral_radius if found else float("nan"),
            "noise_gain": found.noise_gain if found else float("nan"),
        }
        for column, value in outcome.values.items():
            yield {**keys, "metric": short[column], "value": value}
        if outcome.diverged:
            yield {**keys, "metric": "diverged", "value": 1.0}


if __name__ == "__main__":
    arguments.run(main)
