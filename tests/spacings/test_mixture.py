"""The normal mixture: exact where it can be, finite for every finite input, NaN where a parameter is."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specseq.spacings.mixture import Mixture
from specseq.spacings.statistics import block_bootstrap

STANDARD = 0.5 * math.log(2 * math.pi * math.e)  # entropy of the standard normal
MEASURES = ("expectation", "weight_entropy", "predictive_entropy")
finite = st.floats(-50, 50)
scales = st.floats(1e-6, 10)


def mixture(weights: list[float], means: list[float], scales: list[float], dtype: torch.dtype) -> Mixture:
    weight = torch.tensor(weights, dtype=dtype)
    return Mixture(
        (weight / weight.sum()).log(), torch.tensor(means, dtype=dtype), torch.tensor(scales, dtype=dtype)
    )


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    count = draw(st.integers(1, 8))
    weights, means, spreads = (
        draw(st.lists(values, min_size=count, max_size=count))
        for values in (st.floats(1e-6, 1), finite, scales)
    )
    return mixture(weights, means, spreads, torch.float64)


@settings(max_examples=80, deadline=None)
@given(m=mixtures(), y=finite)
def test_scores_equal_those_of_scipy(m: Mixture, y: float) -> None:
    weight = m.log_weight.exp().numpy()
    normals = scipy.stats.norm(m.mean.numpy(), m.scale.numpy())
    at = torch.tensor(y, dtype=torch.float64)
    assert float(m.log_prob(at)) == pytest.approx(
        float(np.logaddexp.reduce(np.log(weight) + normals.logpdf(y))), rel=1e-9, abs=1e-9
    )
    assert float(m.cdf(at)) == pytest.approx(float(weight @ normals.cdf(y)), abs=1e-12)
    assert float(m.crps(at)) >= -1e-9


@settings(max_examples=60, deadline=None)
@given(mean=finite, scale=scales, parts=st.integers(1, 64))
def test_entropy_does_not_depend_on_how_many_components_share_a_density(
    mean: float, scale: float, parts: int
) -> None:
    m = mixture([1.0] * parts, [mean] * parts, [scale] * parts, torch.float64)
    assert float(m.predictive_entropy()) == pytest.approx(
        0.5 * math.log(2 * math.pi * math.e) + math.log(scale)
    )
    assert float(m.weight_entropy()) == pytest.approx(math.log(parts), abs=1e-12)


def test_entropy_of_components_far_apart() -> None:
    m = mixture([0.25, 0.75], [0.0, 1000.0], [0.01, 2.0], torch.float64)
    expected = STANDARD + 0.25 * math.log(0.01) + 0.75 * math.log(2.0) + float(m.weight_entropy())
    assert float(m.predictive_entropy()) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=120, deadline=None)
@given(y=st.floats(width=32, allow_nan=False, allow_infinity=False), scale=st.floats(2**-19, 8, width=32))
def test_one_extreme_observation_leaves_finite_gradients(y: float, scale: float) -> None:
    parts: list[Tensor] = [torch.zeros(1, 3), torch.ones(1, 3), torch.full((1, 3), scale)]
    for part in parts:
        part.requires_grad_()
    value = Mixture(torch.log_softmax(parts[0], -1), parts[1], parts[2]).log_prob(torch.tensor([y]))
    value.sum().backward()
    assert torch.isfinite(value).all()
    for part in parts:
        assert part.grad is not None
        assert torch.isfinite(part.grad).all()


@pytest.mark.parametrize("place", range(3))
def test_missing_parameters_give_missing_results(place: int) -> None:
    parts = [torch.zeros(2, 3), torch.ones(2, 3), torch.ones(2, 3)]
    parts[place][0, 1] = float("nan")
    m = Mixture(*parts)
    y = torch.ones(2)
    results = [
        m.log_prob(y),
        m.cdf(y),
        m.crps(y),
        m.sample(torch.Generator().manual_seed(0)),
        m.predictive_entropy(),
    ]
    for result in results:
        assert result.isnan().tolist() == [True, False]


def test_components_without_weight_do_not_count() -> None:
    m = mixture([1.0, 0.0], [0.0, 3.0], [1.0, 1.0], torch.float64)
    for measure in MEASURES:
        assert math.isfinite(float(getattr(m, measure)())), measure
    assert float(m.weight_entropy()) == 0.0


def test_one_window_has_no_interval() -> None:
    rng = np.random.default_rng(0)
    assert all(math.isnan(end) for end in block_bootstrap(np.array([0.3]), rng))
    assert all(math.isnan(end) for end in block_bootstrap(np.empty(0), rng))
    low, high = block_bootstrap(np.array([0.1, 0.5]), rng)
    assert low <= 0.3 <= high
