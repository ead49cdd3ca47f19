"""What the files say comes out as the parameters that runs have always had.

A digest changes with any parameter of any run of its scale. If a change is intended, update the digest here.
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
        ("smoke", 28, "591ca76a698042e1"),
        ("laptop", 75, "1d3694ebf2f4d8ce"),
        ("workstation", 401, "7397b7aba8960134"),
        ("paper", 862, "322b91cf08f58121"),
        ("rehearsal", 94, "5974038367141bd7"),
        ("desk", 115, "89c4b40b29a89cac"),
    ],
)
def test_parameters_of_every_run(scale: str, count: int, expected: str) -> None:
    runs = PLAN.runs(scale)
    text = json.dumps(runs, sort_keys=True)
    assert len(runs) == count
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == expected, "the parameters of some runs changed"
