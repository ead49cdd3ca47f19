"""Sweeps become runs; what is wrong in the config is said in one line."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import yaml

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass
from specseq.sweeps import Config, Kinds, Plan
from specseq.sweeps.merge import merge, nest


@dataclass(frozen=True, config=STRICT)
class ToyFilter:
    family: Literal["identity", "chebyshev"] = "identity"
    degree: int | None = None


@dataclass(frozen=True, config=STRICT)
class ToyTraining:
    steps: int = Field(ge=1)
    lr: float = 0.1


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ToyRun:
    study: Literal["toy"]
    seed: int = Field(ge=0)
    training: ToyTraining
    filter: ToyFilter = ToyFilter()
    initial: dict[str, str] | None = None
    baseline: str | None = None


@dataclass(frozen=True, config=STRICT)
class ToyData:
    lotsa: str = "embedded"
    size: int = 3


@dataclass(frozen=True, config=STRICT)
class ToyExtra:
    repeats: int = 1


KINDS = Kinds({"toy": SimpleNamespace(run=ToyRun, settings={"extra": ToyExtra})}, ToyData, ToyFilter)


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


def plan_of(content: dict[str, Any]) -> Plan:
    return Plan(Config(content, [("config.yaml", content)]), KINDS)


def plan(change: str = "", value: Any = None) -> Plan:
    return plan_of(config(change, value))


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
    given = config("studies.toy.base.initial", {"run": "toy/degree/degree2_seed{seed}"})
    runs = plan_of(given).runs("laptop")
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
        made = plan_of(merge(given, nest(over, chosen))).runs("paper")
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


SWEEP = "studies.toy.sweeps.degree"
OVERLAY = "scales.laptop.studies.toy"


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        ("scale", "labtop", "scale: 'labtop' is not among the scales; did you mean laptop?"),
        ("scales.2024", {}, "scales.2024: cannot be the name of a scale; use a-z, 0-9 and _, a letter first"),
        (
            f"{OVERLAY}.sweeps.degre",
            {},
            f"{OVERLAY}.sweeps.degre: changes what is not there; did you mean degree?",
        ),
        (
            f"{OVERLAY}.sweeps.nmed",
            {},
            f"{OVERLAY}.sweeps.nmed: changes what is not there; did you mean named?",
        ),
        (f"{OVERLAY}.sweeps.degree", 3, f"{OVERLAY}.sweeps.degree: 3 is not a mapping"),
        (f"{OVERLAY}.sweeps.degree.bse", {}, f"{OVERLAY}.sweeps.degree.bse: unknown key; did you mean base?"),
        (
            f"{OVERLAY}.base.trainin",
            {},
            "run toy/degree/degree2_seed0: trainin: unknown key; did you mean training?",
        ),
        (
            f"{OVERLAY}.sweeps.degree.over",
            {"filter.degre": [1]},
            "run toy/degree/degree2_degre1_seed0: filter.degre: unknown key; did you mean degree?",
        ),
        (
            "scales.laptop.studies.tooy",
            {},
            "scales.laptop.studies.tooy: changes what is not there; did you mean toy?",
        ),
        ("studies.tooy", {}, "studies.tooy: no such study; did you mean toy?"),
        ("studies.toy.sweps", {}, "studies.toy.sweps: unknown key; did you mean sweeps?"),
        ("studies.toy.extra", {"repeat": 2}, "studies.toy.extra.repeat: unknown key; did you mean repeats?"),
        ("studies.toy.sweeps", [1], "studies.toy.sweeps.1: changes what is not there; known: none"),
        (f"{SWEEP}.over.seed", [-1], "run toy/degree/degree2_seed-1: seed: -1 is not at least 0"),
        (f"{SWEEP}.over.seed", [True], "run toy/degree/degree2_seedTrue: seed: true is not a whole number"),
        (f"{SWEEP}.over.seed", [], f"{SWEEP}.over.seed: sweeps over []; give a list of values or a mapping"),
        (
            "studies.toy.base.filtr",
            {},
            "run toy/degree/degree2_seed0: filtr: unknown key; did you mean filter?",
        ),
        ("studies.toy.base.filter.famly", "x", "filter.famly: unknown key; did you mean family?"),
        (f"{SWEEP}.base.filter.family", "cheb", "filter.family: 'cheb' is unknown; did you mean chebyshev?"),
        (f"{SWEEP}.base.training.lr", "fast", "training.lr: 'fast' is not a number"),
        (
            f"{SWEEP}.base.baseline",
            "toy/degree/degree",
            "no run of the scale laptop is called 'toy/degree/degree'; did",
        ),
        (
            f"{SWEEP}.base.initial",
            {"run": "toy/degre/degree2_seed0"},
            "base.initial.run: no run of the scale laptop is called 'toy/degre/degree2_seed0'; did",
        ),
        (f"{SWEEP}.runs", {"a,b": {}}, f"{SWEEP}: the run id 'degree/a,b_degree2_seed0' cannot be a path"),
        (
            f"{SWEEP}.runs",
            {"$(x)": {}},
            "cannot be a path; use letters, digits, '.', '-', '_' in names and labels",
        ),
        (f"{SWEEP}.over.filter", {"1": {}, 1: {}}, f"{SWEEP}: two runs are called 'degree2_1_seed0'"),
        (f"{SWEEP}.over.filter", {}, f"{SWEEP}.over.filter: sweeps over {{}}; give a list of values"),
        (
            f"{SWEEP}.runs",
            {"a": {"seed": 4}},
            f"{SWEEP}.runs.a.seed: is overwritten by the study's values of seed; sweep it here, or",
        ),
        (f"{SWEEP}.base.seed", 4, f"{SWEEP}.base.seed: is overwritten by the study's values of seed"),
        (f"{SWEEP}.runs", {}, f"{SWEEP}.runs: leaves no run; leave out the sweep: null"),
        (f"{SWEEP}.runs", {"a": {}, "A": {}}, f"{SWEEP}: two runs are called 'A_degree2_seed0'"),
        (f"{SWEEP}.runs", {"a" * 250: {}}, "has a part of more than 200 characters; give labels"),
        (f"{SWEEP}.runs", 3, f"{SWEEP}.runs: 3 is not a mapping"),
        (f"{SWEEP}.about", ["why"], f"{SWEEP}.about: ['why'] is not a text"),
        (
            f"{OVERLAY}.sweeps",
            [["degree"]],
            f"{OVERLAY}.sweeps: ['degree'] is not an entry of a list of names",
        ),
        (f"{OVERLAY}.sweeps", ["degree", {"degree": {}}], f"{OVERLAY}.sweeps.degree: appears twice; join"),
        ("data.lotza", "x", "data.lotza: unknown key; did you mean lotsa?"),
        ("data.size", "big", "data.size: 'big' is not a whole number"),
        (
            "filters",
            {"mine": {"family": "cheb"}},
            "filters.mine.family: 'cheb' is unknown; did you mean chebyshev?",
        ),
    ],
)
def test_faults_are_named_in_one_line(change: str, value: Any, message: str) -> None:
    def use(made: Plan) -> None:
        made.runs("laptop")
        made.data("laptop")
        made.filter("mine")

    with pytest.raises(InputError) as caught:
        use(plan(change, value))
    assert str(caught.value).startswith("config.yaml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_null_that_takes_nothing_out_is_refused() -> None:
    given = config()
    given["scales"]["paper"] = {"studies": {"toy": {"sweeps": {"nmed": None}}}}
    with pytest.raises(InputError, match=r"sweeps.nmed: leaves out what is not there; did you mean named"):
        plan_of(given).runs("paper")


def test_a_faulty_scale_withholds_no_other() -> None:
    made = plan("scales.mine", {"studies": {"toy": {"base": {"training": {"steps": 0}}}}})
    assert set(made.declared()) == {"laptop", "paper"}
    with pytest.raises(InputError, match=r"scales.mine|training.steps: 0 is not at least 1"):
        made.runs("mine")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- a", "['a'] is not a mapping"),
        ("text", "'text' is not a mapping"),
        ("a: b: c", "mapping values are not allowed"),
        ("data: 5", "data: 5 is not a mapping"),
        ("resources: [1]", "resources: [1] is not a mapping"),
        ("studies: {toy: {base: 5}}", "studies.toy.base: 5 is not a mapping"),
        ("studies: {toy: {sweeps: {named: {base: [1]}}}}", "studies.toy.sweeps.named.base: [1] is not a map"),
        ("dat: {}", "dat: is not a section of a scale; did you mean data?"),
        ("filters: {}", "filters: is not a section of a scale; known: studies, data, resources"),
        ("resources: {toi: {pretrain: {}}}", "resources.toi: unknown key; did you mean toy?"),
        ("resources: {toy: {pretrian: {}}}", "resources.toy.pretrian: unknown key; did you mean pretrain?"),
    ],
)
def test_a_file_of_a_scale_is_at_fault_where_it_is_used(tmp_path: Path, text: str, fault: str) -> None:
    content = {"scale": "laptop"}
    study = tmp_path / "workflow" / "studies" / "toy"
    study.mkdir(parents=True)
    (study / "sweeps.yaml").write_text(yaml.safe_dump(config()["studies"]["toy"]))
    scales = tmp_path / "workflow" / "scales"
    scales.mkdir(parents=True)
    (scales / "laptop.yaml").touch()
    (scales / "mine.yaml").write_text(text)
    kinds = replace(KINDS, rules=["pretrain"])
    made = Plan(Config(content, [("config.yaml", content)]), kinds, tmp_path)
    assert set(made.declared()) >= {"laptop"}
    assert not made.resources("laptop")

    def use() -> None:
        made.runs("mine")
        made.resources("mine")

    with pytest.raises(InputError) as caught:
        use()
    assert "workflow/scales/mine.yaml: " + fault in str(caught.value)


def test_data_have_defaults() -> None:
    assert plan("data.size", 5).data("laptop") == {"lotsa": "embedded", "size": 5}
    assert plan().data("laptop") == {"lotsa": "embedded", "size": 3}


def test_unknown_run_names_the_nearest() -> None:
    with pytest.raises(InputError, match="nearest: toy/degree/degree2_seed0"):
        plan().run("laptop", "toy/degree/degree2_sed0")


def test_missing_required_key() -> None:
    with pytest.raises(InputError, match="run toy/degree/degree2: seed: is missing; add it"):
        plan("studies.toy.over.seed", None).runs("paper")


def test_the_place_that_sets_a_parameter() -> None:
    made, run = plan().at("laptop"), "toy/degree/degree5_seed1"
    keys = ["training.steps", "training.lr", "filter.family", "filter.degree", "seed"]
    assert {key: made.place(run, tuple(key.split("."))).removeprefix("config.yaml: ") for key in keys} == {
        "training.steps": "scales.laptop.studies.toy.base.training.steps",
        "training.lr": "studies.toy.base.training.lr",
        "filter.family": "studies.toy.sweeps.degree.base.filter.family",
        "filter.degree": "studies.toy.sweeps.degree.over.filter.degree",
        "seed": "scales.laptop.studies.toy.over.seed",
    }


def test_a_base_of_nothing_is_none() -> None:
    assert plan("studies.toy.sweeps.degree.base", None).runs("laptop").keys() == plan().runs("laptop").keys()


def workflow_with(root: Path, name: str) -> Plan:
    """The toy's plan in a folder with a file of one more name."""
    (root / name).parent.mkdir(parents=True)
    (root / name).write_text("{}")
    given = config()
    return Plan(Config(given, [("config.yaml", given)]), KINDS, root)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("studies/toy/sweep.yaml", "no file of a study has this name; did you mean sweeps.yaml"),
        ("studies/toy/claims.yml", "no file of a study has this name; did you mean claims.yaml"),
        ("scales/tiny.yml", "is not read; rename it to end in .yaml"),
        ("scales/Tiny.yaml", "cannot be the name of a scale"),
    ],
)
def test_a_file_that_would_not_be_read_is_refused(tmp_path: Path, name: str, fault: str) -> None:
    with pytest.raises(InputError, match=f"^workflow/{name}: {fault}"):
        workflow_with(tmp_path, f"workflow/{name}")


@pytest.mark.parametrize("name", ["studies/toy/._sweeps.yaml", "scales/.#smoke.yaml", "studies/toy/a.yaml~"])
def test_what_editors_leave_is_not_read(tmp_path: Path, name: str) -> None:
    assert workflow_with(tmp_path, f"workflow/{name}").scales == plan().scales
