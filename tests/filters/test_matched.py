"""The matched family and the error theory behind it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz
from scipy.optimize import check_grad
from scipy.signal import lfilter

from specseq.errors import InputError
from specseq.filters import (
    Filter,
    design,
    noise_gain,
    predicted_oracle_error,
    predicted_self_error,
    residual_autocovariance,
    residual_covariance,
)
from specseq.filters.matched import _objective, _quadratic_form
from specseq.filters.theory import as_covariance
from specseq.seeding import generator


def test_white_errors_grow_as_the_horizon_gain() -> None:
    filter = design({"family": "chebyshev", "degree": 5})
    from specseq.filters import diagnose

    gains = diagnose(filter, tuple(range(30))).horizon_gain
    found = predicted_self_error(filter, np.array([2.0]), 30)
    np.testing.assert_allclose(found, [2 * gains[step] for step in range(30)], rtol=1e-12)


@pytest.mark.parametrize("stride", [1, 3])
def test_prediction_is_what_simulation_finds(stride: int) -> None:
    filter = Filter("literal", (-0.5, 0.2), stride)
    rng = generator(0, "simulation")
    mixing = rng.normal(size=(12, 12))
    errors = rng.normal(size=(40000, 12)) @ mixing.T
    spread = np.zeros(2 * stride + 1)
    spread[::stride] = [1, *filter.taps]
    measured = (lfilter([1.0], spread, errors, axis=1) ** 2).mean(0)
    np.testing.assert_allclose(predicted_self_error(filter, mixing @ mixing.T, 12), measured, rtol=0.05)


@pytest.mark.parametrize("stride", [1, 3])
def test_a_linear_forecaster_gains_under_the_oracle_alone(stride: int) -> None:
    """Its filtered-space error is A·e: the oracle leaves that, self reversal leaves e."""
    filter = Filter("literal", (-0.5, 0.2), stride)
    rng = generator(1, "linear")
    mixing = rng.normal(size=(12, 12))
    spread = np.zeros(2 * stride + 1)
    spread[::stride] = [1, *filter.taps]
    transfer = np.stack([lfilter(spread, [1.0], unit) for unit in np.eye(12)], axis=1)
    filtered = transfer @ mixing @ mixing.T @ transfer.T
    np.testing.assert_allclose(predicted_oracle_error(filter, mixing @ mixing.T, 12), np.diag(filtered))
    np.testing.assert_allclose(predicted_self_error(filter, filtered, 12), np.diag(mixing @ mixing.T))
    assert predicted_oracle_error(filter, np.ones(1), 1) == pytest.approx([1.0])


@pytest.mark.parametrize("theta", [-0.6, 0.4])
def test_matched_whitens_a_moving_average(theta: float) -> None:
    """E = (1 + θL) w: the filter 1 + θL leaves w, so it is the optimum of a long horizon."""
    covariance = [1 + theta**2, theta]
    found = design({"family": "matched", "degree": 1, "autocovariance": covariance, "horizon": 300})
    assert found.taps[0] == pytest.approx(theta, abs=1e-2)
    assert predicted_self_error(found, np.array(covariance), 50)[-1] == pytest.approx(1.0, abs=1e-2)


def test_matched_with_stride_sees_lags_of_its_stride() -> None:
    covariance = np.zeros(9)
    covariance[[0, 4]] = [1.25, 0.5]
    spec = {"family": "matched", "degree": 1, "autocovariance": covariance.tolist(), "horizon": 400}
    assert design({**spec, "stride": 4}).taps[0] == pytest.approx(0.5, abs=1e-2)
    assert abs(design(spec).taps[0]) < 1e-2, "no correlation at lag 1, nothing to gain there"


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    degree=st.integers(1, 4),
    stride=st.integers(1, 3),
    lam=st.sampled_from([0.0, 0.1, 1.0]),
    matrix=st.booleans(),
)
def test_matched_never_predicts_worse_than_the_identity(
    seed: int, degree: int, stride: int, lam: float, matrix: bool
) -> None:
    rng = np.random.default_rng(seed)
    residuals = rng.normal(size=(30, 12)).cumsum(1)
    covariance = residual_covariance(residuals) if matrix else residual_autocovariance(residuals, 12)
    found = design(
        {
            "family": "matched",
            "degree": degree,
            "autocovariance": covariance.tolist(),
            "horizon": 12,
            "lam": lam,
            "stride": stride,
        }
    )
    identity = Filter("identity", (0.0,))

    def objective(filter: Filter) -> float:
        kept = predicted_self_error(filter, covariance, 12).mean()
        return kept / predicted_self_error(identity, covariance, 12).mean() + lam * noise_gain(filter.array)

    assert objective(found) <= objective(identity) + 1e-12


def test_gradient_of_the_objective() -> None:
    weights = _quadratic_form(as_covariance(0.8 ** np.arange(30), 30), 2)
    for degree in (1, 3, 20):
        point = generator(0, "point", degree).uniform(-0.6, 0.6, degree)
        error = check_grad(
            lambda k: _objective(k, weights, 0.3)[0], lambda k: _objective(k, weights, 0.3)[1], point
        )
        assert error < 1e-4 * np.abs(_objective(point, weights, 0.3)[1]).max()


def test_matched_to_white_errors_is_the_identity() -> None:
    found = design({"family": "matched", "degree": 3, "autocovariance": [1.0], "horizon": 24, "lam": 0.1})
    np.testing.assert_allclose(found.taps, 0, atol=1e-5)


def test_residual_autocovariance_leaves_nan_out() -> None:
    rng = generator(0, "residuals")
    whole = rng.normal(size=(50, 20))
    np.testing.assert_allclose(
        residual_autocovariance(whole, 3),
        [np.mean(whole**2)] + [(whole[:, k:] * whole[:, :-k]).sum() / whole.size for k in (1, 2)],
    )
    holes = np.where(rng.random(whole.shape) < 0.2, np.nan, whole)
    assert residual_autocovariance(holes, 1)[0] == pytest.approx(np.nanmean(holes**2))
    with pytest.raises(InputError, match="NaN"):
        residual_autocovariance(np.full((2, 3), np.nan), 2)
    with pytest.raises(InputError, match="NaN"):
        residual_covariance(holes[:, :1] * np.nan)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.6))
def test_estimated_autocovariance_is_one(seed: int, share: float) -> None:
    """Positive semi-definite with missing values too, so that a design accepts it."""
    rng = np.random.default_rng(seed)
    residuals = rng.normal(size=(5, 15)).cumsum(1)
    residuals[rng.random(residuals.shape) < share] = np.nan
    residuals[0, 0] = 1.0
    matrix = toeplitz(residual_autocovariance(residuals, 15))
    assert np.linalg.eigvalsh(matrix)[0] > -1e-9 * matrix[0, 0]


def test_few_residuals_in_single_precision_give_a_covariance() -> None:
    residuals = generator(0, "single").normal(size=(4, 30)).cumsum(1).astype(np.float32)
    for covariance in (residual_covariance(residuals), residual_autocovariance(residuals, 30)):
        found = design(
            {"family": "matched", "degree": 2, "autocovariance": covariance.tolist(), "horizon": 30}
        )
        assert (
            predicted_self_error(found, covariance, 30).mean() < np.trace(residual_covariance(residuals)) / 30
        )


@pytest.mark.parametrize(
    "covariance", [[], [0.0], [-1.0], [1.0, 2.0], [float("nan")], [[1.0, 0.0]], [[1.0, 0.5], [0.1, 1.0]]]
)
def test_what_is_no_covariance_is_refused(covariance: list[float]) -> None:
    with pytest.raises(InputError, match="autocovariance"):
        design({"family": "matched", "degree": 1, "autocovariance": covariance, "horizon": 2})
