"""Runs that together have every setting of the paper scale, at the size of a blink, and data for them."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from specseq.equilibrium.text.config import Grammar, TextSettings
from specseq.equilibrium.text.store import prepare_text
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus
from specseq.series.prepare import prepare_store
from specseq.spacings.config import SpacingSplits
from specseq.spacings.preparation import write_spacing_sets
from specseq.studies import studies
from specseq.studies.config import load_plan
from specseq.sweeps.merge import merge
from specseq.tables import Provenance
from specseq.zeros.catalogue import write_zeros
from specseq.zeros.config import ZeroRange

PLAN = load_plan(Path(__file__).parents[2])
TRAINING = {
    "steps": 2, "batch": 2, "warmup": 0, "schedule": "constant", "micro_batches": 1, "log_every": 1,
    "evaluate_every": 0, "checkpoint_every": 0, "precision": "float32", "tensorboard": False,
}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "preconditioning": {"model": {"d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "tokens": 32}},
    "stu": {"model": {"d_model": 16, "layers": 2, "heads": 2, "max_length": 32}},
    "equilibrium": {
        "model": {"width": 8, "heads": 2, "length": 8, "residual_gain": 0.5},
        "free": {"evaluations": 4},
        "nudged": {"evaluations": 4},
        "evaluation": {"windows": 2, "aligned": 1, "samples": 1, "budget": 8, "unrolled": 1},
    },
    "zeta": {"model": {"length": 16, "width": 16, "heads": 2}, "data": {"selection": 8}},
}


def small(study: str, params: dict[str, Any]) -> dict[str, Any]:
    """The run at a size of a blink."""
    changes = SMALL[study]
    model = params["model"]
    if study == "stu":
        stu = model.get("stu") or {}
        given = {"filters": min(4, stu.get("filters", 4)), "inner": 12 if stu.get("inner") else None}
        changes = merge(changes, {"model": {"stu": {k: v for k, v in given.items() if v or k in stu}}})
    if study == "zeta":
        less = {"blocks": min(2, model["blocks"])}
        if model.get("windows"):
            less |= {"windows": [8], "lines": 5, "highest": [0.5], "taps": 3, "hidden": [8]}
        if "limit" in params["data"]:
            changes = merge(changes, {"data": {"limit": 1000}})
        changes = merge(changes, {"model": less})
    if params.get("estimator", {}).get("name") == "lock_in":
        changes = merge(changes, {"estimator": {"period": 2, "cycles": 1}})
    kept = {name: value for name, value in params.items() if name != "initial"}
    return merge(kept, changes, {"training": TRAINING})


@cache
def kinds(study: str) -> dict[str, dict[str, Any]]:
    """Runs that bring a setting which none before them has."""
    kind = studies()[study].load(f"{studies()[study].cost}:kind")
    seen: set[str] = set()
    found = {}
    for run, params in PLAN.study_runs("paper", study).items():
        if not params.get("training"):
            continue
        made = small(study, params)
        traits = set(settings_of(kind(made, PLAN.data("paper"))))
        if not traits <= seen:
            found[run] = made
        seen |= traits
    return found


def settings_of(described: Any, place: str = "") -> Iterator[str]:
    """Innermost settings with their places; numbers make no other kind of step and stay out."""
    if not isinstance(described, dict):
        yield f"{place}={described}" if isinstance(described, str | bool) else place
        return
    for name, value in described.items():
        yield from settings_of(value, f"{place}.{name}")


RUNS = [(study, run) for study in SMALL for run in kinds(study)]


def write_inputs(folder: Path) -> dict[str, Path]:
    """Data of all studies, by the names under which runs ask for them."""
    prepare_text(folder / "text", TextSettings(source=Grammar(characters=4000, states=3, symbols=6)))
    write_corpus(
        folder / "corpus",
        embedded_sets(0, EmbeddedSizes(frequencies=("H", "M"), series=12, steps=256, evaluated=1)),
    )
    prepare_store(folder / "corpus", folder / "store")
    write_zeros(folder / "zeros.parquet", ZeroRange(height=7.5e7, count=8000), Provenance("zeros"))
    plan = SpacingSplits(shares=(0.5, 0.2, 0.3), gap=100, controls=3000, matrix_size=300, seed=3)
    (folder / "spacings").mkdir()
    write_spacing_sets(folder / "zeros.parquet", folder / "spacings", plan, Provenance("spacings"))
    return {
        "text": folder / "text",
        "store": folder / "store",
        "spacings": folder / "spacings" / "manifest.parquet",
    }
