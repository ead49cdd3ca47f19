"""config.yaml as a whole."""

import json
from pathlib import Path

import pytest

from specseq.sweeps import load_plan

PLAN = load_plan(Path(__file__).parents[2])
# What judges a run once it is trained, or says what it is compared with.
AFTERWARDS = {"evaluation", "baseline", "measurement", "audit"}


@pytest.mark.parametrize("study", sorted(PLAN.config["studies"]))
@pytest.mark.parametrize("scale", sorted(PLAN.scales))
def test_nothing_is_trained_twice(scale: str, study: str) -> None:
    seen: dict[str, str] = {}
    for run, spec in PLAN.study_runs(scale, study).items():
        if "training" in spec:
            decisive = {key: value for key, value in spec.items() if key not in AFTERWARDS}
            assert seen.setdefault(json.dumps(decisive, sort_keys=True), run) == run
