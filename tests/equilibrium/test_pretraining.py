"""The training task: its rules agree, it resumes exactly, and it says what is wrong with a run."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from specseq.equilibrium import evaluation
from specseq.equilibrium.config import ESTIMATORS
from specseq.equilibrium.solver_config import SOLVERS
from specseq.errors import InputError
from specseq.studies.equilibrium.training import build
from specseq.training.loop import train
from specseq.training.task import Task

PARAMS: dict[str, Any] = {
    "study": "equilibrium",
    "seed": 0,
    "model": {"width": 8, "heads": 2, "length": 5},
    "rule": "ep",
    "solver": {"name": "euler", "step": 0.1},
    "estimator": {"name": "two_sided", "radius": 0.01},
    "free": {"evaluations": 120, "tolerance": 1e-7},
    "nudged": {"evaluations": 120, "tolerance": 1e-6},
    "training": {"steps": 4, "batch": 3, "lr": 0.01, "precision": "float32", "tensorboard": False},
    "evaluation": {"windows": 3, "aligned": 2, "samples": 1, "budget": 200, "unrolled": 100},
}


def change(**values: Any) -> dict[str, Any]:
    params = copy.deepcopy(PARAMS)
    if values.get("rule", "ep") != "ep":
        params["estimator"] = {"name": "two_sided"}
    for path, value in values.items():
        *outer, last = path.split("__")
        inner = params
        for name in outer:
            inner = inner[name]
        inner[last] = value
    return params


def flat(values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Innermost keys and values."""
    pairs = []
    for key, value in values.items():
        pairs += flat(value) if isinstance(value, dict) else [(key, value)]
    return pairs


def task(text: Path, **values: Any) -> Task:
    return build(change(**values), {"text": text})


def first_gradient(made: Task) -> torch.Tensor:
    made.model.zero_grad()
    if made.loss is not None:
        made.loss(made.model, next(made.batches))[0].backward()
    else:
        assert made.gradients is not None
        made.gradients(made.model, next(made.batches))
    return torch.cat([weight.grad.flatten() for weight in made.model.parameters()])


