"""The equilibrium study as config.yaml declares it, at every scale, and what its schema lets be declared."""

from pathlib import Path
from typing import Any

import pytest

from specseq.equilibrium.config import ESTIMATORS, EquilibriumRun
from specseq.equilibrium.penalty_config import Regularisers
from specseq.equilibrium.solver_config import SOLVERS
from specseq.equilibrium.trainer import Trainer
from specseq.errors import InputError
from specseq.settings import read
from specseq.studies.config import load_plan

ROOT = Path(__file__).parents[2]
PLAN = load_plan(ROOT)


def runs(scale: str) -> dict[str, dict[str, Any]]:
    return PLAN.study_runs(scale, "equilibrium")


@pytest.mark.parametrize("scale", sorted(PLAN.scales))
def test_every_run_is_one_that_can_be_made(scale: str) -> None:
    for spec in runs(scale).values():
        trainer = Trainer(read(EquilibriumRun, spec, "run"), 0)
        # The loop computes parts of a batch for a loss only, not for a rule that sets gradients itself.
        assert trainer.backpropagates or trainer.run.training.micro_batches == 1


@pytest.mark.parametrize("scale", sorted(PLAN.scales))
def test_all_runs_have_the_same_evaluations_and_training(scale: str) -> None:
    """But those whose point it is: length of the nudge, width, another start, backpropagation's memory."""
    others = ("/half_nudge", "/bptt", "/nudged_length/", "/width/", "/start/")
    plain = [spec for run, spec in runs(scale).items() if not any(part in run for part in others)]
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
    assert PLAN.data("paper")["text"]["source"] == {"kind": "hub"}


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
    crossed = [("euler", 0.1), ("euler", 0.025), ("anderson", None)]
    settings = [
        (*solver, penalty) for solver in crossed for penalty in ("", "jacobian", "residual", "eigenvalue")
    ]
    for wanted in [*settings, ("euler", 0.05, ""), ("adaptive", None, "")]:
        assert {seed for *rest, seed in found if tuple(rest) == wanted} >= {0, 1, 2}
    assert {solver for solver, *_ in found} == set(SOLVERS)


def test_every_part_of_the_library_is_in_some_run() -> None:
    specs = list(runs("paper").values())
    assert {spec["rule"] for spec in specs} == {"ep", "implicit", "bptt", "transformer"}
    assert {spec["estimator"].get("length", {}).get("method") for spec in specs} == {None, "select", "track"}
    assert {spec["estimator"]["name"] for spec in specs} == set(ESTIMATORS)
    assert {name for spec in specs for name in spec.get("regularisers", {})} == set(
        Regularisers.__dataclass_fields__
    )
    penalties = [penalty for spec in specs for penalty in spec.get("regularisers", {}).values()]
    assert {penalty.get("form") for penalty in penalties} == {None, "published"}
    assert any("target" in penalty for penalty in penalties)
    for key in ("gate", "caps", "nudged_solver", "audit", "initial"):
        assert any(spec.get(key) for spec in specs)


@pytest.mark.parametrize("scale", ["paper", "workstation"])
def test_a_warm_start_takes_as_many_steps_in_all_as_scratch(scale: str) -> None:
    found = runs(scale)
    scratch = found["equilibrium/wall/eigreg_seed0"]["training"]["steps"]
    source = found["equilibrium/start/source_seed0"]["training"]["steps"]
    for name in ("warm", "warm_eigreg"):
        spec = found[f"equilibrium/start/{name}_seed0"]
        assert spec["initial"]["run"] == "equilibrium/start/source_seed0"
        assert source + spec["training"]["steps"] == scratch


def test_widths_keep_the_channels_of_a_head() -> None:
    shapes = [spec["model"] for run, spec in runs("paper").items() if "/width/" in run]
    assert {shape["width"] for shape in shapes} == {32, 64, 128, 256}
    assert {shape["width"] // shape["heads"] for shape in shapes} == {16}


@pytest.mark.parametrize("changes", [{}, {"rule": "bptt", "regularisers": {"jacobian": {"weight": 0.1}}}])
def test_a_batch_that_cannot_be_divided_is_refused_before_it_is_trained(changes: dict[str, Any]) -> None:
    given = {"study": "equilibrium", "seed": 0, "training": {"steps": 4, "micro_batches": 2}, **changes}
    with pytest.raises(InputError, match=r"training.micro_batches: .* take a batch whole"):
        read(EquilibriumRun, given, "run")
