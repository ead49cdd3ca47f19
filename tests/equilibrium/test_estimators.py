"""Estimators of the adjoint: their bias, their limits, and what breaks them."""

import math
from functools import cache

import pytest
import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import (
    AdjointEstimator,
    BlockShape,
    Estimator,
    Holomorphic,
    LockIn,
    NamedEstimator,
    OneSided,
    TwoSided,
)
from specseq.equilibrium.estimators import Problem, estimate, implicit_adjoint
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import bptt_loss, cosine, operator_gradient, surrogate
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import Anderson, Euler, NewtonGMRES, Solver
from specseq.equilibrium.solvers import solve
from specseq.errors import InputError
from specseq.settings import read
from specseq.spectra.operators import dense_jacobian


@cache
def case() -> tuple[Problem, Tensor, Tensor]:
    """A block of 32 channels and 16 positions at its root, its tokens and its exact adjoint."""
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(BlockShape(32, 4, 16, residual_gain=1.0), 40, draw, torch.float64)
    tokens, targets = (torch.randint(0, 40, (4, 16), generator=draw) for _ in range(2))
    x = block.embed(tokens).detach()
    root = solve(Anderson(), FreePhase(block, x), x, 2000, 1e-13).state
    problem = Problem(block, x, root, targets)
    return problem, tokens, exact(problem)


def exact(problem: Problem) -> Tensor:
    """The adjoint by a dense solve."""
    jacobian = dense_jacobian(lambda z: problem.block.force(z, problem.x_BTC), problem.root_BTC)
    source = problem.block.cost_gradient(problem.root_BTC, problem.targets_BT).detach()
    a = torch.linalg.solve(jacobian.mT, -source.flatten(1).unsqueeze(-1))
    return a.view_as(source)


def error(estimator: Estimator, solver: Solver | None = None, budget: int = 250) -> float:
    problem, _, a = case()
    found = estimate(estimator, problem, solver or Anderson(), budget, 1e-12)
    return ((found.a_BTC - a).norm() / a.norm()).item()


def gradient(a: Tensor) -> Tensor:
    problem, tokens, _ = case()
    scalar = surrogate(problem.block, problem.root_BTC, tokens, problem.targets_BT, a)
    return operator_gradient(problem.block, scalar)


@pytest.mark.parametrize(
    ("make", "radius", "order"),
    [
        (lambda r: OneSided(r), 0.002, 1),
        (lambda r: TwoSided(r), 0.02, 2),
        (lambda r: Holomorphic(r, points=4), 0.1, 4),
        (lambda r: Holomorphic(r, points=8), 0.2, 8),
    ],
    ids=["one_sided", "two_sided", "holomorphic4", "holomorphic8"],
)
def test_bias_falls_with_the_radius_at_its_order(make, radius: float, order: int) -> None:
    slope = math.log2(error(make(radius)) / error(make(radius / 2)))
    assert slope == pytest.approx(order, abs=0.1)


def test_the_two_sided_gradient_by_the_published_relaxation_is_exact_to_1e_6() -> None:
    problem, _, a = case()
    found = estimate(TwoSided(0.02), problem, Euler(0.1), 160, 1e-12)
    assert found.evaluations == 160
    assert 1 - cosine(gradient(found.a_BTC), gradient(a)) <= 1e-6


def test_the_limit_of_no_nudge_is_exact() -> None:
    problem, _, a = case()
    assert error(AdjointEstimator()) < 1e-10
    assert (implicit_adjoint(problem, 1e-12).a_BTC - a).norm() < 1e-10 * a.norm()


@pytest.mark.parametrize("solver", [Euler(0.1), Anderson(), NewtonGMRES()], ids=str)
def test_every_solver_serves_real_and_complex_nudges(solver: Solver) -> None:
    assert error(TwoSided(0.02), solver, 160) < 2e-4
    assert error(Holomorphic(0.1, points=4), solver, 160) < 1e-4


def test_lock_in_reads_the_response_at_a_low_frequency() -> None:
    slow, fast = (error(LockIn(period=period, cycles=1), budget=600) for period in (300, 150))
    assert slow < 0.2
    assert fast / slow == pytest.approx(4, rel=0.25)


