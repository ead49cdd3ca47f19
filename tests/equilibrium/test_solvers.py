"""Solvers find roots at the published cost or better, and say plainly when they do not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import (
    SOLVERS,
    AdaptiveEuler,
    Anderson,
    BackwardEuler,
    Euler,
    NamedSolver,
    NewtonGMRES,
    RungeKutta4,
    Solver,
)
from specseq.equilibrium.solvers import solve
from specseq.equilibrium.solvers.gmres import gmres
from specseq.errors import InputError
from specseq.settings import read
from specseq.spectra.audit import causal_spectrum
from specseq.spectra.modes import critical_step
from specseq.spectra.operators import Map


def known(case: str, samples: int = 2) -> tuple[EquilibriumBlock, Tensor]:
    block = rotating_block(*CASES[case])
    return block, block.embed(rotating_tokens(samples))


class Linear:
    """z' = A z + b on ``[B, N]``, for fields whose root is known."""

    leak = 1.0

    def __init__(self, matrix: Tensor, offset: Tensor) -> None:
        self.matrix, self.offset, self.evaluations = matrix, offset, 0

    def __call__(self, state: Tensor) -> Tensor:
        self.evaluations += 1
        return state @ self.matrix.T + self.offset

    def linearise(self, state: Tensor) -> Map:
        def product(v: Tensor) -> Tensor:
            self.evaluations += 1
            return v @ self.matrix.T

        return product


@pytest.mark.parametrize(
    ("solver", "case", "most"),
    [
        (Anderson(), "rotating", 120),
        (Anderson(), "unstable", 166),
        (NewtonGMRES(), "rotating", 96),
        (NewtonGMRES(), "unstable", 149),
        (BackwardEuler(), "rotating", 100),
        (BackwardEuler(), "unstable", 131),
    ],
    ids=str,
)
def test_evaluations_to_a_residual_of_1e_8(solver: Solver, case: str, most: int) -> None:
    block, x = known(case)
    field = FreePhase(block, x)
    solution = solve(solver, field, x, 3000)
    assert bool(solution.converged_B.all())
    assert solution.evaluations == field.evaluations <= most
    force = block.force(solution.state, x)
    true = force.flatten(1).norm(dim=1) / solution.state.flatten(1).norm(dim=1)
    torch.testing.assert_close(true, solution.residual_B)
    assert (true < 1e-8).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_finds_the_root_of_a_contractive_block(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(BlockShape(16, 4, 6, residual_gain=0.3), 9, draw, torch.float64)
    x = block.requires_grad_(False).embed(torch.randint(0, 9, (3, 6), generator=draw))
    solution = solve(SOLVERS[name](), FreePhase(block, x), x, 2000, 1e-9)
    reference = solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-13)
    assert bool(solution.converged_B.all())
    assert (solution.evaluations_B <= solution.evaluations).all()
    torch.testing.assert_close(solution.state, reference.state, rtol=0, atol=1e-7)


def test_euler_growth_changes_sign_at_the_critical_step() -> None:
    block, x = known("rotating", 1)
    root = solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-13).state
    spectrum = causal_spectrum(lambda z: block.force(z, x), diagonal_blocks(block, root), root)
    limit = critical_step(spectrum.mu_BN)[0].item()
    assert limit == pytest.approx(0.073, abs=1e-3)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for factor, grows in ((0.98, False), (1.02, True)):
        z, sizes = root + 1e-6 * noise, []
        for step in range(4000):
            z = z + factor * limit * block.force(z, x)
            if step in (2000, 3999):
                sizes.append((z - root).norm().item())
        assert (sizes[1] > sizes[0]) is grows


def test_solvers_that_are_no_flow_converge_to_an_unstable_root() -> None:
    block, x = known("unstable", 1)
    for solver in (Anderson(), NewtonGMRES(), BackwardEuler(), RungeKutta4()):
        solution = solve(solver, FreePhase(block, x), x, 3000, 1e-9)
        root = solution.state
        spectrum = causal_spectrum(lambda z: block.force(z, x), diagonal_blocks(block, root), root)
        assert bool(solution.converged_B.all())
        assert spectrum.leading_BT.real.max().item() == pytest.approx(0.093, abs=1e-3)


def test_euler_cycles_where_its_step_is_too_long() -> None:
    block, x = known("rotating", 1)
    assert not solve(Euler(0.1), FreePhase(block, x), x, 1500).converged_B.any()


