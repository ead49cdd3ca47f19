"""Polynomial preconditioning: filters around forecasters, and forecasters trained with them."""

from specseq.studies.forecasting import forecasting_results, leakage
from specseq.studies.interface import Figure, Inputs, Results, Study, Table
from specseq.studies.preconditioning.config import PreconditioningRun


def _scores(results: Results) -> Inputs:
    return {"runs": results.evaluations()}


def _metrics(results: Results) -> Inputs:
    return {"runs": results.of_runs("pretrain.parquet")}


def _filters(results: Results) -> str:
    return results.file("filters.parquet")


def _theory(results: Results) -> Inputs:
    return {
        "runs": results.evaluations(),
        "filters": _filters(results),
        "matched": results.evaluations("_matched"),
        "residuals": results.evaluations("_residuals"),
    }


TABLES = {
    "preconditioning": Table(
        ".tables.scores:summary",
        lambda results: {**_scores(results), "leakage": leakage(results)},
        Results.baselines,
        optional=frozenset({"leakage"}),
    ),
    "preconditioning_taps": Table(".tables.note:taps", _metrics),
    "preconditioning_convergence": Table(".tables.convergence:convergence", _metrics),
    "preconditioning_steps": Table(".tables.scores:steps", _scores, Results.baselines),
    "preconditioning_theory": Table(".tables.laws:theory", _theory),
    "preconditioning_theory_steps": Table(".tables.laws:theory_steps", _theory),
    "preconditioning_best": Table(".tables.scores:best", _scores, Results.baselines),
    "preconditioning_ranks": Table(
        ".tables.laws:ranks", lambda results: {"theory": results.table("preconditioning_theory")}
    ),
    "preconditioning_reversal": Table(
        ".tables.note:reversal",
        lambda results: {
            "summary": results.table("preconditioning"),
            "filters": _filters(results),
            "matched": results.evaluations("_matched"),
        },
    ),
    "preconditioning_training": Table(
        ".tables.note:training",
        lambda results: {
            "summary": results.table("preconditioning"),
            "taps": results.table("preconditioning_taps"),
        },
    ),
    "preconditioning_norms": Table(
        ".tables.note:norms",
        lambda results: {"filters": _filters(results), "taps": results.table("preconditioning_taps")},
    ),
}

FIGURES = {
    "preconditioning_filters": Figure(
        ".figures.filters:filters", lambda results: {"filters": _filters(results)}
    ),
    "preconditioning_training": Figure(".figures.runs:training", _metrics),
    "preconditioning_gap": Figure(
        ".figures.filters:gap",
        lambda results: {"summary": results.table("preconditioning"), "filters": _filters(results)},
    ),
    "preconditioning_forest": Figure(
        ".figures.runs:forest", lambda results: {"summary": results.table("preconditioning")}
    ),
    "preconditioning_theory": Figure(
        ".figures.filters:theory", lambda results: {"theory": results.table("preconditioning_theory")}
    ),
    "preconditioning_steps": Figure(
        ".figures.filters:steps",
        lambda results: {"steps": results.table("preconditioning_steps"), "filters": _filters(results)},
    ),
    "preconditioning_coefficients": Figure(
        ".figures.runs:coefficients", lambda results: {**_metrics(results), "filters": _filters(results)}
    ),
}

STUDY = Study(
    name="preconditioning",
    build="specseq.models.moirai2.training:build",
    data={"store": "data/lotsa"},
    results=forecasting_results,
    run=PreconditioningRun,
    after_training=frozenset({"evaluation", "baseline"}),
    tables=TABLES,
    figures=FIGURES,
    cost=".cost",
    checks=".checks",
    answer=".answer:finding",
)
