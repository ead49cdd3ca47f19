"""Spacing models: published sizes, exact causality, the published mask's leak, cache against no cache."""

import cmath
import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specseq.errors import InputError
from specseq.settings import read
from specseq.spacings.attention import attention_mask
from specseq.spacings.config import LOWEST_FREQUENCY, AttentionMask, SpacingModelConfig
from specseq.spacings.mixture import Mixture
from specseq.spacings.model import SpacingModel, cap_norms, memory_similarity
from specseq.spacings.rollout import accumulated_error, rollout, rollout_without_cache
from specseq.spacings.scores import causality_violation, fit_kernel, kernel, memory_primes_p_value, truncated
from specseq.spacings.spectrum import Spectrum, prime_powers
from specseq.zeros.catalogue import compute
from specseq.zeros.config import ZeroRange
from specseq.zeros.selection import spacings

SMALL: dict[str, Any] = {"length": 24, "width": 16, "blocks": 2, "heads": 2, "components": 3}
MEMORY = {"slots": 8, "attention_mask": "published"}
PUBLISHED: dict[str, dict[str, Any]] = {
    "spacing_mdn": {},
    "memory_mdn": MEMORY,
    "flash": {**MEMORY, "residuals": True, "positions": "rotary", "scale_max": 10.0, "length": 512},
}
KINDS: dict[str, dict[str, Any]] = {
    "spacing": {},
    "memory": {"slots": 3},
    "flash": {"slots": 3, "residuals": True, "positions": "rotary", "scale_max": 10.0},
    "arithmetic": {"windows": [6, 24], "lines": 20, "highest": [0.8, 0.3], "taps": 5, "residuals": True},
    "mlp": {"windows": [24], "lines": 5, "highest": [0.4], "blocks": 0, "hidden": [12, 12]},
}


def lively(**factors: Any) -> SpacingModel:
    """A small model with weights large enough that every path shows in its outputs."""
    torch.manual_seed(0)
    model = SpacingModel(read(SpacingModelConfig, {**SMALL, **factors}, "model")).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def windows(count: int = 4, length: int = 24) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.rand(count, length, generator=draw) + 0.5, 7.5e7 + 1e6 * torch.rand(count, generator=draw)


@pytest.mark.parametrize(
    ("name", "parameters"), [("spacing_mdn", 4_797_464), ("memory_mdn", 4_801_560), ("flash", 4_733_976)]
)
def test_published_sizes(name: str, parameters: int) -> None:
    with torch.device("meta"):
        model = SpacingModel(SpacingModelConfig(**{**PUBLISHED[name], "spread_means": False}))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("kind", KINDS)
def test_causality_is_exact(kind: str) -> None:
    model = lively(**KINDS[kind])
    s, height = windows()
    assert causality_violation(model, s, height) == 0.0
    before, after = model(s, height), model(s.flip(1), height)
    assert not torch.equal(before.mean, after.mean)


def test_published_mask_leaks_from_the_second_layer_on() -> None:
    s, height = windows()
    assert causality_violation(lively(slots=3, attention_mask="published"), s, height) > 1e-3
    assert causality_violation(lively(slots=3, attention_mask="published", blocks=1), s, height) == 0.0


def test_truncated_score_sees_no_answer() -> None:
    s, height = windows()
    changed = s.clone()
    changed[:, 13:] += 1
    for mask in ("causal", "published"):
        model = lively(slots=3, attention_mask=mask)
        outputs = [model(rows[:, :12], height)[:, -1].mean for rows in (s, changed)]
        assert torch.equal(*outputs)
        assert truncated(model, s, height, 12)[0].shape == (4,)


