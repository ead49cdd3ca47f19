"""The STU hybrid: MOIRAI with spectral layers in place of attention."""

from specseq.studies.forecasting import forecasting_results, leakage, seasonal_naive_scores
from specseq.studies.interface import Figure, Inputs, Results, Study, Table
from specseq.studies.stu.config import StuRun


def _long(results: Results) -> Inputs:
    return {"long": results.table("stu_long")}


TABLES = {
    "stu_long": Table(
        "specseq.report.tidy:make",
        lambda results: {
            "training": results.of_runs("pretrain.parquet"),
            "evaluation": results.evaluations(),
            "measurement": results.file("stu_measurements.parquet"),
        },
        optional=frozenset({"measurement"}),
    ),
    "stu": Table(
        ".tables:summary",
        lambda results: {
            **_long(results),
            "leakage": leakage(results),
            "naive": seasonal_naive_scores(results),
        },
        Results.baselines,
        optional=frozenset({"leakage"}),
    ),
    "stu_leakage": Table(".tables:leakage", lambda results: {"leakage": leakage(results)}),
    "stu_metrics": Table(
        ".tables:metrics",
        lambda results: {**_long(results), "naive": seasonal_naive_scores(results)},
        Results.baselines,
    ),
    "stu_models": Table(
        ".tables:models",
        lambda results: {**_long(results), "training": results.of_runs("pretrain.parquet")},
        Results.baselines,
    ),
    "stu_lags": Table(".lags:table", _long),
}

FIGURES = {
    "stu_training": Figure(".figures:training", _long),
    "stu_speed": Figure(".figures:speed", _long),
    "stu_filters": Figure(".figures:filters", _long),
    "stu_lags": Figure(".lags:figure", _long),
    "stu_ratios": Figure(".figures:ratios", lambda results: {"summary": results.table("stu")}),
}

STUDY = Study(
    name="stu",
    build="specseq.models.moirai.training:build",
    data={"store": "data/lotsa"},
    results=forecasting_results,
    run=StuRun,
    after_training=frozenset({"evaluation", "baseline", "measurement"}),
    tables=TABLES,
    figures=FIGURES,
    cost=".cost",
    checks=".checks",
    answer=".answer:finding",
)
