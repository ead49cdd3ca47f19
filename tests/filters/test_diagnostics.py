"""Diagnostics against independent computations of the same quantities."""

import json
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.linalg import companion, solve_discrete_lyapunov

from specseq.filters import Filter, design, diagnose, frequency_response, impulse_response
from specseq.filters.stability import (
    from_reflection,
    is_stable,
    noise_gain,
    noise_gain_gradient,
    spectral_radius,
)

reflections = st.lists(st.floats(-0.95, 0.95), min_size=1, max_size=8).map(np.array)
CHEBYSHEV_GAIN = {2: 1.3333, 3: 2.2857, 4: 4.8403, 5: 11.9202, 6: 32.4094, 7: 94.1014, 8: 286.0925}


@settings(max_examples=50, deadline=None)
@given(reflections)
def test_noise_gain_is_the_lyapunov_solution(k: np.ndarray) -> None:
    taps = from_reflection(k)
    # A root may come so close to the circle that no arithmetic can tell which side it is on.
    assume(is_stable(taps))
    matrix = companion([1.0, *taps])
    unit = np.zeros_like(matrix)
    unit[0, 0] = 1.0
    assert noise_gain(taps) == pytest.approx(solve_discrete_lyapunov(matrix.T, unit)[0, 0], rel=1e-6)
    assert noise_gain(taps) == pytest.approx(np.prod(1 / (1 - k**2)), rel=1e-6)


def test_noise_gain_in_closed_form() -> None:
    a, b = 0.2, 0.28
    wanted = (1 - b) / ((1 + b) * ((1 - b) ** 2 - a**2))
    assert noise_gain(np.array([0, -a, 0, -b])) == pytest.approx(wanted, rel=1e-13)


@pytest.mark.parametrize(("root", "count"), [(0.999, 4), (0.99, 6), (0.5, 12), (-0.999, 3)])
def test_noise_gain_of_a_multiple_root_near_the_circle(root: float, count: int) -> None:
    taps = np.poly([root] * count)[1:]
    exact, current = Fraction(1), [Fraction(tap) for tap in taps]
    while current:
        head, last = current[:-1], current[-1]
        exact /= 1 - last * last
        current = [
            (c - last * turned) / (1 - last * last) for c, turned in zip(head, head[::-1], strict=True)
        ]
    assert noise_gain(taps) == pytest.approx(float(exact), rel=1e-14)


@settings(max_examples=30, deadline=None)
@given(reflections)
def test_noise_gain_gradient(k: np.ndarray) -> None:
    taps = from_reflection(k)
    value, slope = noise_gain_gradient(taps)
    # In double precision the recursion loses digits with roots near the circle.
    assert value == pytest.approx(noise_gain(taps), rel=1e-6)
    # A complex step has no cancellation: the derivative of the same product in complex arithmetic.
    for place in range(len(taps)):
        stepped = taps.astype(complex)
        stepped[place] += 1e-30j
        product = 1.0 + 0j
        current = stepped
        while len(current):
            last = current[-1]
            product /= 1 - last * last
            current = (current[:-1] - last * current[-2::-1]) / (1 - last * last)
        assert slope[place] == pytest.approx(product.imag / 1e-30, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize(("degree", "gain"), CHEBYSHEV_GAIN.items())
def test_chebyshev_gain_and_radius(degree: int, gain: float) -> None:
    found = diagnose(design({"family": "chebyshev", "degree": degree}))
    assert found.noise_gain == pytest.approx(gain, abs=6e-5)
    assert found.spectral_radius == pytest.approx(np.cos(np.pi / (2 * degree)), rel=1e-10)
    assert found.stable


@pytest.mark.parametrize(
    ("taps", "radius"),
    [([-1.5, 0, 0.75], 1.12), ([0, -2, 0, 1.125], 1.03), ([0, 2.5, 0, -3.125, 0, 1.5625], 1.88)],
)
def test_printed_chebyshev_lists_are_unstable(taps: list[float], radius: float) -> None:
    found = diagnose(design({"family": "literal", "taps": taps}))
    assert not found.stable
    assert found.spectral_radius == pytest.approx(radius, abs=6e-3)
    assert found.noise_gain == found.absolute_gain == np.inf


@settings(max_examples=40, deadline=None)
@given(reflections)
def test_gains_are_those_of_the_impulse_response(k: np.ndarray) -> None:
    filter = Filter("literal", tuple(from_reflection(k)))
    found = diagnose(filter, (0, 3, 17))
    response = impulse_response(filter.array, 20000)
    for horizon, gain in found.horizon_gain.items():
        assert gain == pytest.approx((response[: horizon + 1] ** 2).sum(), rel=1e-12)
    if found.spectral_radius < 0.995:
        assert found.absolute_gain == pytest.approx(np.abs(response).sum(), rel=1e-10)
        assert found.noise_gain == pytest.approx((response**2).sum(), rel=1e-8)
        assert found.dc_gain == pytest.approx(response.sum(), rel=1e-8, abs=1e-10)
    assert found.absolute_gain >= abs(found.dc_gain) * (1 - 1e-9)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=1, max_size=8))
