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


def config(change: str = "", value: Any = None) -> dict[str, Any]:
    """A config with everything in it, in which one path is changed."""
    base: dict[str, Any] = {
        "scale": "laptop",
        "scales": {
            "laptop": {
                "studies": {
                    "toy": {
                        "base": {"training": {"steps": 30}},
                        "over": {"seed": [0, 1]},
                        "sweeps": {"named": None},
                    }
                }
            },
            "paper": {},
        },
        "data": {"lotsa": "embedded"},
        "studies": {
            "toy": {
                "base": {"filter": {"family": "identity"}, "training": {"steps": 10000, "lr": 0.1}},
                "over": {"seed": [0, 1, 2, 3, 4]},
                "sweeps": {
                    "degree": {
                        "base": {"filter": {"family": "chebyshev"}},
                        "over": {"filter.degree": [2, 5]},
                    },
                    "named": {"runs": {"a": {"seed": 7}, "b": {"seed": 8}}, "over": {"seed": None}},
                },
            }
        },
    }
    return merge(base, nest(change.split("."), value)) if change else base


def plan(change: str = "", value: Any = None) -> Plan:
    return Plan(config(change, value), SCHEMA)


def test_grid_and_layers() -> None:
    runs = plan().runs("laptop")
    assert list(runs) == [f"toy/degree/degree{d}_seed{s}" for d in (2, 5) for s in (0, 1)]
    assert runs["toy/degree/degree5_seed1"] == {
        "study": "toy",
        "seed": 1,
        "filter": {"family": "chebyshev", "degree": 5},
        "training": {"steps": 30, "lr": 0.1},
    }
    paper = plan().runs("paper")
    assert len(paper) == 12
    assert paper["toy/named/a"]["seed"] == 7
    assert paper["toy/named/a"]["training"]["steps"] == 10000


def test_a_reference_to_another_run_takes_the_seed() -> None:
    schema = merge(SCHEMA, nest(["$defs", "toy", "properties", "initial"], {"type": "object"}))
    given = config("studies.toy.base.initial", {"run": "toy/degree/degree2_seed{seed}"})
    runs = Plan(given, schema).runs("laptop")
    assert runs["toy/degree/degree5_seed1"]["initial"] == {"run": "toy/degree/degree2_seed1"}


@pytest.mark.parametrize(
    ("change", "value", "kept"),
    [
        ("named", {}, ["a", "b"]),
        ("named.runs", {"a": None}, ["b"]),
        ("named.runs", ["b"], ["b"]),
        ("named.runs", [{"b": {"training": {"lr": 0.5}}}], ["b"]),
        ("named.over", {"seed": [3]}, ["a_seed3", "b_seed3"]),
        ("named", None, []),
    ],
)
def test_a_scale_leaves_out_and_keeps_points(change: str, value: Any, kept: list[str]) -> None:
    made = plan(f"scales.paper.studies.toy.sweeps.{change}", value).runs("paper")
    assert [run for run in made if "named" in run] == [f"toy/named/{point}" for point in kept]
    if value == [{"b": {"training": {"lr": 0.5}}}]:
        assert made["toy/named/b"]["training"] == {"steps": 10000, "lr": 0.5}


def test_labels_of_a_grid_are_chosen_and_changed() -> None:
    labels = {"none": {"family": "identity"}, "some": {"family": "chebyshev", "degree": 3}}
    given = config("studies.toy.sweeps.grid", {"base": {"seed": 0}, "over": {"filter": labels, "seed": None}})
    over = ["scales", "paper", "studies", "toy", "sweeps", "grid", "over", "filter"]
    for chosen, runs in (
        (["some"], {"some": 3}),
        ({"none": None, "some": {"degree": 4}}, {"some": 4}),
        ([{"some": {"degree": 5}}], {"some": 5}),
    ):
        made = Plan(merge(given, nest(over, chosen)), SCHEMA).runs("paper")
        grid = {run.rpartition("/")[2]: spec["filter"] for run, spec in made.items() if "/grid/" in run}
        assert {name: spec["degree"] for name, spec in grid.items()} == runs


def test_null_takes_out_a_parameter_so_that_the_default_holds() -> None:
    made = plan("scales.paper.studies.toy.base", {"training": {"lr": None}, "filter": None})
    spec = made.runs("paper")["toy/named/a"]
    assert spec == {"study": "toy", "seed": 7, "training": {"steps": 10000}}


def test_one_value_changes_one_run() -> None:
    before = plan().runs("paper")
    after = plan("studies.toy.sweeps.named.runs.a.seed", 9).runs("paper")
    assert [run for run in before if before[run] != after[run]] == ["toy/named/a"]


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        ("scal", 1, "unknown key 'scal'; did you mean 'scale'"),
        ("scale", "labtop", "config.yaml: scale: 'labtop' is not among the scales; did you mean laptop?"),
        (
            "scales.laptop.studies.toy.sweeps.degre",
            {},
            "scales.laptop.studies.toy.sweeps.degre: changes what is not there; did you mean degree?",
        ),
        (
            "scales.laptop.studies.toy.sweeps.degree.over",
            {"filter.degre": [1]},
            "filter: unknown key 'degre'; did you mean 'degree'?",
        ),
        (
            "scales.laptop.studies.toy.sweeps.nmed",
            None,
            "sweeps.nmed: leaves out what is not there; did you mean named?",
        ),
        ("studies.toy.sweeps.degree.over.seed", [-1], "toy/degree/degree2_seed-1: seed: -1 is less than"),
        ("studies.toy.sweeps.degree.over.seed", [], "over.seed: sweeps over []"),
        ("studies.toy.base.filtr", {}, "unknown key 'filtr'"),
        ("studies.toy.base.filter.famly", "x", "unknown key 'famly'; did you mean 'family'"),
        ("studies.toy.sweeps.degree.base.filter.family", "cheb", "filter: family: 'cheb' is not one of"),
        ("studies.toy.sweeps.degree.runs", {"a,b": {}}, "cannot be a path"),
        ("studies.toy.sweeps.degree.runs", {"$(x)": {}}, "cannot be a path"),
        ("studies.toy.sweeps.degree.over.filter", {"1": {}, 1: {}}, "two runs are called"),
        ("studies.toy.sweeps.degree.runs", 3, "sweeps.degree.runs: 3 is not a mapping"),
    ],
)
def test_faults_are_named_in_one_line(change: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        plan(change, value).runs("laptop")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_run_names_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest: toy/degree/degree2_seed0"):
        plan().run("laptop", "toy/degree/degree2_sed0")


def test_missing_required_key() -> None:
    with pytest.raises(InputError, match="'seed' is missing"):
        plan("studies.toy.sweeps.degree.over.seed", None).runs("paper")


def test_the_place_that_sets_a_parameter() -> None:
    made, run = plan(), "toy/degree/degree5_seed1"
    assert {
        ".".join(key): made.origin("laptop", run, key)[1]
        for key in [
            ("training", "steps"),
            ("training", "lr"),
            ("filter", "family"),
            ("filter", "degree"),
            ("seed",),
        ]
    } == {
        "training.steps": "base.training.steps",
        "training.lr": "base.training.lr",
        "filter.family": "sweeps.degree.base.filter.family",
        "filter.degree": "sweeps.degree.over.filter.degree",
        "seed": "over.seed",
    }
