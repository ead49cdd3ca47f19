"""Equilibrium propagation: training by relaxation, and what the eigenvalues of the Jacobian do to it."""

from collections.abc import Mapping
from typing import Any

from specseq.equilibrium.config import EquilibriumRun, MechanismSettings
from specseq.studies.interface import Figure, Results, Study, Table, files
from specseq.sweeps import Plan

_AUDIT = {"audit.parquet", "spectrum.parquet", "fingerprint.parquet"}


def _results(params: Mapping[str, Any], plan: Plan) -> set[str]:
    """Files of a run; the audit's where it has a section ``audit``."""
    return {"weights.safetensors", "pretrain.parquet"} | (_AUDIT if "audit" in params else set())


_MEASURED = files(measured="equilibrium_mechanisms.parquet")

TABLES = {
    "equilibrium_long": Table(
        "specseq.report.tidy:make",
        lambda results: {
            "training": results.of_runs("pretrain.parquet"),
            "fingerprints": results.of_runs("fingerprint.parquet"),
        },
    ),
    "equilibrium": Table(".tables:summary", Results.long),
    "equilibrium_walls": Table(".tables:walls", Results.long),
    "equilibrium_signals": Table(".tables:signals", Results.long),
    "equilibrium_controllers": Table(".dynamics_tables:controllers", Results.long),
    "equilibrium_steps": Table(".dynamics_tables:steps", Results.long),
    "equilibrium_widths": Table(".dynamics_tables:widths", Results.long),
    "equilibrium_mechanisms": Table(".tables:mechanisms", _MEASURED),
}

FIGURES = {
    "equilibrium_walls": Figure(".figures:walls", Results.long),
    "equilibrium_modes": Figure(".figures:modes", Results.long),
    "equilibrium_audit": Figure(
        ".figures:audit",
        lambda results: {
            "spectra": results.of_runs("spectrum.parquet"),
            "verdicts": results.of_runs("audit.parquet"),
            "fingerprints": results.of_runs("fingerprint.parquet"),
        },
    ),
    "equilibrium_solvers": Figure(".mechanism_figures:solvers", _MEASURED),
    "equilibrium_estimators": Figure(".mechanism_figures:estimators", _MEASURED),
    "equilibrium_diagnostics": Figure(".mechanism_figures:diagnostics", _MEASURED),
}

STUDY = Study(
    name="equilibrium",
    build="specseq.studies.equilibrium.training:build",
    data={"text": "data/text"},
    results=_results,
    run=EquilibriumRun,
    settings={"mechanisms": MechanismSettings},
    after_training=frozenset({"audit"}),
    tables=TABLES,
    figures=FIGURES,
    cost=".cost",
    checks=".checks",
    answer=".answer:finding",
)
