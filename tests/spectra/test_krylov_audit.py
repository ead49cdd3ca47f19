"""The audit without structure: equal to dense eigenvalues, and silent where its space bears no number."""

import math

import pytest
import torch

from specseq.equilibrium.audit import audit_block, sample_rows
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.errors import InputError
from specseq.spectra.audit import causal_spectrum
from specseq.spectra.exact import diagonal_jacobian_blocks
from specseq.spectra.krylov_audit import krylov_audit
from specseq.spectra.modes import critical_step, leading_mode, spectral_radius
from specseq.spectra.operators import dense_jacobian

SIZE = 60


def operator(gain: float = 0.9, samples: int = 3):
    """A force on ``[B, N]`` in which everything sees everything, and its roots."""
    draw = torch.Generator().manual_seed(2)
    weight = gain * torch.randn(SIZE, SIZE, generator=draw, dtype=torch.float64) / math.sqrt(SIZE)
    root = 0.3 * torch.randn(samples, SIZE, generator=draw, dtype=torch.float64)
    # Some samples are less damped than others.
    damping = torch.linspace(1.2, 0.6, samples, dtype=torch.float64).unsqueeze(1)
    return lambda z: -damping * (z - root) + (z.tanh() - root.tanh()) @ weight.T, root


def test_every_number_equals_that_of_dense_eigenvalues() -> None:
    force, root = operator()
    found = krylov_audit(force, root, 0.5, margin=1e-8)
    dense = dense_jacobian(force, root)
    mu = torch.linalg.eigvals(dense)
    lead, (limit, _) = leading_mode(mu), critical_step(mu)
    omega = torch.linalg.eigvalsh((dense + dense.mT) / 2)[:, -1]
    for name, true in (
        ("alpha", lead.real),
        ("im", lead.imag),
        ("rho", spectral_radius(mu, 0.5)),
        ("eps_crit", limit),
        ("omega", omega),
        ("gap", omega - lead.real),
    ):
        assert found[name].to_numpy() == pytest.approx(true.numpy(), abs=1e-6), name
    assert (found["error"] < 1e-8).all()
    assert (found["verdict"].iloc[0], found["verdict"].iloc[-1]) == ("STABLE", "HOPF")


def test_such_an_operator_is_refused_by_the_exact_audit() -> None:
    force, root = operator(samples=2)
    as_positions = root.view(2, 6, 10)

    def reshaped(z: torch.Tensor) -> torch.Tensor:
        return force(z.flatten(1)).view_as(z)

    with pytest.raises(InputError, match=r"not causal.*krylov_audit"):
        causal_spectrum(reshaped, diagonal_jacobian_blocks(reshaped, as_positions), as_positions)
    assert len(krylov_audit(reshaped, as_positions, 0.5)) == 2


@pytest.mark.parametrize("case", CASES)
def test_it_agrees_with_the_exact_audit_of_a_causal_block(case: str) -> None:
    block, tokens = rotating_block(*CASES[case], width=16, length=6), rotating_tokens(2, 6)
    exact = audit_block(block, tokens, 0.1)
    x = block.embed(tokens)
    found = krylov_audit(lambda z: block.force(z, x), exact.root_BTC, 0.1, margin=1e-6)
    by_sample = exact.table.groupby("sample")
    assert found["alpha"].to_numpy() == pytest.approx(by_sample["alpha"].max().to_numpy(), abs=1e-6)
    assert found["eps_crit"].to_numpy() == pytest.approx(by_sample["eps_crit"].min().to_numpy(), abs=1e-6)
    assert found["rho"].to_numpy() == pytest.approx(by_sample["rho"].max().to_numpy(), abs=1e-6)
    assert found["verdict"].tolist() == sample_rows(exact.table)["verdict"].tolist()


def test_what_is_no_root_has_no_numbers() -> None:
    force, root = operator()
    state = root.clone()
    state[1] = torch.nan
    state[2] += 0.5
    found = krylov_audit(force, state, 0.5)
    assert found["verdict"].tolist() == ["STABLE", "NO-ROOT", "NO-ROOT"]
    assert found.loc[1:, ["alpha", "rho", "eps_crit", "omega", "kappa", "error"]].isna().all().all()
    gone = krylov_audit(force, root * torch.nan, 0.5)
    assert set(gone["verdict"]) == {"NO-ROOT"}
    assert gone["alpha"].isna().all()


def test_a_space_too_small_for_a_number_gives_none() -> None:
    force, root = operator()
    with pytest.raises(InputError, match=r"sample 0: the rightmost mode is known to .* raise 'largest'"):
        krylov_audit(force, root, 0.5, size=8, largest=8)


def test_a_bound_too_wide_to_tell_the_side_gives_no_verdict() -> None:
    matrix = torch.diag(-torch.linspace(1e-6, 8, 200, dtype=torch.float64))
    root = torch.ones(1, 200, dtype=torch.float64)
    with pytest.raises(InputError, match=r"the flow is .* from its bound, known to .* lower 'margin'"):
        krylov_audit(lambda z: (z - root) @ matrix, root, 0.1, margin=0.5, size=20, largest=120)


def test_a_mode_on_the_bound_is_said_to_be_there() -> None:
    matrix = torch.diag(-torch.linspace(0, 8, 40, dtype=torch.float64))
    root = torch.ones(1, 40, dtype=torch.float64)
    with pytest.raises(InputError, match=r"the flow is .* in this precision it is on the bound"):
        krylov_audit(lambda z: (z - root) @ matrix, root, 0.1, size=20, largest=40)


@pytest.mark.parametrize(
    ("size", "diagonal", "beside"),
    [(12, -0.05, 1), (16, -0.05, 1), (40, -1, 5), (150, -1, 2), (230, -1, 1.2)],
)
def test_an_exhausted_space_certifies_no_rounding(size: int, diagonal: float, beside: float) -> None:
    """Nothing is left over of a full space, and the eigenvalues of such a matrix are rounding nonetheless."""
    draw = torch.Generator().manual_seed(size)
    q, _ = torch.linalg.qr(torch.randn(size, size, generator=draw, dtype=torch.float64))
    matrix = diagonal * torch.eye(size, dtype=torch.float64)
    matrix += beside * torch.eye(size, dtype=torch.float64).roll(1, 1).triu(1)
    matrix = q @ matrix @ q.T
    remedy = "too far from normal" if size < 200 else "raise 'largest'"
    with pytest.raises(InputError, match=rf"sample 0: .* mode is known to .*{remedy}"):
        krylov_audit(lambda z: z @ matrix.T, torch.zeros(1, size, dtype=torch.float64), 0.1)
