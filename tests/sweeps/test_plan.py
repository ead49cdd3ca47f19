"""Sweeps become runs; what is wrong in the config is said in one line."""

from typing import Any

import pytest

from specseq.errors import InputError
from specseq.sweeps import Plan
from specseq.sweeps.merge import merge, nest

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "scale": {"type": "string"},
        "scales": {"type": "object"},
        "data": {"type": "object"},
        "studies": {"type": "object"},
    },
    "required": ["scale", "scales", "data", "studies"],
    "additionalProperties": False,
    "$defs": {
        "toy": {
            "properties": {
                "study": {"const": "toy"},
                "seed": {"$ref": "#/$defs/whole"},
                "filter": {
                    "type": "object",
                    "properties": {
                        "family": {"enum": ["identity", "chebyshev"]},
                        "degree": {"type": "integer"},
                    },
                    "additionalProperties": False,
                },
                "training": {"type": "object", "properties": {"steps": {"minimum": 1}}},
            },
            "required": ["seed"],
        },
        "whole": {"type": "integer", "minimum": 0},
    },
}


def config(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "scale": "laptop",
        "scales": {
            "laptop": {"values": {"seeds": [0, 1]}, "studies": {"toy": {"training": {"steps": 30}}}},
            "paper": {"values": {"seeds": [0, 1, 2, 3, 4]}},
        },
        "data": {"lotsa": "embedded"},
        "studies": {
            "toy": {
                "base": {"filter": {"family": "identity"}, "training": {"steps": 10000, "lr": 0.1}},
                "sweeps": {
                    "degree": {
                        "base": {"filter": {"family": "chebyshev"}},
                        "over": {"filter.degree": [2, 5], "seed": "$seeds"},
                    },
                    "named": {
                        "runs": [{"name": "a", "seed": 7}, {"name": "b", "seed": 8}],
                        "scales": ["paper"],
                    },
                },
            }
        },
    }
    return merge(base, changes)


def test_grid_and_layers() -> None:
    runs = Plan(config(), SCHEMA).runs("laptop")
    assert list(runs) == [f"toy/degree/degree{d}_seed{s}" for d in (2, 5) for s in (0, 1)]
    assert runs["toy/degree/degree5_seed1"] == {
        "study": "toy",
        "seed": 1,
        "filter": {"family": "chebyshev", "degree": 5},
        "training": {"steps": 30, "lr": 0.1},
    }
    paper = Plan(config(), SCHEMA).runs("paper")
    assert len(paper) == 12
    assert paper["toy/named/a"]["seed"] == 7
    assert paper["toy/named/a"]["training"]["steps"] == 10000


def test_a_reference_to_another_run_takes_the_seed() -> None:
    schema = merge(SCHEMA, nest("$defs.toy.properties.initial", {"type": "object"}))
    given = config()
    given["studies"]["toy"]["base"]["initial"] = {"run": "toy/degree/degree2_seed{seed}"}
    runs = Plan(given, schema).runs("laptop")
    assert runs["toy/degree/degree5_seed1"]["initial"] == {"run": "toy/degree/degree2_seed1"}


def test_a_named_point_may_leave_scales_out() -> None:
    given = config()
    named = given["studies"]["toy"]["sweeps"]["named"]
    named.pop("scales")
    named["runs"][1]["scales"] = ["paper"]
    plan = Plan(given, SCHEMA)
    assert [run for run in plan.runs("laptop") if "named" in run] == ["toy/named/a"]
    assert [run for run in plan.runs("paper") if "named" in run] == ["toy/named/a", "toy/named/b"]
    assert "scales" not in plan.run("paper", "toy/named/b")
    named["runs"][0]["scales"] = ["paper"]
    assert not [run for run in Plan(given, SCHEMA).runs("laptop") if "named" in run]


def test_one_value_changes_one_run() -> None:
    before = Plan(config(), SCHEMA).runs("paper")
    changed = config()
    changed["studies"]["toy"]["sweeps"]["named"]["runs"][0]["seed"] = 9
    after = Plan(changed, SCHEMA).runs("paper")
    assert [run for run in before if before[run] != after[run]] == ["toy/named/a"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scal": 1}, "unknown key 'scal'; did you mean 'scale'"),
        ({"scale": "tiny"}, "'tiny' is not among the scales"),
        (nest("studies.toy.sweeps.degree.scales", ["labtop"]), "sweeps.degree.scales: 'labtop' is not among"),
        (
            nest("studies.toy.sweeps.degree.runs", [{"name": "a", "scales": ["papre"]}]),
            "sweeps.degree.runs.a: 'papre' is not among the scales; known: ",
        ),
        (nest("studies.toy.sweeps.degree.over.seed", "$sed"), "no value 'sed'; it has: seeds"),
        (
            nest("studies.toy.sweeps.degree.over.seed", [-1]),
            "toy/degree/degree2_seed-1: seed: -1 is less than",
        ),
        (nest("studies.toy.sweeps.degree.over.seed", []), "over seed: sweeps over []"),
        (nest("studies.toy.base.filtr", {}), "unknown key 'filtr'"),
        (nest("studies.toy.base.filter.famly", "x"), "unknown key 'famly'; did you mean 'family'"),
        (
            nest("studies.toy.sweeps.degree.base.filter.family", "cheb"),
            "filter: family: 'cheb' is not one of",
        ),
        (nest("studies.toy.sweeps.degree.runs", [{"name": "a,b"}]), "cannot be a path"),
        (nest("studies.toy.sweeps.degree.runs", [{"name": "$(x)"}]), "cannot be a path"),
        (nest("studies.toy.sweeps.degree.runs", [{"name": "a"}, {"name": "a"}]), "two runs are called"),
    ],
)
def test_faults_are_named_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Plan(config(**change), SCHEMA).runs("laptop")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_run_names_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest: toy/degree/degree2_seed0"):
        Plan(config(), SCHEMA).run("laptop", "toy/degree/degree2_sed0")


def test_missing_required_key() -> None:
    broken = config()
    del broken["studies"]["toy"]["sweeps"]["degree"]["over"]["seed"]
    with pytest.raises(InputError, match="'seed' is missing"):
        Plan(broken, SCHEMA).runs("laptop")
