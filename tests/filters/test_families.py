"""Families against golden values and against the definitions they claim to solve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.filters import design
from specseq.filters.diagnostics import sup_norm
from specseq.filters.stability import is_stable, noise_gain

LYAPUNOV = {
    (4, 1): [0, -0.202013, 0, -0.280941],
    (4, 2): [0, -0.150132, 0, -0.183982],
    (4, 3): [0, -0.117594, 0, -0.136123],
    (4, 4): [0, -0.096101, 0, -0.107701],
    (4, 5): [0, -0.081045, 0, -0.088958],
    (2, 1): [0, -0.371507],
    (2, 2): [0, -0.225270],
    (2, 3): [0, -0.158407],
    (2, 4): [0, -0.121346],
    (2, 5): [0, -0.098085],
    (3, 1): [0, -0.371507, 0],
    (3, 5): [0, -0.098085, 0],
    (6, 1): [0, -0.124494, 0, -0.192127, 0, -0.234101],
    (6, 5): [0, -0.068568, 0, -0.075847, 0, -0.082023],
    (8, 1): [0, -0.079163, 0, -0.135996, 0, -0.179323, 0, -0.203952],
    (8, 5): [0, -0.058936, 0, -0.065647, 0, -0.071532, 0, -0.076487],
}
CHEBYSHEV = {
    1: [0],
    2: [0, -0.5],
    3: [0, -0.75, 0],
    4: [0, -1, 0, 0.125],
    5: [0, -1.25, 0, 0.3125, 0],
    6: [0, -1.5, 0, 0.5625, 0, -0.03125],
    7: [0, -1.75, 0, 0.875, 0, -0.109375, 0],
}


def taps(**spec: object) -> np.ndarray:
    return design(spec).array


@pytest.mark.parametrize(("degree", "wanted"), CHEBYSHEV.items())
def test_chebyshev_is_exact(degree: int, wanted: list[float]) -> None:
    assert design({"family": "chebyshev", "degree": degree}).taps == tuple(wanted)


@pytest.mark.parametrize("degree", range(1, 25))
def test_chebyshev_has_the_least_maximum(degree: int) -> None:
    assert sup_norm(taps(family="chebyshev", degree=degree)) == pytest.approx(2.0 ** (1 - degree), rel=1e-6)


@pytest.mark.parametrize("degree", range(1, 9))
def test_legendre_is_orthogonal_to_lower_powers(degree: int) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(20)
    values = np.polyval([1.0, *taps(family="legendre", degree=degree)], nodes)
    for power in range(degree):
        assert abs(weights @ (values * nodes**power)) < 1e-13


def test_difference_and_identity() -> None:
    assert design({"family": "difference"}).taps == (-1.0,)
    assert design({"family": "difference", "degree": 3}).taps == (-3.0, 3.0, -1.0)
    assert design({"family": "identity", "degree": 2}).taps == (0, 0)


@pytest.mark.parametrize(("key", "wanted"), LYAPUNOV.items())
def test_lyapunov_golden(key: tuple[int, int], wanted: list[float]) -> None:
    np.testing.assert_allclose(taps(family="lyapunov", degree=key[0], lam=key[1]), wanted, atol=1e-6)


@pytest.mark.parametrize("lam", [2, 3, 10])
def test_l2_with_the_maximum_at_one(lam: float) -> None:
    np.testing.assert_allclose(taps(family="l2", degree=4, lam=lam)[1::2], -0.5 / lam, atol=1e-8)


@pytest.mark.parametrize("lam", [0.25, 0.5, 1.0])
def test_l2_with_an_interior_maximum(lam: float) -> None:
    """p = u² + au + b has |p| = t at u = 1 and at u = -a/2; b follows from a, and one search is left."""
    from scipy.optimize import minimize_scalar

    def b(a: float) -> float:
        return (a * a / 4 - 1 - a) / 2

    best = minimize_scalar(
        lambda a: 1 + a + b(a) + lam * (a * a + b(a) ** 2),
        bounds=(-1, 0),
        method="bounded",
        options={"xatol": 1e-13},
    ).x
    np.testing.assert_allclose(taps(family="l2", degree=4, lam=lam)[1::2], [best, b(best)], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    family=st.sampled_from(["lyapunov", "l2"]),
    degree=st.integers(1, 9),
    lam=st.floats(1e-4, 50),
    seed=st.integers(0, 2**31),
)
def test_no_neighbour_is_better(family: str, degree: int, lam: float, seed: int) -> None:
    """The minimiser of a convex objective: no step in any direction, odd lags included, lowers it."""
    found = taps(family=family, degree=degree, lam=lam)

    def objective(c: np.ndarray) -> float:
        return sup_norm(c) + lam * (noise_gain(c) if family == "lyapunov" else float(c @ c))

    least = objective(found)
    rng = np.random.default_rng(seed)
    for size in (1e-1, 1e-2, 1e-3):
        assert objective(found + size * rng.normal(size=degree)) >= least - 1e-9


def test_small_penalty_approaches_chebyshev() -> None:
    np.testing.assert_allclose(
        taps(family="lyapunov", degree=4, lam=1e-7), taps(family="chebyshev", degree=4), atol=1e-4
    )
    assert design({"family": "lyapunov", "degree": 5, "lam": 0}).taps == tuple(CHEBYSHEV[5])


@settings(max_examples=40, deadline=None)
@given(degree=st.integers(1, 12), lam=st.floats(1e-3, 100))
def test_lyapunov_is_stable_and_shrinks(degree: int, lam: float) -> None:
    found = taps(family="lyapunov", degree=degree, lam=lam)
    assert is_stable(found)
    assert sup_norm(found) <= 1 + 1e-12


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({}, "family"),
        ({"family": "cheby", "degree": 3}, "family"),
        ({"family": "chebyshev"}, "degree"),
        ({"family": "chebyshev", "degree": 0}, "degree"),
        ({"family": "chebyshev", "degree": 25}, "degree"),
        ({"family": "chebyshev", "degree": 2.5}, "degree"),
        ({"family": "chebyshev", "degree": True}, "degree"),
        ({"family": "chebyshev", "degree": 4, "lam": 1.0}, "lam"),
        ({"family": "lyapunov", "degree": 4}, "lam"),
        ({"family": "lyapunov", "degree": 4, "lam": -1}, "lam"),
        ({"family": "lyapunov", "degree": 4, "lam": float("nan")}, "lam"),
        ({"family": "literal"}, "taps"),
        ({"family": "literal", "taps": []}, "taps"),
        ({"family": "literal", "taps": [0.0] * 65}, "taps"),
        ({"family": "literal", "taps": "-1,x"}, "taps"),
        ({"family": "literal", "taps": [float("inf")]}, "taps"),
        ({"family": "literal", "taps": [-0.5], "stride": 0}, "stride"),
        ({"family": "matched", "degree": 2, "horizon": 4}, "autocovariance"),
        ({"family": "matched", "degree": 2, "horizon": 0, "autocovariance": [1.0]}, "horizon"),
    ],
)
def test_bad_specifications_name_the_field(spec: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        design(spec, "studies.x.filter")
    assert f"studies.x.filter.{field}" in str(caught.value)
    assert "\n" not in str(caught.value)