def test_sup_norm_is_the_maximum(taps: list[float]) -> None:
    grid = np.abs(np.polyval([1.0, *taps], np.linspace(-1, 1, 20001))).max()
    found = diagnose(Filter("literal", tuple(taps))).sup_norm
    assert grid - 1e-12 <= found <= grid * (1 + 1e-5) + 1e-9


def test_identity() -> None:
    found = diagnose(design({"family": "identity", "degree": 3}))
    assert (found.sup_norm, found.spectral_radius, found.noise_gain, found.absolute_gain) == (1, 0, 1, 1)
    assert found.horizon_gain[100] == found.dc_gain == 1


def test_difference_sits_on_the_unit_circle() -> None:
    found = diagnose(design({"family": "difference"}))
    assert found.noise_gain == np.inf
    assert not found.stable
    assert found.horizon_gain[5] == 6
    assert not is_stable(np.array([-2.0, 1.0])), "a double root at 1 is found slightly off it"


def test_stride_spreads_the_response_in_time() -> None:
    taps = [-0.4, 0.1]
    plain, strided = Filter("literal", tuple(taps)), Filter("literal", tuple(taps), stride=4)
    spread = np.zeros(8)
    spread[3::4] = taps
    wide = Filter("literal", tuple(spread))
    for horizon in (0, 3, 4, 11, 50):
        assert diagnose(strided, (horizon,)).horizon_gain[horizon] == pytest.approx(
            diagnose(wide, (horizon,)).horizon_gain[horizon], rel=1e-12
        )
    assert diagnose(strided).noise_gain == diagnose(plain).noise_gain
    assert spectral_radius(wide.array) == pytest.approx(spectral_radius(plain.array) ** 0.25, rel=1e-8)
    np.testing.assert_allclose(frequency_response(strided)[1], frequency_response(wide)[1], atol=1e-12)


def test_frequency_response_at_its_ends() -> None:
    omega, response = frequency_response(design({"family": "literal", "taps": [-0.5, 0.25]}), 5)
    assert omega[0] == 0
    assert omega[-1] == pytest.approx(np.pi)
    assert response[0] == pytest.approx(0.75)
    assert response[-1] == pytest.approx(1.75)


def test_record_is_strict_json() -> None:
    text = json.dumps(diagnose(design({"family": "difference"})).record(), allow_nan=False)
    assert json.loads(text)["noise_gain"] == "inf"


def test_huge_taps_overflow_to_infinity_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnose(Filter("literal", (1e308, 1e308)))
    assert not found.stable
    assert found.spectral_radius == 1e308
    assert found.noise_gain == found.tap_sum == np.inf
