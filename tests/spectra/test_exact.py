"""The block spectrum is the spectrum, and an operator without the structure is refused."""

import mpmath
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.errors import InputError
from specseq.spectra.audit import audit_table, causal_spectrum
from specseq.spectra.exact import (
    block_eigenvalues,
    diagonal_jacobian_blocks,
    eigenvalue_condition,
    leading_vectors,
)
from specseq.spectra.operators import Jacobian, dense_jacobian


def case(width: int = 16, length: int = 8, gain: float = 1.5, samples: int = 2, seed: int = 0):
    shape = BlockShape(width=width, heads=4, length=length, residual_gain=gain)
    draw = torch.Generator().manual_seed(seed)
    block = EquilibriumBlock(shape, 11, draw, torch.float64).requires_grad_(False)
    x = block.embed(torch.randint(0, 11, (samples, length), generator=draw))
    z = x + 0.3 * torch.randn(x.shape, generator=draw, dtype=torch.float64)
    return (lambda s: block.force(s, x)), (lambda s: block.local_force(s, z, x)), z, block, x


def nearest(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Distance of every value of ``a`` to the nearest of ``b``."""
    return (a[:, None] - b[None]).abs().amin(1)


@pytest.mark.parametrize("gain", [0.1, 1.0, 3.0])
@pytest.mark.parametrize(("width", "length"), [(16, 8), (32, 16), (8, 1)])
def test_spectrum_equals_dense_eigenvalues(width: int, length: int, gain: float) -> None:
    force, own, z, _, _ = case(width, length, gain)
    own_BTCC = diagonal_jacobian_blocks(own, z)
    spectrum = causal_spectrum(force, own_BTCC, z)
    for sample, dense in enumerate(dense_jacobian(force, z)):
        blocks = dense.view(length, width, length, width)
        for t in range(length):
            assert blocks[t, :, t + 1 :].abs().sum() == 0
            torch.testing.assert_close(blocks[t, :, t], own_BTCC[sample, t], rtol=0, atol=1e-12)
        # A dense solver is off by κ · rounding in each mode, and κ is large: layer normalisation leaves one
        # null direction a position, so that -2 is a defective eigenvalue of the whole matrix.
        mu, right = torch.linalg.eig(dense)
        rounding = mode_conditions(right) * 2.3e-16 * dense.norm()
        error = nearest(mu, spectrum.mu_BN[sample])
        assert (error <= 1e-12 + 4 * rounding).all()
        assert error[mu.real.argmax()] < 1e-10
        assert error[mu.imag.argmax()] < 1e-10


def test_spectrum_equals_that_of_sixty_digit_arithmetic() -> None:
    force, own, z, _, _ = case(width=4, length=3, samples=1)
    with mpmath.workdps(60):
        exact, _ = mpmath.eig(mpmath.matrix(dense_jacobian(force, z)[0].tolist()))
    mu = torch.tensor([complex(value) for value in exact], dtype=torch.complex128)
    found = causal_spectrum(force, diagonal_jacobian_blocks(own, z), z).mu_BN[0]
    assert nearest(mu, found).max() < 1e-12
    assert nearest(found, mu).max() < 1e-12


def mode_conditions(right: torch.Tensor) -> torch.Tensor:
    """Condition number of every eigenvalue of a diagonalisable matrix."""
    left = torch.linalg.pinv(right)
    return left.norm(dim=1) * right.norm(dim=0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), gain=st.floats(0.01, 6), length=st.integers(1, 6))
def test_abscissa_equals_dense_for_any_block(seed: int, gain: float, length: int) -> None:
    force, own, z, _, _ = case(8, length, gain, 1, seed)
    dense = torch.linalg.eigvals(dense_jacobian(force, z)[0]).real.max()
    assert causal_spectrum(force, diagonal_jacobian_blocks(own, z), z).leading_BT.real.max() == pytest.approx(
        dense.item(), abs=1e-9
    )


def test_products_are_those_of_the_dense_jacobian() -> None:
    force, _, z, _, _ = case()
    jacobian, v = Jacobian(force, z), torch.randn(z.shape, dtype=torch.float64)
    dense = dense_jacobian(force, z)
    flat = v.flatten(1).unsqueeze(-1)
    torch.testing.assert_close(jacobian.matvec(v).flatten(1), (dense @ flat).squeeze(-1))
    torch.testing.assert_close(jacobian.rmatvec(v).flatten(1), (dense.mT @ flat).squeeze(-1))


def test_leading_vectors_and_condition_equal_those_of_the_full_decomposition() -> None:
    _, own, z, _, _ = case()
    blocks = diagonal_jacobian_blocks(own, z)
    mu, right = torch.linalg.eig(blocks)
    inverse = torch.linalg.inv(right)
    index = mu.real.argmax(-1)
    pick = index[..., None, None]
    v_true = right.gather(-1, pick.expand(*index.shape, 16, 1)).squeeze(-1)
    u_true = inverse.gather(-2, pick.expand(*index.shape, 1, 16)).squeeze(-2)
    lead = mu.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    u, v = leading_vectors(blocks, lead)
    residual = (blocks.to(v) @ v.unsqueeze(-1)).squeeze(-1) - lead.unsqueeze(-1) * v
    assert residual.abs().max() < 1e-11
    torch.testing.assert_close(
        eigenvalue_condition(u, v), eigenvalue_condition(u_true, v_true), rtol=1e-6, atol=0
    )


def test_a_look_ahead_operator_is_refused() -> None:
    force, own, z, _, _ = case()
    with pytest.raises(InputError, match="not causal"):
        causal_spectrum(
            lambda s: force(s) + 1e-3 * s.roll(-1, dims=1), diagonal_jacobian_blocks(own, z), z, probes=8
        )


def test_blocks_of_another_force_are_refused() -> None:
    force, own, z, _, _ = case()
    with pytest.raises(InputError, match="disagree with its Jacobian"):
        causal_spectrum(force, diagonal_jacobian_blocks(lambda s: own(s) + 1e-3 * s, z), z)


def test_a_block_that_is_not_finite_has_no_eigenvalues() -> None:
    blocks = torch.eye(3, dtype=torch.float64).expand(2, 2, 3, 3).clone()
    blocks[0, 1, 0, 0] = torch.nan
    mu = block_eigenvalues(blocks)
    assert torch.isnan(mu[0, 1].real).all()
    assert torch.equal(mu[1].real, torch.ones(2, 3, dtype=torch.float64))


@pytest.mark.parametrize("normalise", [True, False])
def test_the_closed_form_equals_reverse_passes(normalise: bool) -> None:
    shape = BlockShape(12, 3, 7, damping=0.3, residual_gain=2.0, normalise_queries=normalise)
    draw = torch.Generator().manual_seed(3)
    block = EquilibriumBlock(shape, 11, draw, torch.float64).requires_grad_(False)
    x, z = (torch.randn(2, 7, 12, generator=draw, dtype=torch.float64) for _ in range(2))
    reverse = diagonal_jacobian_blocks(lambda s: block.local_force(s, z, x), z)
    torch.testing.assert_close(diagonal_blocks(block, z), reverse, rtol=1e-12, atol=1e-12)
    some = torch.tensor([5, 0, 6])
    torch.testing.assert_close(diagonal_blocks(block, z, some), reverse[:, some], rtol=1e-12, atol=1e-12)


def jordan(size: int, value: float) -> torch.Tensor:
    return value * torch.eye(size, dtype=torch.float64) + torch.eye(size, dtype=torch.float64).roll(
        1, 1
    ).triu(1)


def rotated(matrix: torch.Tensor, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(matrix.shape, generator=draw, dtype=torch.float64))
    return q @ matrix @ q.T


def verdict_of(matrix: torch.Tensor, step: float = 0.1) -> pd.Series:
    """The audit of a linear force with one position."""
    z = torch.zeros(1, 1, len(matrix), dtype=torch.float64)
    found = causal_spectrum(lambda s: s @ matrix.T, matrix.expand(1, 1, *matrix.shape).clone(), z)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    return audit_table(found, zero, step, zero[0]).iloc[0]


@pytest.mark.parametrize(("size", "value"), [(12, -1 / 16), (12, -1 / 64), (16, -1 / 64), (24, -0.1)])
def test_a_defective_block_is_never_called_stable_or_unstable(size: int, value: float) -> None:
    """Rounding moves its eigenvalues by (1e-16)^(1/size), further than the true ones are from zero."""
    for seed in range(10):
        assert verdict_of(rotated(jordan(size, value), seed))["verdict"] == "DOUBTFUL"


@pytest.mark.parametrize(
    ("size", "value", "expected"), [(2, -0.1, "STABLE"), (2, 0.1, "SADDLE"), (3, -0.2, "STABLE")]
)
def test_a_defective_block_far_from_its_bound_is_known(size: int, value: float, expected: str) -> None:
    matrix = torch.block_diag(
        jordan(size, value), torch.diag(torch.tensor([-0.5, -1, -1.5], dtype=torch.float64))
    )
    verdicts = [verdict_of(rotated(matrix, seed))["verdict"] for seed in range(30)]
    # An eigenvalue that comes out double has no condition number; that is doubt, never another verdict.
    assert set(verdicts) <= {expected, "DOUBTFUL"}
    assert verdicts.count(expected) > 20


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(2, 12),
    coupling=st.floats(0, 30),
    alpha=st.floats(-0.5, 0.5),
    seed=st.integers(0, 10**6),
)
def test_the_error_covers_what_rounding_does(size: int, coupling: float, alpha: float, seed: int) -> None:
    """Of triangular blocks, turned: the eigenvalues are on the diagonal, however far from normal."""
    draw = torch.Generator().manual_seed(seed)
    diagonal = alpha - torch.rand(size, generator=draw, dtype=torch.float64)
    diagonal[0] = alpha
    upper = coupling * torch.randn(size, size, generator=draw, dtype=torch.float64).triu(1)
    row = verdict_of(rotated(torch.diag(diagonal) + upper, seed + 1))
    if row["verdict"] in ("HOPF", "SADDLE"):
        assert alpha > -1e-12
    if row["verdict"] == "STABLE":
        assert alpha < 1e-12


@pytest.mark.parametrize("size", [1, 3])
def test_an_operator_that_is_zero_is_doubtful_and_its_condition_known(size: int) -> None:
    row = verdict_of(torch.zeros(size, size, dtype=torch.float64))
    assert row["alpha"] == 0
    assert row["kappa"] == pytest.approx(1)
    assert 0 < row["error"] < 1e-300
    assert row["verdict"] == "DOUBTFUL"


@pytest.mark.parametrize("power", [-664, -30, 30, 531, 664])
def test_the_condition_does_not_depend_on_the_unit(power: int) -> None:
    matrix = torch.tensor([[-1.0, 5.0], [-0.25, -1.0]], dtype=torch.float64)
    plain, scaled = verdict_of(matrix), verdict_of(matrix * 2.0**power)
    assert scaled["kappa"] == plain["kappa"]
    assert scaled["error"] == plain["error"] * 2.0**power
    assert scaled["eps_crit"] == pytest.approx(plain["eps_crit"] * 2.0**-power)
