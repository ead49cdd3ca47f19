"""What the files say comes out as the parameters that runs have always had.

A digest changes with any parameter of any run of its scale. Where a change is meant, write its digest here.
"""

import hashlib
import json
from pathlib import Path

import pytest

from specseq.studies.config import load_plan

PLAN = load_plan(Path(__file__).parents[2])


@pytest.mark.parametrize(
    ("scale", "count", "expected"),
    [
        ("smoke", 27, "677fefa05a7633c2"),
        ("laptop", 72, "20f44121a04c643b"),
        ("workstation", 324, "405abd1d2fc4fbea"),
        ("paper", 840, "77137c5db88b9b19"),
        ("rehearsal", 90, "411af7b5cdc35caf"),
        ("desk", 112, "88d5b777900bc1bd"),
    ],
)
def test_parameters_of_every_run(scale: str, count: int, expected: str) -> None:
    runs = PLAN.runs(scale)
    text = json.dumps(runs, sort_keys=True)
    assert len(runs) == count
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == expected, "the parameters of some runs changed"