def test_lock_in_does_not_spend_more_than_it_is_given() -> None:
    with pytest.raises(InputError, match=r"estimator\.period: needs 1600 evaluations of 160"):
        error(LockIn(), budget=160)


def test_without_the_correction_the_gradient_is_another() -> None:
    problem, _, a = case()
    found = estimate(TwoSided(0.02, corrected=False), problem, Anderson(), 250, 1e-12)
    assert cosine(gradient(found.a_BTC), gradient(a)) < 0.9


def test_drift_is_cancelled_where_the_free_phase_had_not_converged() -> None:
    problem, _, _ = case()
    near = problem.root_BTC
    noise = torch.randn(near.shape, generator=torch.Generator().manual_seed(1), dtype=near.dtype)
    early = Problem(problem.block, problem.x_BTC, problem.root_BTC + 2e-3 * noise, problem.targets_BT)
    plain = estimate(OneSided(0.02), early, Euler(0.1), 60, 1e-12).a_BTC
    cancelled = estimate(OneSided(0.02, drift_cancelled=True), early, Euler(0.1), 60, 1e-12).a_BTC
    here = exact(early)
    assert (plain - here).norm() > 5 * (cancelled - here).norm()
    assert (cancelled - here).norm() < 0.05 * here.norm()


def test_the_nudged_phase_needs_the_solver_of_the_free_phase() -> None:
    block = rotating_block(*CASES["unstable"])
    tokens = rotating_tokens()
    x, targets = block.embed(tokens), tokens.roll(-1, 1)
    root = solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-12).state
    problem = Problem(block, x, root, targets)
    a = exact(problem)
    same = estimate(TwoSided(1e-3), problem, NewtonGMRES(), 300, 1e-8)
    other = estimate(TwoSided(1e-3), problem, Euler(0.1), 300, 1e-8)
    assert cosine(same.a_BTC.flatten(), a.flatten()) > 0.999
    assert not cosine(other.a_BTC.flatten(), a.flatten()) > 0.9
    assert other.residual_B.max() > 1e3 * same.residual_B.max()


def test_unrolling_ends_at_the_implicit_gradient() -> None:
    problem, tokens, a = case()
    loss, state = bptt_loss(problem.block, tokens, problem.targets_BT, 0.1, 400)
    unrolled = operator_gradient(problem.block, loss)
    torch.testing.assert_close(unrolled, gradient(a), rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(state, problem.root_BTC, rtol=0, atol=1e-9)
    short, _ = bptt_loss(problem.block, tokens, problem.targets_BT, 0.1, 10)
    assert 1 - cosine(operator_gradient(problem.block, short), unrolled) > 1e-4


def test_the_implicit_gradient_is_the_derivative_of_the_loss_at_the_root() -> None:
    problem, tokens, a = case()
    block = problem.block
    with torch.no_grad():
        direction = torch.randn(block.output.shape, generator=torch.Generator().manual_seed(3)).double()

    def loss(shift: float) -> float:
        original = block.output.detach().clone()
        with torch.no_grad():
            block.output += shift * direction
        x = block.embed(tokens).detach()
        root = solve(NewtonGMRES(), FreePhase(block, x), problem.root_BTC, 500, 1e-13).state
        value = block.cost(root, problem.targets_BT).item() / tokens.numel()
        with torch.no_grad():
            block.output.copy_(original)
        return value

    scalar = surrogate(block, problem.root_BTC, tokens, problem.targets_BT, a)
    (grad,) = torch.autograd.grad(scalar, block.output)
    difference = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert (grad * direction).sum().item() == pytest.approx(difference, rel=1e-6)


@pytest.mark.parametrize(
    "params", [{"name": "thre_sided"}, {"name": "adjoint", "radius": 1}, {"name": "holomorphic", "points": 3}]
)
def test_unknown_estimators_and_constants_are_refused(params: dict) -> None:
    with pytest.raises(InputError, match="estimator"):
        read(NamedEstimator, params, "estimator")
