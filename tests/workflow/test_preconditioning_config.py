"""The preconditioning study as config.yaml declares it, at every scale."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from specseq.forecasters.moirai2.config import Moirai2Config, PreconditioningConfig
from specseq.report.tables.long_results import group_of
from specseq.sweeps import load_plan

ROOT = Path(__file__).parents[2]
PLAN = load_plan(ROOT)
SCALES = sorted(PLAN.scales)


def runs(scale: str) -> dict[str, dict[str, Any]]:
    return PLAN.study_runs(scale, "preconditioning")


def groups(scale: str) -> set[str]:
    import pandas as pd

    return set(group_of(pd.Series(list(runs(scale)))))


@pytest.mark.parametrize("scale", SCALES)
def test_every_run_is_a_model_that_can_be_made(scale: str) -> None:
    seen = set()
    for spec in runs(scale).values():
        if "training" in spec:
            part = {key: spec[key] for key in ("model", "filter", "preconditioning") if key in spec}
            if (text := json.dumps(part, sort_keys=True)) not in seen:
                seen.add(text)
                Moirai2Config.of(part)
                PreconditioningConfig.of(part)
    assert seen


@pytest.mark.parametrize("scale", SCALES)
def test_runs_that_are_referred_to_exist(scale: str) -> None:
    declared = runs(scale)
    for spec in declared.values():
        for key in ("initial", "forecaster"):
            other = spec.get(key, {}).get("run")
            if other is not None:
                assert declared[other]["seed"] == spec["seed"]
                assert "training" in declared[other]
                assert declared[other]["model"] == spec.get("model", declared[other]["model"])
        assert spec.get("baseline", "preconditioning/baseline") in groups(scale)
        for name in spec.get("evaluation", {}).get("filters", ()):
            assert name in PLAN.config["filters"]


def test_a_baseline_of_its_own_has_the_runs_length() -> None:
    paper = runs("paper")
    for spec in paper.values():
        if "baseline" in spec:
            against = paper[f"{spec['baseline']}_seed{spec['seed']}"]
            assert against["training"] == spec["training"]


def test_every_run_that_the_claims_name_is_declared() -> None:
    text = (ROOT / "workflow/claims/000_preconditioning.yaml").read_text()
    named = set(re.findall(r"group: \"?(preconditioning/[\w./]+)[,}\"\s]", text))
    assert len(named) > 5
    assert named <= groups("paper")
