"""Spacings of zeros of the zeta function as a series to be forecast."""

from specseq.studies.interface import Figure, Inputs, Results, Study, Table
from specseq.studies.zeta.config import ZetaRun


def _long(results: Results) -> Inputs:
    return {"long": results.table("zeta_long")}


TABLES = {
    "zeta": Table(".tables:summary", _long),
    "zeta_size": Table(".tables:size", _long),
    "zeta_memory": Table(".memory:memory", _long),
    "zeta_changes": Table(
        ".changes:changes", lambda results: {**_long(results), "zeta": results.table("zeta")}
    ),
    "zeta_long": Table(
        ".tables:long",
        lambda results: {
            "training": results.of_runs("pretrain.parquet"),
            "rollouts": results.of_runs("rollout.parquet"),
            "references": [results.file("zeta_references.parquet")],
        },
    ),
}

FIGURES = {
    "zeta_leak": Figure(".figures:leak", _long),
    "zeta_context": Figure(".figures:context", _long),
    "zeta_rollout": Figure(".figures:rollout", _long),
    "zeta_statistics": Figure(".figures:statistics", _long),
    "zeta_size": Figure(
        ".figures:size", lambda results: {**_long(results), "sizes": results.table("zeta_size")}
    ),
    "zeta_masks": Figure(".figures:masks", lambda results: {}),
    "zeta_memory": Figure(".memory_figure:memory", lambda results: {"memory": results.table("zeta_memory")}),
    "zeta_changes": Figure(".changes:figure", lambda results: {"changes": results.table("zeta_changes")}),
}

STUDY = Study(
    name="zeta",
    build=".training:build",
    data={"spacings": "data/spacings/manifest.parquet"},
    results=lambda params, plan: {"weights.safetensors", "pretrain.parquet", "rollout.parquet"},
    run=ZetaRun,
    after_training=frozenset({"evaluation", "rollout"}),
    tables=TABLES,
    figures=FIGURES,
    cost=".cost",
    checks=".checks",
    answer=".answer:finding",
)
