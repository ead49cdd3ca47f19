"""Dominant eigenvalues by squaring, against the whole spectrum."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.spectra.dominant import dominant_eigenvalues


def with_spectrum(values: list[complex], size: int, condition: float = 10.0, seed: int = 0) -> torch.Tensor:
    """A real matrix with these eigenvalues (and the conjugates of those that are not real), zero else."""
    draw = torch.Generator().manual_seed(seed)
    core = torch.zeros(size, size, dtype=torch.float64)
    at = 0
    for value in map(complex, values):
        core[at, at] = value.real
        if value.imag:
            core[at : at + 2, at : at + 2] = torch.tensor(
                [[value.real, value.imag], [-value.imag, value.real]]
            )
        at += 2 if value.imag else 1
    mix = torch.linalg.qr(torch.randn(size, size, generator=draw, dtype=torch.float64))[0]
    mix = mix * torch.logspace(0, -torch.log10(torch.tensor(condition)).item(), size, dtype=torch.float64)
    mix = mix @ torch.linalg.qr(torch.randn(size, size, generator=draw, dtype=torch.float64))[0]
    return mix @ core @ torch.linalg.inv(mix)


@pytest.mark.parametrize("condition", [1.0, 100.0])
@pytest.mark.parametrize(
    ("spectrum", "lead"),
    [
        ([1.2, 0.9, -0.8], 1.2),
        ([0.5, -1.1, 0.9], -1.1),
        ([0.3 + 1.0j, 0.9, 0.2], 0.3 + 1.0j),
        ([1.0, 1.0 - 1e-3, 0.5], 1.0),
        ([0.9 + 0.1j, 0.905, 0.2], 0.9 + 0.1j),
    ],
    ids=str,
)
def test_the_leading_eigenvalue_is_found(spectrum: list[complex], lead: complex, condition: float) -> None:
    found = dominant_eigenvalues(with_spectrum(spectrum, 24, condition)[None])
    assert bool(found.found_N)
    assert found.value_N.item() == pytest.approx(lead, abs=1e-7)
    assert abs(lead) <= found.bound_N.item() + 1e-12 <= 1.002 * abs(lead)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**20), scale=st.floats(0.01, 3), shift=st.floats(-2, 2), size=st.integers(1, 40))
def test_what_is_found_is_the_spectral_radius_and_the_bound_holds(
    seed: int, scale: float, shift: float, size: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    matrices = scale * torch.randn(3, size, size, generator=draw, dtype=torch.float64) / size**0.5
    matrices += shift * torch.eye(size, dtype=torch.float64)
    radius = torch.linalg.eigvals(matrices).abs().amax(-1)
    found = dominant_eigenvalues(matrices)
    assert (radius <= found.bound_N * (1 + 1e-9)).all()
    torch.testing.assert_close(
        found.value_N.abs()[found.found_N], radius[found.found_N], rtol=1e-6, atol=1e-9
    )
    assert (found.value_N.imag >= 0).all()


def test_random_blocks_of_the_euler_map_are_settled() -> None:
    draw = torch.Generator().manual_seed(0)
    learned = 1.5 * torch.randn(6, 160, 160, generator=draw, dtype=torch.float64) / 160**0.5
    unit = torch.eye(160, dtype=torch.float64)
    matrices = unit + 0.1 * (learned - 2 * unit)
    found = dominant_eigenvalues(matrices)
    assert found.found_N.all()
    radius = torch.linalg.eigvals(matrices).abs().amax(-1)
    torch.testing.assert_close(found.value_N.abs(), radius, rtol=1e-9, atol=0)


def test_what_cannot_exceed_enough_is_not_refined_and_what_is_not_finite_is_not_found() -> None:
    small, broken = with_spectrum([0.5, 0.4], 24)[None], torch.full((1, 24, 24), torch.nan).double()
    rough = dominant_eigenvalues(small, enough=0.9)
    assert 0.5 <= rough.bound_N.item() <= 0.9
    assert not dominant_eigenvalues(broken).found_N.any()
    # Equal moduli all around the circle: none leads, and none is invented.
    turning = torch.roll(torch.eye(40, dtype=torch.float64), 1, 0)[None]
    found = dominant_eigenvalues(turning)
    assert not found.found_N.any()
    assert found.bound_N.item() == pytest.approx(1, rel=1e-3)