def test_all_rules_have_the_same_gradient_where_phases_converge(text) -> None:
    reference = first_gradient(task(text, rule="implicit"))
    for values in (
        {"rule": "bptt"},
        {"estimator": {"name": "adjoint"}},
        {"estimator": {"name": "two_sided", "radius": 0.05}},
        {"solver": {"name": "anderson"}},
    ):
        found = first_gradient(task(text, **values))
        # Two-sided states are divided by a small radius: single precision shows.
        torch.testing.assert_close(found, reference, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize(
    "values",
    [
        *({"solver": {"name": name}} for name in SOLVERS),
        *({"estimator": {"name": name}} for name in ESTIMATORS if name != "lock_in"),
        {"estimator": {"name": "lock_in", "period": 60, "cycles": 1}},
        {"estimator": {"name": "two_sided", "drift_cancelled": True, "corrected": False}},
        {"estimator": {"name": "holomorphic", "points": 8, "radius": 0.05}},
        {"regularisers": {"jacobian": {"weight": 0.5, "target": 1e-9}}},
        {"regularisers": {"residual": {"weight": 1e6}}},
        {"regularisers": {"eigenvalue": {"weight": 0.5, "margin": 0.1}}},
        {"regularisers": {"abscissa": {"weight": 0.5, "margin": -5}}},
        {"regularisers": {"eigenvalue": {"weight": 0.5, "form": "published", "margin": 0.1}}},
        {"regularisers": {"eigenvalue": {"weight": 0.5, "positions": 2, "margin": 0.1}}},
        {"gate": 1e-3},
        {"caps": 1.5},
    ],
    ids=lambda values: "-".join(f"{k}_{v}" for k, v in flat(values)),
)
def test_whatever_a_run_may_name_teaches(text, values: dict[str, Any]) -> None:
    """Every solver, estimator, penalty and controller, by its value in config.yaml."""
    found = first_gradient(task(text, **values))
    assert torch.isfinite(found).all()
    assert found.abs().max() > 0
    if "regularisers" in values:
        assert (found - first_gradient(task(text))).abs().max() > 1e-4


def test_a_resumed_run_ends_where_an_undisturbed_one_ends(text, tmp_path) -> None:
    values = {
        "regularisers": {
            "jacobian": {"weight": 0.1, "target": 1e-3},
            "eigenvalue": {"weight": 0.1, "margin": 0.5},
        },
        "caps": 1.01,
        "free__evaluations": 10,
        "nudged__evaluations": 10,
        "training__evaluate_every": 2,
        "training__checkpoint_every": 1,
        "training__schedule": "constant",
    }
    whole = task(text, **values)
    done = train(whole, change(**values), tmp_path / "whole", "d")
    half = change(**values, training__steps=2)
    train(build(half, {"text": text}), half, tmp_path / "parts", "d")
    rest = task(text, **values)
    resumed = train(rest, change(**values), tmp_path / "parts", "d")
    assert resumed.resumed_from == 2
    for a, b in zip(whole.model.parameters(), rest.model.parameters(), strict=True):
        assert torch.equal(a, b)
    last = {metric: value for step, metric, value in done.record if step == 4}
    again = {metric: value for step, metric, value in resumed.record if step == 4}
    assert last.keys() == again.keys()
    assert last["penalty/jacobian_weight"] == again["penalty/jacobian_weight"] != 0.1
    expected = {
        "loss",
        "loss_converged",
        "alpha",
        "rotation",
        "eps_crit",
        "omega",
        "jacobian_norm",
        "rho",
        "cos_bptt",
        "cos_exact",
    }
    assert {f"valid/{name}" for name in expected} <= last.keys()
    assert sum(value for name, value in last.items() if name.startswith("valid/verdict")) == 1


def test_the_loss_falls(text, tmp_path) -> None:
    values = {"rule": "implicit", "solver": {"name": "anderson"}, "training__steps": 25, "training__lr": 0.05}
    record = train(task(text, **values), change(**values), tmp_path, "d").record
    losses = [value for _, metric, value in record if metric == "loss"]
    assert sum(losses[-5:]) < sum(losses[:5]) - 1


def test_backpropagation_through_the_relaxation_may_take_a_batch_in_parts(text, tmp_path) -> None:
    """Two parts of unlike size give the weights that the whole batch gives; a penalty's batch stays whole."""
    trained = {}
    for parts in (1, 2):
        values = {"rule": "bptt", "free__evaluations": 10, "training__micro_batches": parts}
        made = task(text, **values)
        train(made, change(**values), tmp_path / str(parts), "d")
        trained[parts] = torch.cat([weight.detach().flatten() for weight in made.model.parameters()])
    torch.testing.assert_close(trained[2], trained[1], rtol=1e-4, atol=1e-5)
    penalised = change(
        rule="bptt", regularisers={"jacobian": {"weight": 0.1, "target": 1e-3}}, training__micro_batches=2
    )
    with pytest.raises(InputError, match="micro_batches"):
        train(build(penalised, {"text": text}), penalised, tmp_path / "penalised", "d")


@pytest.mark.parametrize(
    ("tolerance", "residual", "converged"),
    [(1e-5, 9e-6, 1), (1e-5, 1.1e-5, 0), (1e-8, 2.9e-6, 1), (1e-8, 3.1e-6, 0)],
)
def test_what_counts_as_a_root_is_what_the_tolerance_says(
    text, monkeypatch: pytest.MonkeyPatch, tolerance: float, residual: float, converged: int
) -> None:
    """In single precision nothing below 3e-6 is asked for."""

    def found(block: Any, x: torch.Tensor, *given: float) -> tuple[torch.Tensor, torch.Tensor, int]:
        return x, torch.full((len(x),), residual), 1

    monkeypatch.setattr(evaluation, "find_root", found)
    made = task(text, evaluation__tolerance=tolerance)
    metrics = made.evaluate(made.model)
    assert metrics["converged"] == converged
    for name in ("loss_converged", "cos_exact"):
        assert math.isnan(metrics[name]) == (not converged)


def test_a_nudged_phase_that_does_not_settle_spoils_the_gradient(text) -> None:
    """Anderson finds the root with a step that Euler cannot use; the nudged phase needs it as much."""
    values: dict[str, Any] = {"solver": {"name": "anderson"}}
    exact = first_gradient(task(text, rule="implicit", **values))
    values["estimator__radius"] = 0.05
    cosines = [
        torch.cosine_similarity(exact, first_gradient(task(text, **values, **nudged)), 0).item()
        for nudged in ({}, {"nudged_solver": {"name": "euler", "step": 1.2}, "nudged__evaluations": 20})
    ]
    assert cosines[0] > 0.999
    assert not cosines[1] > 0.9


def test_no_sample_teaches_behind_a_closed_gate(text) -> None:
    closed = task(text, gate=1e-12, free__evaluations=3)
    assert closed.gradients is not None
    assert not first_gradient(closed).any()
    assert closed.gradients(closed.model, next(closed.batches))["gated"] == 1


def test_caps_hold_during_training(text) -> None:
    made = task(text, caps=0.5)
    assert made.after_step is not None
    assert made.after_step(made.model, 1) == {"capped": 7}
    assert made.after_step(made.model, 2) == {"capped": 0}


def test_a_run_that_diverges_says_so(text, tmp_path) -> None:
    values = {"solver": {"name": "euler", "step": 40.0}, "free__evaluations": 200}
    outcome = train(task(text, **values), change(**values), tmp_path, "d")
    assert outcome.diverged == "the free phase of 3 of 3 samples overflowed"
    assert outcome.step == 0


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"rule": "backprop"}, "rule"),
        ({"rule": "bptt", "solver": {"name": "anderson"}}, "solver.name"),
        ({"model__widht": 3}, "model"),
        ({"free__evaluations": 0}, "free"),
        ({"nudged__budget": 3}, "nudged.budget"),
        ({"evaluation__windos": 3}, "evaluation.windos"),
        ({"evaluation__samples": 30}, "evaluation.samples"),
        ({"model__length": 5000}, "text"),
        ({"model__heads": 3}, "model.heads: 3 does not divide the width 8"),
        ({"model__residual_gain": 0, "caps": 1.5}, "caps: no multiple of a norm that begins at 0"),
        ({"rule": "bptt", "gate": 1e-3}, "gate: is not used by the rule bptt"),
        (
            {"rule": "implicit", "estimator": {"name": "adjoint"}},
            "estimator: is not used by the rule implicit",
        ),
        ({"rule": "bptt", "nudged_solver": {"name": "euler"}}, "nudged_solver: is not used by the rule bptt"),
        ({"solver": {"name": "anderson", "memory": 0}}, "solver.memory: 0"),
        ({"solver": {"name": "newton", "krylov": 0}}, "solver.krylov: 0"),
        ({"solver": {"name": "anderson", "damping": "x"}}, "solver.damping: 'x' is not a number"),
        ({"estimator": {"name": "two_sided", "radius": 0}}, "estimator.radius: 0"),
        ({"estimator": {"name": "lock_in"}}, "estimator.period: needs 1600 evaluations of 120"),
        (
            {"audit": {"evaluation": {"samples": 40}}},
            "audit.evaluation.samples: 40 is more than",
        ),
        ({"gate": float("nan")}, "gate: nan is not"),
    ],
)
def test_bad_runs_are_refused(text, values: dict, place: str) -> None:
    with pytest.raises(InputError, match=place):
        task(text, **values)


def test_a_run_without_text_is_refused() -> None:
    with pytest.raises(InputError, match="text"):
        build(PARAMS, {})
