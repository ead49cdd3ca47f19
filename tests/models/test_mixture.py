"""The mixture against scipy and torch.distributions."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from specseq.models.mixture import Mixture
from specseq.models.mixture_density import NORMAL_SCALE, PARAMETERS, components

# scipy's log-normal overflows just above zero.
finite = st.floats(-20, 20).map(lambda value: value if abs(value) > 1e-200 else 0.0)


FAMILIES = ("student", "normal", "negative_binomial", "log_normal")


def draw(points: int, seed: int = 0, spread: float = 1.5) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return spread * torch.randn(len(PARAMETERS), points, generator=rng, dtype=torch.float64)


def scipy_log_prob(mixture: Mixture, x: np.ndarray) -> np.ndarray:
    m = {name: value.numpy() for name, value in vars(mixture).items() if isinstance(value, torch.Tensor)}
    failure = 1 / (1 + np.exp(m["logits"]))
    # scipy's own mass function refuses reals, so the binomial stands on gamma functions from torch.
    lgamma = lambda v: torch.lgamma(torch.as_tensor(v)).numpy()  # noqa: E731
    safe = np.maximum(x, 0)
    binomial = (
        lgamma(safe + m["count"]) - lgamma(safe + 1) - lgamma(m["count"])
        + m["count"] * np.log(failure) + safe * np.log1p(-failure)
    )  # fmt: skip
    parts = [
        stats.t.logpdf(x, m["student_df"], m["student_loc"], m["student_scale"]),
        stats.norm.logpdf(x, m["normal_loc"], NORMAL_SCALE),
        np.where(x >= 0, binomial, -np.inf),
        stats.lognorm.logpdf(x, m["log_normal_scale"], scale=np.exp(m["log_normal_loc"])),
    ]
    return np.logaddexp.reduce(m["log_weights_CQ"] + np.stack(parts), axis=0)


@given(values=st.lists(finite, min_size=1, max_size=8), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_log_density_equals_scipy(values: list[float], seed: int) -> None:
    x_Q = torch.tensor(values, dtype=torch.float64)
    mixture = Mixture(draw(len(values), seed))
    np.testing.assert_allclose(mixture.log_prob(x_Q).numpy(), scipy_log_prob(mixture, x_Q.numpy()), rtol=1e-9)


def test_components_equal_torch_distributions() -> None:
    mixture = Mixture(draw(5))
    x_Q = torch.tensor([0.2, 1.0, 3.0, 7.0, 40.0], dtype=torch.float64)
    d = torch.distributions
    expected = [
        d.StudentT(mixture.student_df, mixture.student_loc, mixture.student_scale).log_prob(x_Q),
        d.Normal(mixture.normal_loc, NORMAL_SCALE).log_prob(x_Q),
        d.NegativeBinomial(mixture.count, logits=mixture.logits, validate_args=False).log_prob(x_Q),
        d.LogNormal(mixture.log_normal_loc, mixture.log_normal_scale).log_prob(x_Q),
    ]
    ours = torch.stack([part.log_prob for part in components(mixture, x_Q)])
    torch.testing.assert_close(ours, torch.stack(expected), rtol=1e-9, atol=1e-9)


def test_outside_a_support_the_component_is_left_out() -> None:
    parts = components(Mixture(draw(3)), torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
    inside = torch.stack([part.log_prob.isfinite() for part in parts])
    assert inside.tolist() == [[True] * 3, [True] * 3, [False, True, True], [False, False, True]]


def test_gradients_equal_finite_differences() -> None:
    raw = draw(6, spread=1.0).requires_grad_()
    x_Q = torch.tensor([-2.0, -0.1, 0.0, 0.3, 2.0, 9.0], dtype=torch.float64)
    # The narrow Normal's curvature is 1e6, so it is put out of reach of the points.
    shifted = torch.zeros_like(raw)
    shifted[PARAMETERS.index("normal_loc")] = 50
    assert torch.autograd.gradcheck(lambda r: Mixture(r + shifted).log_prob(x_Q), raw, atol=1e-6)


def composed_log_prob(raw: torch.Tensor, x_Q: torch.Tensor) -> torch.Tensor:
    """The density left to autograd, as torch.distributions has it, with scales clamped likewise."""
    df, loc, scale, narrow, count, logits, log_loc, log_scale = raw[4:].unbind(0)
    eps, tiny = torch.finfo(raw.dtype).eps, torch.finfo(raw.dtype).tiny
    df, scale, log_scale = 2 + F.softplus(df), F.softplus(scale).clamp_min(eps), F.softplus(log_scale)
    count, inside_Q, positive_Q = F.softplus(count).clamp_min(tiny), x_Q >= 0, x_Q > 0
    d = torch.distributions
    binomial = d.NegativeBinomial(count, logits=logits, validate_args=False)
    parts = [
        d.StudentT(df, loc, scale).log_prob(x_Q),
        d.Normal(narrow, NORMAL_SCALE).log_prob(x_Q),
        torch.where(inside_Q, binomial.log_prob(torch.where(inside_Q, x_Q, 1.0)), -torch.inf),
        torch.where(
            positive_Q,
            d.LogNormal(log_loc, log_scale.clamp_min(eps)).log_prob(torch.where(positive_Q, x_Q, 1.0)),
            -torch.inf,
        ),
    ]
    return (raw[:4].log_softmax(0) + torch.stack(parts)).logsumexp(0)


@pytest.mark.parametrize("case", ["usual", "many degrees of freedom", "smallest scales", "near the Normal"])
def test_the_written_out_gradient_is_that_of_autograd(case: str) -> None:
    generator = torch.Generator().manual_seed(3)
    raw, x_Q = draw(400), 3 * torch.randn(400, generator=generator, dtype=torch.float64)
    x_Q[::3], x_Q[::7] = x_Q[::3].round(), 0
    if case == "many degrees of freedom":
        raw[PARAMETERS.index("student_df"), ::2] = torch.linspace(900, 3000, 200, dtype=torch.float64)
    if case == "smallest scales":
        for name in ("student_scale", "negative_binomial_count", "log_normal_scale"):
            raw[PARAMETERS.index(name), ::2] = -60.0
    if case == "near the Normal":
        x_Q = raw[PARAMETERS.index("normal_loc")] + NORMAL_SCALE * x_Q
    raw.requires_grad_()
    upstream = torch.randn(400, generator=generator, dtype=torch.float64)
    values = Mixture(raw).log_prob(x_Q), composed_log_prob(raw, x_Q)
    torch.testing.assert_close(*values, rtol=1e-10, atol=1e-10)
    grads = [torch.autograd.grad(value, raw, upstream)[0] for value in values]
    torch.testing.assert_close(*grads, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("extreme", [-200.0, 200.0])
@pytest.mark.parametrize("name", PARAMETERS)
def test_extreme_parameters_leave_value_and_gradient_finite(name: str, extreme: float) -> None:
    raw = torch.zeros(len(PARAMETERS), 4)
    raw[PARAMETERS.index(name)] = extreme
    raw.requires_grad_()
    value = Mixture(raw).log_prob(torch.tensor([-3.0, 0.0, 0.5, 30.0]))
    value.sum().backward()
    assert value.isfinite().all()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


def test_quantiles_invert_the_distribution_function() -> None:
    mixture, levels = Mixture(draw(40)), (0.01, 0.1, 0.5, 0.9, 0.99)
    quantiles_VQ = mixture.quantile(levels)
    assert (np.diff(quantiles_VQ, axis=0) >= 0).all()
    above = mixture.cdf(quantiles_VQ)
    below = mixture.cdf(quantiles_VQ - 4e-6 * np.maximum(np.abs(quantiles_VQ), 1))
    for level, high, low in zip(levels, above, below, strict=True):
        assert (high >= level - 1e-7).all()
        assert (low < level + 1e-7).all()


@pytest.mark.parametrize("name", FAMILIES)
def test_quantiles_of_a_single_family_equal_scipys(name: str) -> None:
    raw = draw(200)
    raw[PARAMETERS.index(f"{name}_logit")] += 60
    mixture, levels = Mixture(raw), (0.02, 0.3, 0.5, 0.77, 0.995)
    family = {
        "student": stats.t(mixture.student_df, mixture.student_loc, mixture.student_scale),
        "normal": stats.norm(mixture.normal_loc, NORMAL_SCALE),
        "negative_binomial": stats.nbinom(mixture.count, torch.sigmoid(-mixture.logits)),
        "log_normal": stats.lognorm(mixture.log_normal_scale, scale=mixture.log_normal_loc.exp()),
    }[name]
    quantiles_VQ = mixture.quantile(levels)
    for level, found, expected in zip(levels, quantiles_VQ, map(family.ppf, levels), strict=True):
        near = np.isclose(found, expected, rtol=4e-6, atol=4e-6)
        assert (near | (np.abs(family.cdf(found) - level) <= 1.1e-7)).all()


def alone(name: str, dtype: torch.dtype = torch.float32, **raw: float) -> torch.Tensor:
    """Raw parameters of one point where a single family has weight."""
    logits = {f"{other}_logit": 60.0 * (other == name) for other in FAMILIES}
    return torch.tensor([[(logits | raw).get(parameter, 0.0)] for parameter in PARAMETERS], dtype=dtype)


HUGE = st.floats(1e3, float(np.finfo(np.float32).max) / 2, width=32)


@given(size=HUGE, sign=st.sampled_from([-1, 1]), seed=st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_one_extreme_observation_has_the_density_and_a_finite_gradient(
    size: float, sign: int, seed: int
) -> None:
    raw = (0.5 * draw(1, seed)).float().requires_grad_()
    value = Mixture(raw).log_prob(torch.tensor([sign * size]))
    value.backward()
    exact = Mixture(raw.detach().double()).log_prob(torch.tensor([sign * size], dtype=torch.float64))
    assert value.item() == pytest.approx(exact.item(), rel=1e-3)
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("name", FAMILIES)
@given(x=HUGE | st.floats(0, 1e3, width=32), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_every_family_alone_has_a_finite_gradient(name: str, x: float, seed: int) -> None:
    raw = (alone(name) + 0.5 * draw(1, seed).float()).requires_grad_()
    Mixture(raw).log_prob(torch.tensor([x])).backward()
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("df", [3e2, 1e3, 1.1e3, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_student_with_many_degrees_of_freedom(df: float, dtype: torch.dtype) -> None:
    unit_scale = float(np.log(np.e - 1))
    raw = alone("student", dtype, student_df=df, student_scale=unit_scale).expand(-1, 4001).clone()
    raw.requires_grad_()
    x_Q = torch.linspace(-8, 8, 4001, dtype=dtype)
    log_prob_Q = Mixture(raw).log_prob(x_Q)
    log_prob_Q.sum().backward()
    expected = stats.t.logpdf(x_Q.double(), df + 2)
    np.testing.assert_allclose(log_prob_Q.detach(), expected, atol=2e-4 if dtype == torch.float32 else 1e-9)
    assert raw.grad is not None
    assert raw.grad.isfinite().all()


@given(log_odds=st.floats(-20, 90), count=st.floats(-5, 20), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_draws_of_counts_are_whole_finite_and_not_negative(log_odds: float, count: float, seed: int) -> None:
    raw = alone("negative_binomial", negative_binomial_logits=log_odds, negative_binomial_count=count)
    draws = Mixture(raw).sample(200, torch.Generator().manual_seed(seed))
    assert (draws >= 0).all()
    assert draws.isfinite().all()
    assert torch.equal(draws, draws.round())


def test_draws_of_huge_counts_have_their_mean() -> None:
    raw = alone("negative_binomial", negative_binomial_logits=50.0, negative_binomial_count=3.0)
    mixture = Mixture(raw)
    mean = float(mixture.count) * np.exp(50)
    assert float(mixture.sample(4000, torch.Generator().manual_seed(0)).mean()) == pytest.approx(
        mean, rel=0.05
    )


@given(
    log_odds=st.floats(-3, 6),
    count=st.floats(-2, 5),
    level=st.floats(1e-6, 1 - 1e-6),
)
@settings(max_examples=60, deadline=None)
def test_quantiles_of_counts_are_whole(log_odds: float, count: float, level: float) -> None:
    raw = alone(
        "negative_binomial",
        torch.float64,
        negative_binomial_logits=log_odds,
        negative_binomial_count=count,
    )
    mixture = Mixture(raw)
    found = mixture.quantile((level,))[0, 0]
    family = stats.nbinom(float(mixture.count), float(torch.sigmoid(-mixture.logits)))
    assert found == np.rint(found) >= 0
    assert family.cdf(found) >= level - 1.1e-7
    assert found == 0 or family.cdf(found - 1) <= level + 1.1e-7


@pytest.mark.parametrize("name", PARAMETERS)
def test_quantiles_of_unknown_parameters_are_unknown(name: str) -> None:
    raw = draw(3)
    known = Mixture(raw).quantile((0.1, 0.5, 0.9))
    raw[PARAMETERS.index(name), 1] = torch.nan
    quantiles_VQ = Mixture(raw).quantile((0.1, 0.5, 0.9))
    assert np.isnan(quantiles_VQ[:, 1]).all()
    np.testing.assert_array_equal(quantiles_VQ[:, [0, 2]], known[:, [0, 2]])


def test_distribution_function_equals_the_share_of_samples_below() -> None:
    mixture = Mixture(draw(12))
    samples = mixture.sample(20_000, torch.Generator().manual_seed(1)).numpy()
    for x in (-1.0, 0.0, 0.7, 2.0):
        share = (samples <= x).mean(0)
        np.testing.assert_allclose(mixture.cdf(np.full(12, x)), share, atol=0.02)


def test_the_number_of_parameters_is_checked() -> None:
    with pytest.raises(ValueError, match="12 parameters"):
        Mixture(torch.zeros(11, 2))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["student_loc", "student_scale", "normal_loc"])
@pytest.mark.parametrize("value", [torch.inf, -torch.inf])
def test_an_infinite_location_or_scale_gives_no_number(name: str, value: float) -> None:
    raw = torch.zeros(len(PARAMETERS), 2)
    raw[PARAMETERS.index(name), 1] = value
    quantiles_VQ = Mixture(raw).quantile((0.1, 0.5, 0.9))
    # A scale of minus infinity before its softplus is the smallest one.
    known = name == "student_scale" and value < 0
    assert np.isnan(quantiles_VQ[:, 1]).all() != known
    assert np.isfinite(quantiles_VQ[:, 0]).all()
