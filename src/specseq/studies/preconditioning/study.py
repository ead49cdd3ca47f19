"""Polynomial preconditioning: filters around forecasters, and forecasters trained with them."""

from specseq.studies.forecasting import forecasting_results
from specseq.studies.interface import Figure, Inputs, Results, Study, Table


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
        ".tables.summary:make",
        lambda results: {**_scores(results), "corpus": results.file("data/lotsa/manifest.json")},
        Results.baselines,
    ),
    "preconditioning_taps": Table(".tables.taps:make", _metrics),
    "preconditioning_steps": Table(".tables.steps:make", _scores, Results.baselines),
    "preconditioning_theory": Table(".tables.theory:make", _theory),
    "preconditioning_theory_steps": Table(".tables.theory_steps:make", _theory),
    "preconditioning_best": Table(".tables.best:make", _scores, Results.baselines),
    "preconditioning_ranks": Table(
        ".tables.ranks:make", lambda results: {"theory": results.table("preconditioning_theory")}
    ),
    "preconditioning_reversal": Table(
        ".tables.reversal:make",
        lambda results: {
            "summary": results.table("preconditioning"),
            "filters": _filters(results),
            "matched": results.evaluations("_matched"),
        },
    ),
    "preconditioning_training": Table(
        ".tables.training:make",
        lambda results: {
            "summary": results.table("preconditioning"),
            "taps": results.table("preconditioning_taps"),
        },
    ),
    "preconditioning_norms": Table(
        ".tables.norms:make",
        lambda results: {"filters": _filters(results), "taps": results.table("preconditioning_taps")},
    ),
}

FIGURES = {
    "preconditioning_filters": Figure(
        ".figures.filters:draw", lambda results: {"filters": _filters(results)}
    ),
    "preconditioning_training": Figure(".figures.training:draw", _metrics),
    "preconditioning_gap": Figure(
        ".figures.gap:draw",
        lambda results: {"summary": results.table("preconditioning"), "filters": _filters(results)},
    ),
    "preconditioning_forest": Figure(
        ".figures.forest:draw", lambda results: {"summary": results.table("preconditioning")}
    ),
    "preconditioning_theory": Figure(
        ".figures.theory:draw", lambda results: {"theory": results.table("preconditioning_theory")}
    ),
    "preconditioning_steps": Figure(
        ".figures.steps:draw",
        lambda results: {"steps": results.table("preconditioning_steps"), "filters": _filters(results)},
    ),
    "preconditioning_coefficients": Figure(
        ".figures.coefficients:draw", lambda results: {**_metrics(results), "filters": _filters(results)}
    ),
}

STUDY = Study(
    name="preconditioning",
    build="specseq.models.moirai2.training:build",
    data={"store": "data/lotsa"},
    results=forecasting_results,
    after_training=frozenset({"evaluation", "baseline"}),
    tables=TABLES,
    figures=FIGURES,
    needed=lambda results: [results.of_runs("pretrain.parquet"), results.evaluations()],
)
