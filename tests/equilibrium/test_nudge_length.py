"""Nudged phases whose length follows from their estimates."""

from typing import Any

import pytest
import torch

from specseq.equilibrium.config import (
    AdaptiveLength,
    Holomorphic,
    NamedEstimator,
    OneSided,
    Settled,
    TwoSided,
)
from specseq.equilibrium.estimators import Problem, estimate, implicit_adjoint
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import cosine
from specseq.equilibrium.mechanisms import _problem, nudged_length
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import Anderson, Euler, NewtonGMRES, Solver
from specseq.equilibrium.solvers import solve
from specseq.errors import InputError
from specseq.settings import read

SELECT, TRACK = (AdaptiveLength(method=method, every=10) for method in ("select", "track"))


def problem(case: str) -> Problem:
    block, tokens = rotating_block(*CASES[case]), rotating_tokens()
    x = block.embed(tokens)
    root = solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-12).state
    return Problem(block, x, root, tokens.roll(-1, 1))


@pytest.mark.parametrize("make", [OneSided, TwoSided, Holomorphic])
@pytest.mark.parametrize("solver", [Euler(0.1), Anderson()], ids=["euler", "anderson"])
def test_where_phases_settle_every_length_has_the_same_estimate(make: type[Settled], solver: Solver) -> None:
    here, _ = _problem(0)
    exact = implicit_adjoint(here, 1e-12, 300).a_BTC.flatten()
    whole = estimate(make(radius=1e-3), here, solver, 200, 1e-9)
    for length in (SELECT, TRACK):
        found = estimate(make(radius=1e-3, length=length), here, solver, 200, 1e-9)
        assert cosine(found.a_BTC.flatten(), exact) > 0.999
        assert len(found.facts["length_B"]) == 2
        assert found.residual_B.shape == whole.residual_B.shape
    assert found.evaluations < whole.evaluations  # that which tracks


def test_select_keeps_what_a_phase_that_runs_away_loses() -> None:
    here = problem("unstable")
    exact = implicit_adjoint(here, 1e-12, 300).a_BTC.flatten()
    alone, selected = (
        estimate(TwoSided(1e-3, length=length), here, Euler(0.1), 100, 1e-12) for length in (None, SELECT)
    )
    assert cosine(selected.a_BTC.flatten(), exact) > cosine(alone.a_BTC.flatten(), exact) + 0.1
    assert max(selected.facts["length_B"]) < 100
    assert selected.evaluations <= 100 + 1


def test_a_phase_without_any_estimate_gives_none() -> None:
    here = problem("unstable")
    nowhere = Problem(here.block, here.x_BTC, here.root_BTC * torch.nan, here.targets_BT)
    for length in (SELECT, TRACK):
        found = estimate(TwoSided(length=length), nowhere, Euler(0.1), 60, 1e-12)
        assert not torch.isfinite(found.a_BTC).any()
        assert torch.isinf(found.residual_B).all()
        assert found.evaluations <= 61


def test_the_mechanism_measures_cosine_and_cost_against_the_length() -> None:
    found = {(row["method"], row["at"], row["metric"]): row["value"] for row in nudged_length("small", 0)}
    assert found["fixed", 20.0, "cos_exact"] < found["fixed", 80.0, "cos_exact"] < 1
    assert found["fixed", 160.0, "evaluations"] == 160 > found["track", 160.0, "evaluations"]
    assert found["fixed", 160.0, "seconds"] > found["fixed", 20.0, "seconds"] > 0


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"length": {"method": "halve"}}, "length.method"),
        ({"length": {"method": "select", "change": 0.1}}, "change: acts on track only"),
        ({"length": {"method": "track", "every": 1}}, "every: 1 is not at least 2"),
        ({"name": "lock_in", "length": {"method": "track"}}, "length"),
    ],
)
def test_bad_lengths_are_refused(params: dict[str, Any], place: str) -> None:
    with pytest.raises(InputError, match=place):
        read(NamedEstimator, {"name": "two_sided"} | params, "estimator")
