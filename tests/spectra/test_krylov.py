"""Krylov estimates carry their evidence, and the diagnostics that lack it are shown to be wrong."""

import copy

import pytest
import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import NewtonGMRES
from specseq.equilibrium.solvers import solve
from specseq.spectra.diagnostics import (
    difference_product,
    power_abscissa,
    power_radius,
    subspace_radius,
)
from specseq.spectra.krylov import Arnoldi, extreme_pairs, fastest, limiting, numerical_abscissa
from specseq.spectra.modes import critical_step
from specseq.spectra.operators import Jacobian, dense_jacobian


def random_start(like: torch.Tensor, *more: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(7)
    return torch.randn(*like.shape, *more, generator=draw, dtype=torch.float64)


@pytest.fixture(scope="module")
def operator():
    """The Jacobian at two roots, by products and dense."""
    block = rotating_block(*CASES["unstable"], width=16, length=6)
    x = block.embed(rotating_tokens(2, 6))
    root = solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-12).state
    dense = dense_jacobian(lambda z: block.force(z, x), root)
    return Jacobian(lambda z: block.force(z, x), root), dense, root, block, x


def test_the_rightmost_pair_is_found_and_certified(operator) -> None:
    jacobian, dense, root, _, _ = operator
    (pair,) = extreme_pairs(jacobian.matvec, jacobian.rmatvec, random_start(root), margin=1e-6)
    true = torch.linalg.eigvals(dense)
    lead = true.gather(1, true.real.argmax(1, keepdim=True)).squeeze(1)
    assert pair.certified(1e-6).all()
    error = (
        torch.complex(pair.mu_B.real, pair.mu_B.imag.abs()) - torch.complex(lead.real, lead.imag.abs())
    ).abs()
    assert (error <= 2 * pair.error_B + 1e-12).all()


def test_the_leading_mode_of_the_euler_map_is_found(operator) -> None:
    jacobian, dense, root, _, _ = operator
    scores = (fastest(0.1), limiting)
    pair, limit = extreme_pairs(jacobian.matvec, jacobian.rmatvec, random_start(root), scores, margin=1e-6)
    mu = torch.linalg.eigvals(dense)
    true = (1 + 0.1 * mu).abs().amax(1)
    torch.testing.assert_close((1 + 0.1 * pair.mu_B).abs(), true, rtol=0, atol=1e-6)
    steps, modes = critical_step(mu)
    torch.testing.assert_close(critical_step(limit.mu_B.unsqueeze(1))[0], steps, rtol=0, atol=1e-6)
    torch.testing.assert_close(limit.mu_B.imag.abs(), modes.imag, rtol=0, atol=1e-5)


def test_a_small_space_is_not_certified(operator) -> None:
    jacobian, dense, root, _, _ = operator
    start = random_start(root)
    (pair,) = extreme_pairs(jacobian.matvec, jacobian.rmatvec, start, margin=1e-3, size=6, largest=6)
    true = torch.linalg.eigvals(dense).real.amax(1)
    assert ((pair.mu_B.real - true).abs() > 1e-3).all()
    assert not pair.certified(1e-3).any()


def test_condition_numbers_are_those_of_the_dense_decomposition(operator) -> None:
    jacobian, dense, root, _, _ = operator
    (pair,) = extreme_pairs(jacobian.matvec, jacobian.rmatvec, random_start(root), margin=1e-8)
    for sample in range(2):
        mu, right = torch.linalg.eig(dense[sample])
        left = torch.linalg.pinv(right)
        k = mu.real.argmax()
        kappa = left[k].norm() * right[:, k].norm()
        assert pair.kappa_B[sample].item() == pytest.approx(kappa.item(), rel=1e-3)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_an_exhausted_space_ends_without_noise(dtype: torch.dtype, rounding: float) -> None:
    matrix = torch.diag(torch.tensor([-1.0, -2.0, -3.0, -3.0, -3.0, -3.0], dtype=dtype))
    space = Arnoldi(lambda v: v @ matrix.T, torch.ones(2, 6, dtype=dtype))
    space.grow(50)
    mu, residual, _ = space.ritz()
    assert torch.isfinite(mu.real).sum(1).tolist() == [3, 3]
    assert mu.real.nan_to_num(-9).amax(1).tolist() == pytest.approx([-1, -1])
    assert residual.nan_to_num(0).abs().max() < rounding


def test_numerical_abscissa_equals_the_dense_one(operator) -> None:
    jacobian, dense, root, _, _ = operator
    omega, bound = numerical_abscissa(jacobian.matvec, jacobian.rmatvec, root)
    true = torch.linalg.eigvalsh((dense + dense.mT) / 2)[:, -1]
    assert ((omega - true).abs() <= bound + 1e-9).all()
    assert (bound < 1e-4).all()


def test_two_dimensional_subspace_iteration_misses_the_radius(operator) -> None:
    jacobian, dense, root, _, _ = operator
    true = (1 + 0.1 * torch.linalg.eigvals(dense)).abs().amax(1)
    found = subspace_radius(jacobian.matvec, random_start(root, 2), 0.1, 10)
    assert ((found - true).abs() > 0.01).all()


def test_the_power_method_does_not_settle_on_a_pair(operator) -> None:
    jacobian, _, root, _, _ = operator
    seen = power_radius(jacobian.rmatvec, random_start(root), 0.1, 400)[200:]
    assert (seen.amax(0) - seen.amin(0) > 0.01).all()


def test_unshifted_power_iteration_has_the_wrong_end_of_the_symmetric_part() -> None:
    matrix = torch.diag(torch.tensor([-15.6, 10.2, 1.0], dtype=torch.float64))
    start = torch.ones(1, 3, dtype=torch.float64)
    found = power_abscissa(
        lambda v: v @ (matrix - 2 * torch.eye(3)), lambda v: v @ (matrix - 2 * torch.eye(3)), start, 200, 2.0
    )
    assert found.item() == pytest.approx(-15.6, abs=1e-6)
    right, _ = numerical_abscissa(lambda v: v @ matrix, lambda v: v @ matrix, start)
    assert right.item() == pytest.approx(10.2)


def alpha(block: EquilibriumBlock, x: torch.Tensor, scheme: str) -> float:
    """α at the state x in single precision."""
    single = copy.deepcopy(block).float()
    field, state = (lambda z: single.force(z, x.float())), x.float()
    if scheme == "exact":
        product = Jacobian(field, state).matvec
    else:
        product = difference_product(field, state, 1e-3, scheme == "central")
    size = state[0].numel()
    columns = [product(torch.eye(size)[k].expand(1, size).view_as(state)).flatten() for k in range(size)]
    return torch.linalg.eigvals(torch.stack(columns, 1).double()).real.max().item()


def test_exact_products_beat_differences_in_single_precision() -> None:
    errors: dict[str, float] = {"exact": 0.0, "central": 0.0, "one_sided": 0.0}
    for seed in range(4):
        shape = BlockShape(width=8, heads=2, length=2, residual_gain=2.0)
        draw = torch.Generator().manual_seed(seed)
        block = EquilibriumBlock(shape, 9, draw, torch.float64).requires_grad_(False)
        x = block.embed(torch.randint(0, 9, (1, 2), generator=draw))
        true = (
            torch.linalg.eigvals(dense_jacobian(lambda z, b=block, x=x: b.force(z, x), x)).real.max().item()
        )
        for name in errors:
            errors[name] = max(errors[name], abs(alpha(block, x, name) - true))
    assert errors["exact"] < 1e-6
    assert errors["central"] > 5 * errors["exact"]
    assert errors["one_sided"] > 2 * errors["central"]
