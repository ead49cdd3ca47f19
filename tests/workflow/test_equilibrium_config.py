"""The equilibrium study as config.yaml declares it, at every scale, and what its schema lets be declared."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from specseq.equilibrium.block import BlockShape
from specseq.equilibrium.controllers import AdaptiveWeight
from specseq.equilibrium.estimators import ESTIMATORS, LockIn
from specseq.equilibrium.evaluation import Evaluation
from specseq.equilibrium.solvers import SOLVERS
from specseq.equilibrium.trainer import REGULARISERS, RULES, Trainer
from specseq.sweeps import load_plan

ROOT = Path(__file__).parents[2]
PLAN = load_plan(ROOT)
SCHEMA = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text())["$defs"]


def runs(scale: str) -> dict[str, dict[str, Any]]:
    return PLAN.study_runs(scale, "equilibrium")


@pytest.mark.parametrize("scale", sorted(PLAN.scales))
def test_every_run_is_one_that_can_be_made(scale: str) -> None:
    for spec in runs(scale).values():
        BlockShape.read({**spec["model"], "vocabulary": 96})
        trainer = Trainer.read(spec, 0)
        Evaluation.read(spec["evaluation"], trainer)
        # The loop computes parts of a batch for a loss only, not for a rule that sets gradients itself.
        assert trainer.backpropagates or spec["training"].get("micro_batches", 1) == 1
        if isinstance(trainer.estimator, LockIn):
            assert 2 * trainer.estimator.cycles * trainer.estimator.period <= trainer.nudged.evaluations


@pytest.mark.parametrize("scale", sorted(PLAN.scales))
def test_all_runs_have_the_same_evaluations_and_training(scale: str) -> None:
    """But those whose point it is: half of the nudge, and backpropagation's memory."""
    plain = [spec for run, spec in runs(scale).items() if "/half_nudge" not in run and "/bptt" not in run]
    for key in ("free", "nudged", "training", "model", "evaluation"):
        assert all(spec[key] == plain[0][key] for spec in plain), key
    for run, spec in runs(scale).items():
        if "/bptt" in run:
            assert (spec["free"], spec["training"]["steps"]) == (
                plain[0]["free"],
                plain[0]["training"]["steps"],
            )


def test_the_published_size_is_what_the_paper_scale_runs() -> None:
    spec = runs("paper")["equilibrium/wall/euler_seed0"]
    model, training = spec["model"], spec["training"]
    assert (model["width"], model["heads"], model["length"], training["batch"]) == (512, 16, 256, 24)
    assert PLAN.data("paper")["text"]["tokeniser"] == {"kind": "bpe", "size": 4096}
    assert PLAN.data("paper")["text"]["source"]["repo"].endswith("TinyStories")


def test_step_sizes_solvers_and_regularisers_are_crossed_with_seeds() -> None:
    found = {
        (
            spec["solver"]["name"],
            spec["solver"].get("step", 0.1) if spec["solver"]["name"] == "euler" else None,
            "+".join(spec.get("regularisers", {})),
            spec["seed"],
        )
        for spec in runs("paper").values()
        if spec["rule"] == "ep"
    }
    settings = [("euler", step) for step in (0.1, 0.05, 0.025)] + [("adaptive", None), ("anderson", None)]
    for name, step in settings:
        for penalty in ("", "jacobian", "residual", "eigenvalue"):
            assert {seed for *rest, seed in found if rest == [name, step, penalty]} >= {0, 1, 2}
    assert {solver for solver, *_ in found} == set(SOLVERS)


def test_every_part_of_the_library_is_in_some_run() -> None:
    specs = list(runs("paper").values())
    assert {spec["rule"] for spec in specs} == set(RULES)
    assert {spec["estimator"]["name"] for spec in specs} == set(ESTIMATORS)
    assert {name for spec in specs for name in spec.get("regularisers", {})} == set(REGULARISERS)
    penalties = [penalty for spec in specs for penalty in spec.get("regularisers", {}).values()]
    assert {penalty.get("form") for penalty in penalties} == {None, "published"}
    assert any("target" in penalty for penalty in penalties)
    for key in ("gate", "caps", "nudged_solver", "audit"):
        assert any(spec.get(key) for spec in specs)


def test_the_schema_lets_all_of_it_be_declared_and_nothing_else() -> None:
    study = SCHEMA["equilibrium"]["properties"]
    estimator, solver = study["estimator"]["properties"], SCHEMA["equilibrium_solver"]["properties"]
    penalty = set(SCHEMA["equilibrium_penalty"]["properties"])
    assert (set(study["rule"]["enum"]), set(study["regularisers"]["properties"])) == (
        set(RULES),
        set(REGULARISERS),
    )
    assert (set(estimator["name"]["enum"]), set(solver["name"]["enum"])) == (set(ESTIMATORS), set(SOLVERS))

    def constants(kinds: dict[str, Any]) -> set[str]:
        return {field.name for kind in kinds.values() for field in dataclasses.fields(kind)}

    assert set(estimator) == constants(ESTIMATORS) | {"name"}
    assert penalty == constants(REGULARISERS) | {field.name for field in dataclasses.fields(AdaptiveWeight)}
    shape = {field.name for field in dataclasses.fields(BlockShape)} - {"vocabulary"}
    assert set(study["model"]["properties"]) == shape
    evaluation = {field.name for field in dataclasses.fields(Evaluation)} - {"trainer"}
    assert set(SCHEMA["equilibrium_evaluation"]["properties"]) == evaluation
