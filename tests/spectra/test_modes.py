"""Modes and verdicts against arithmetic that a reader can check."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.spectra.modes import critical_step, leading_mode, spectral_abscissa, spectral_radius
from specseq.spectra.verdict import Verdict, verdicts, worst


def spectrum(*values: complex) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.complex128)


def test_the_limiting_mode_need_not_be_the_rightmost() -> None:
    mu = spectrum(-0.1, -1 + 9j, -1 - 9j)
    limit, mode = critical_step(mu)
    assert leading_mode(mu).item() == pytest.approx(-0.1)
    assert limit.item() == pytest.approx(2 / 82)
    assert mode.item() == pytest.approx(-1 + 9j)


def test_no_step_is_stable_where_a_mode_does_not_decay() -> None:
    limit, mode = critical_step(spectrum(-1, 0.26 + 1.37j, 0.26 - 1.37j))
    assert limit.item() == 0
    assert mode.item() == pytest.approx(0.26 + 1.37j)
    assert critical_step(spectrum(-1, 1j))[0].item() == 0


def test_the_published_pair_does_not_give_the_published_radius() -> None:
    # .26 ± 1.37i at ε = .1 gives 1.035; 1.044 is a real mode of .44.
    assert spectral_radius(spectrum(0.26 + 1.37j), 0.1).item() == pytest.approx(1.035, abs=5e-4)
    assert spectral_radius(spectrum(0.44), 0.1).item() == pytest.approx(1.044, abs=5e-4)


@settings(max_examples=50, deadline=None)
@given(a=st.floats(-5, -1e-3), b=st.floats(-20, 20))
def test_the_critical_step_is_where_the_radius_crosses_one(a: float, b: float) -> None:
    mu = spectrum(complex(a, b))
    limit = critical_step(mu)[0].item()
    assert spectral_radius(mu, limit).item() == pytest.approx(1)
    assert spectral_radius(mu, 0.99 * limit).item() < 1
    assert spectral_radius(mu, 1.01 * limit).item() > 1


@pytest.mark.parametrize("size", [1e-200, 1e-170, 1e170, 1e200])
def test_the_critical_step_of_tiny_and_huge_operators(size: float) -> None:
    limit, mode = critical_step(size * spectrum(complex(-1, 5), complex(-1, -5), -0.5))
    assert limit.item() * size == pytest.approx(2 / 26)
    assert mode.item() == size * complex(-1, 5)


def test_an_unknown_mode_makes_every_summary_unknown() -> None:
    mu = spectrum(-1, complex(math.nan, 0))
    for value in (
        spectral_abscissa(mu),
        spectral_radius(mu, 0.1),
        critical_step(mu)[0],
        leading_mode(mu).real,
    ):
        assert torch.isnan(value)


@pytest.mark.parametrize(
    ("alpha", "im", "rho", "residual", "expected"),
    [
        (0.09, 3.2, 1.06, 1e-9, "HOPF"),
        (0.09, 0.0, 1.01, 1e-9, "SADDLE"),
        (-0.24, 2.6, 1.009, 1e-9, "EULER-WALL"),
        (-0.24, 2.6, 0.98, 1e-9, "STABLE"),
        (-0.24, 2.6, 0.98, 1e-2, "TRANSIENT"),
        (-0.24, 2.6, 1.01, 1e-2, "NO-ROOT"),
        (0.09, 3.2, 0.98, 1e-2, "NO-ROOT"),
        (-0.24, 2.6, 0.98, math.inf, "NO-ROOT"),
        (math.nan, 0.0, 0.5, 1e-9, "NO-ROOT"),
        (0.0, 1.0, 1.005, 1e-9, "HOPF"),
        (-0.24, 2.6, 1.0, 1e-9, "EULER-WALL"),
        (-0.24, 2.6, 1.0, 1e-6, "EULER-WALL"),
    ],
)
def test_verdicts(alpha: float, im: float, rho: float, residual: float, expected: str) -> None:
    assert verdicts(alpha, im, rho, residual) == expected


@pytest.mark.parametrize(
    ("alpha", "im", "rho", "error", "expected"),
    [
        (0.09, 3.2, 1.06, 0.1, "DOUBTFUL"),
        (0.09, 3.2, 1.06, 0.08, "HOPF"),
        (-0.09, 3.2, 0.9, 0.1, "DOUBTFUL"),
        (-0.09, 3.2, 0.9, math.nan, "DOUBTFUL"),
        (-0.09, 3.2, 0.9, math.inf, "DOUBTFUL"),
        (-0.09, 3.2, 0.9999, 2e-3, "DOUBTFUL"),
        (-0.09, 3.2, 1.0001, 2e-3, "DOUBTFUL"),
        (-0.09, 3.2, 1.0001, 5e-4, "EULER-WALL"),
        (0.1, 1e-8, 1.01, 2e-8, "SADDLE"),
        (0.1, 1e-8, 1.01, 5e-9, "HOPF"),
        (1e-12, 1e-12, 1 + 1e-13, 1e-27, "HOPF"),
        (1e-12, 0.0, 1 + 1e-13, 1e-27, "SADDLE"),
    ],
)
def test_what_the_error_hides_is_doubtful(
    alpha: float, im: float, rho: float, error: float, expected: str
) -> None:
    assert verdicts(alpha, im, rho, 1e-9, error=error, step=0.1) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.floats(allow_nan=True, allow_infinity=True)] * 4), min_size=1, max_size=5))
def test_every_input_has_a_verdict(rows: list[tuple[float, ...]]) -> None:
    names = verdicts(*np.array(rows).T)
    assert set(names) <= {str(v) for v in Verdict}
    assert worst(names) in set(names)
