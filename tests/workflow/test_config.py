"""config.yaml as a whole."""

import json
from pathlib import Path

import pytest

from specseq.studies import studies
from specseq.studies.config import load_plan

PLAN = load_plan(Path(__file__).parents[2])


@pytest.mark.parametrize("study", sorted(PLAN.study_names))
@pytest.mark.parametrize("scale", sorted(PLAN.scales))
def test_nothing_is_trained_twice(scale: str, study: str) -> None:
    seen: dict[str, str] = {}
    for run, spec in PLAN.study_runs(scale, study).items():
        if "training" in spec:
            decisive = json.dumps(studies()[study].training_params(spec), sort_keys=True)
            assert seen.setdefault(decisive, run) == run