def test_the_adaptive_step_hands_off_where_no_step_is_stable() -> None:
    block, x = known("unstable")
    solution = solve(AdaptiveEuler(), FreePhase(block, x), x, 2000)
    assert solution.facts["handed_off"]
    assert bool(solution.converged_B.all())
    assert (solution.evaluations_B <= solution.evaluations).all()
    alone = solve(AdaptiveEuler(patience=0), FreePhase(block, x), x, 300)
    assert not alone.facts["handed_off"]
    assert not alone.converged_B.any()


def test_the_adaptive_step_hands_off_only_what_budget_is_left() -> None:
    """A budget that ends at the very evaluation that would hand off leaves the best state so far."""
    block, x = known("unstable")
    solutions = [solve(AdaptiveEuler(), FreePhase(block, x), x, budget) for budget in range(40, 80)]
    handed_off = [solution.facts["handed_off"] for solution in solutions]
    assert set(handed_off) == {False, True}
    assert handed_off == sorted(handed_off)
    assert all(torch.isfinite(solution.residual_B).all() for solution in solutions)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_budget_that_ends_early_is_said_and_kept(name: str) -> None:
    block, x = known("unstable")
    solution = solve(SOLVERS[name](), FreePhase(block, x), x, 12)
    assert not solution.converged_B.any()
    assert solution.evaluations <= 12 + 45
    assert torch.isfinite(solution.residual_B).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_a_field_that_is_not_finite_never_converges(name: str) -> None:
    field = Linear(-torch.eye(3, dtype=torch.float64), torch.full((2, 3), torch.nan, dtype=torch.float64))
    solution = solve(SOLVERS[name](), field, torch.ones(2, 3, dtype=torch.float64), 50)
    assert not solution.converged_B.any()
    assert torch.isinf(solution.residual_B).all()


@pytest.mark.parametrize("name", SOLVERS)
def test_complex_states_are_solved_as_they_are(name: str) -> None:
    matrix = torch.tensor([[-1 + 0.5j, 0.2], [0.1j, -0.7 - 0.3j]], dtype=torch.complex128)
    offset = torch.tensor([[1.0 + 1j, -2j], [0.5, 3 + 0j]], dtype=torch.complex128)
    start = torch.ones(2, 2, dtype=torch.complex128)
    solution = solve(SOLVERS[name](), Linear(matrix, offset), start, 3000, 1e-10)
    exact = torch.linalg.solve(matrix, -offset.T).T
    torch.testing.assert_close(solution.state, exact, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("params", "place"), [({"name": "eular"}, "solver.name"), ({"name": "euler", "memory": 3}, "memory")]
)
def test_unknown_solvers_and_constants_are_refused(params: dict, place: str) -> None:
    with pytest.raises(InputError, match=place):
        read(NamedSolver, params, "solver")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 12), rank=st.integers(0, 12))
def test_gmres_solves_what_can_be_solved(seed: int, size: int, rank: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    full = torch.randn(2, size, size, generator=draw, dtype=torch.float64) + 4 * torch.eye(size)
    low = torch.randn(size, max(rank, 1), generator=draw, dtype=torch.float64)
    matrix = torch.stack([full[0], torch.eye(size) + low @ low.T])
    right = torch.randn(2, size, generator=draw, dtype=torch.float64)
    if rank == 0:
        right[1] = 0
    x, residual = gmres(lambda v: (matrix @ v.unsqueeze(-1)).squeeze(-1), right, size, 1e-12)
    error = (matrix @ x.unsqueeze(-1)).squeeze(-1) - right
    assert (error.norm(dim=1) <= (residual + 1e-8) * right.norm(dim=1)).all()
    assert (residual < 1e-8).all()


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("offset", [1e-3, 1.0, 10.0, 1e6])
def test_every_solver_starts_at_zero(name: str, offset: float) -> None:
    """The residual of z = 0 is infinite; that is no divergence."""
    field = Linear(-torch.eye(3, dtype=torch.float64), torch.full((2, 3), offset, dtype=torch.float64))
    solution = solve(SOLVERS[name](), field, torch.zeros(2, 3, dtype=torch.float64), 500)
    assert bool(solution.converged_B.all())
    torch.testing.assert_close(solution.state, torch.full_like(solution.state, offset))


@pytest.mark.parametrize("name", SOLVERS)
def test_zero_is_a_root_where_the_force_vanishes(name: str) -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64)
    solution = solve(SOLVERS[name](), Linear(-torch.eye(3, dtype=torch.float64), zero), zero, 50)
    assert bool(solution.converged_B.all())
    assert solution.evaluations == 1