def test_masks() -> None:
    causal, published = (attention_mask(2, 3, kind).int().tolist() for kind in get_args(AttentionMask))
    sequence = [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
    assert causal == [[1, 1, 0, 0, 0]] * 2 + sequence
    assert published == [[1] * 5] * 2 + sequence


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampled", [False, True])
def test_cached_rollout_equals_the_loop_without_cache(kind: str, sampled: bool) -> None:
    """Also past the window's end, where both begin again."""
    model = lively(**KINDS[kind]).double()
    s, height = windows(3, 9)
    made = [
        roll(model, s.double(), height, 40, torch.Generator().manual_seed(3) if sampled else None)
        for roll in (rollout, rollout_without_cache)
    ]
    assert made[0].shape == (3, 40)
    # The spectral phases are single precision and grow apart by rounding.
    assert (made[0] - made[1]).abs().max() < (2e-3 if "windows" in KINDS[kind] else 1e-10)


@pytest.mark.parametrize("context", [1, 23, 24])
def test_rollout_from_the_shortest_and_longest_contexts(context: int) -> None:
    model = lively().double()
    s, height = windows(2, 24)
    made = [roll(model, s[:, :context].double(), height, 30) for roll in (rollout, rollout_without_cache)]
    assert (made[0] - made[1]).abs().max() < 1e-10


def test_published_memory_has_no_cache() -> None:
    model = lively(slots=3, attention_mask="published")
    s, height = windows(2, 9)
    with pytest.raises(ValueError, match="no cache"):
        model.start(s, height)
    assert rollout(model, s, height, 3).shape == (2, 3)


def test_accumulated_error_is_of_positions() -> None:
    error = accumulated_error(torch.tensor([[1.0, 2.0, 1.0]]), torch.tensor([[2.0, 1.0, 4.0]]))
    assert error.tolist() == [[1.0, 0.0, 3.0]]


def test_spectrum_is_the_sum_it_claims_to_be() -> None:
    spectrum = Spectrum([5, 9], lines=8, highest=[0.6, 0.35], length=8)
    x = torch.tensor([[0.0, 0.7, 1.9, 2.4, 4.1, 5.0, 5.8, 7.3, 8.1]])
    features = spectrum(x, torch.tensor([1e6]))
    assert prime_powers(8) == [2, 3, 4, 5, 7, 8]
    lines = [math.log(q) / math.log(1e6 / (2 * math.pi)) for q in (2, 3, 4, 5, 7, 8)]
    seen = [(5, k / 5) for k in (1, 2, 3)] + [(9, tau) for tau in [*lines, 1 / 9, 2 / 9, 3 / 9]]
    assert features.shape == (1, 8, spectrum.size) == (1, 8, 2 * len(seen))
    for n in (1, 4, 8):
        sums = []
        for w, tau in seen:
            turned = [cmath.exp(2j * math.pi * tau * float(x[0, n] - x[0, j])) for j in range(n + 1)]
            taper = [math.cos(0.5 * math.pi * (n - j) / w) * (n - j < w) for j in range(n + 1)]
            total = sum(t * z for t, z in zip(taper, turned, strict=True))
            sums.append(total / math.sqrt(w / 2 * tau))
        expected = torch.tensor([z.real for z in sums] + [z.imag for z in sums])
        assert torch.allclose(features[0, n - 1], expected, atol=1e-5)


def test_spectral_features_of_zeros_are_of_order_one() -> None:
    """The ramp is taken off, the line of 2 stands out of it, and the grids start below that line."""
    zeros = compute(ZeroRange(height=7.5e7, count=4001))
    s = torch.from_numpy(spacings(zeros)).float().reshape(20, 200)
    spectrum = Spectrum([64, 128], lines=4, highest=[1.0, 0.5], length=200)
    x = torch.nn.functional.pad(s.cumsum(1), (1, 0))
    features = spectrum(x, torch.full((20,), 7.5e7))[:, 130:].flatten(0, 1)
    spread = features.var(0).reshape(2, -1).sum(0)  # real and imaginary part
    assert float(spread.median()) == pytest.approx(1, abs=0.15)
    assert 0.05 < float(spread.min()) < float(spread.max()) < 5
    assert spread[spectrum.counts[0]] > 1.5
    grid = torch.cat([spectrum.get_buffer("grid_0"), spectrum.get_buffer("grid_1")])
    assert LOWEST_FREQUENCY <= float(grid.min()) < math.log(2) / math.log(1e10 / (2 * math.pi))


def test_lines_move_with_the_height() -> None:
    model = lively(**KINDS["arithmetic"])
    s, height = windows()
    assert not torch.equal(model(s, height).mean, model(s, height * 100).mean)
    with pytest.raises(ValueError, match="heights"):
        model(s)


def mixture(*shape: int) -> Mixture:
    draw = torch.Generator().manual_seed(7)
    logits, mean, raw = (torch.randn(*shape, 4, generator=draw, dtype=torch.double) for _ in range(3))
    return Mixture(logits.log_softmax(-1), mean, 0.05 + raw.exp())


def test_mixture_against_quadrature() -> None:
    m = mixture(3)
    y = torch.tensor([-1.0, 0.3, 2.0], dtype=torch.double)
    grid = torch.linspace(-60, 60, 240_001, dtype=torch.double)
    step = float(grid[1] - grid[0])
    every = Mixture(*(part[None] for part in tuple(m)))
    density = every.log_prob(grid[:, None]).exp()
    cdf = every.cdf(grid[:, None])
    assert torch.allclose(density.sum(0) * step, torch.ones(3, dtype=torch.double))
    assert torch.allclose((grid[:, None] * density).sum(0) * step, m.expectation())
    crps = ((cdf - (grid[:, None] >= y).double()) ** 2).sum(0) * step
    assert torch.allclose(m.crps(y), crps, atol=1e-3)
    entropy = -(density * density.clamp(min=1e-300).log()).sum(0) * step
    assert torch.allclose(m.predictive_entropy(), entropy, atol=2e-3)
    assert torch.allclose(m.cdf(y), (density * (grid[:, None] <= y)).sum(0) * step, atol=1e-3)


def test_mixture_samples_follow_it() -> None:
    m = Mixture(*(part.expand(100_000, 4) for part in tuple(mixture())))
    draws = m.sample(torch.Generator().manual_seed(2))
    pit = m.cdf(draws)
    assert float(pit.mean()) == pytest.approx(0.5, abs=0.005)
    assert float(pit.std()) == pytest.approx(12**-0.5, abs=0.003)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_scores_are_finite_for_any_finite_spacings(values: list[float]) -> None:
    model = lively(slots=2)
    m = model(torch.tensor([values]))[:, -1].double()
    y = torch.tensor([values[-1]], dtype=torch.double)
    assert torch.isfinite(m.log_prob(y)).all()
    assert (m.crps(y) >= 0).all()
    assert -1e-6 <= float(m.cdf(y).detach()) <= 1 + 1e-6  # the weights are single precision
    assert (m.scale >= 1e-4).all()
    assert (m.scale <= 5).all()


def test_memory_norms_and_diversity() -> None:
    memory = torch.tensor([[3.0, 4.0], [0.0, 1.0]])
    cap_norms(memory, 2.0)
    assert torch.allclose(memory, torch.tensor([[1.2, 1.6], [0.0, 1.0]]))
    assert float(memory_similarity(torch.eye(3))) == pytest.approx(0, abs=1e-12)
    assert float(memory_similarity(memory)) == pytest.approx(2 * 0.8**2 / 4)


def test_memory_in_the_order_of_primes_is_noticed() -> None:
    import numpy as np

    primes = torch.log(torch.tensor([2.0, 3, 5, 7, 11, 13, 17, 19]))
    noise = torch.randn(8, 16, generator=torch.Generator().manual_seed(4))
    planted = noise + 20 * primes[:, None] * torch.ones(16)
    assert memory_primes_p_value(planted, np.random.default_rng(0)) < 0.01
    assert memory_primes_p_value(noise, np.random.default_rng(0)) > 0.01
    for nothing in (torch.ones_like(noise), torch.full_like(noise, torch.nan)):
        assert np.isnan(memory_primes_p_value(nothing, np.random.default_rng(0)))


def test_kernel_is_the_response_to_each_past_spacing() -> None:
    model = lively().double()
    s, height = windows(5, 10)
    s = s.double()
    mu = kernel(model, s, height)
    nudged = s.clone()
    nudged[:, -3] += 1e-5
    response = (model(nudged)[:, -1].expectation() - model(s)[:, -1].expectation()).mean() / 1e-5
    assert mu[2] == pytest.approx(float(response.detach()), rel=1e-3)


def test_planted_kernel_is_fitted() -> None:
    import numpy as np

    d = np.arange(1, 100)
    decay, r2 = fit_kernel(-0.3 * d * np.exp(-1.7 * np.sqrt(d)))
    assert decay == pytest.approx(1.7, rel=0.02)
    assert r2 > 0.999
    assert fit_kernel(np.random.default_rng(0).standard_normal(100))[1] < 0.5
    for nothing in (np.zeros(8), np.array([0.3])):
        assert np.isnan(fit_kernel(nothing)).all()


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"widht": 3}, "did you mean width"),
        ({"width": 30, "heads": 4}, "model.heads"),
        ({"width": 30, "heads": 10}, "model.heads"),
        ({"scale_min": 5, "scale_max": 1}, "model.scale_min"),
        ({"attention_mask": "published"}, "model.attention_mask"),
        ({"lines": 5}, "model.lines"),
        ({"attention_mask": "none"}, "model.attention_mask"),
        ({"scale_max": 0.0}, "model.scale_max"),
        ({"positions": "absolute"}, "model.positions"),
        ({"windows": [8]}, "model.highest"),
        ({"windows": [8], "highest": [0.1]}, "model.windows"),
    ],
)
def test_bad_configs_name_their_key(params: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(SpacingModelConfig, params, "model")


@pytest.mark.parametrize("kind", KINDS)
def test_spacings_and_densities_are_not_rounded_under_autocast(kind: str) -> None:
    torch.manual_seed(0)
    model = SpacingModel(read(SpacingModelConfig, {**SMALL, **KINDS[kind]}, "model")).eval()
    s = torch.rand(2, 12) + 0.5
    # bfloat16 has 8 bits: these spacings are one and the same there.
    near = s * (1 + 1e-3)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = [model._tokens(part, None, None) for part in (s, near)]
        mixture = model(s, torch.full((2,), 1e6))
    assert tokens[0].dtype == mixture.mean.dtype == torch.float32
    assert not torch.equal(*tokens)
    assert not torch.equal(mixture.mean, mixture.mean.bfloat16().float())
    if not model.blocks:
        exact = model(s, torch.full((2,), 1e6))
        torch.testing.assert_close(mixture.mean, exact.mean, rtol=0, atol=0)
