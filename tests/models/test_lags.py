"""Profiles by lag against attention that is known otherwise, and against impulse responses."""

import numpy as np
import pytest
import torch

from specseq.models.lags import LAGS, Profile, lag_profiles, weights
from specseq.models.layers import Attention
from specseq.models.measurement import inputs_of
from specseq.models.moirai.batch import pack
from specseq.models.stu.layer import SpectralTransformUnit
from tests.models.test_measurement import batch, model_of, walk

__all__ = ["batch"]


def by_mixer(profiles: list[Profile], mixer: str) -> list[Profile]:
    return [profile for profile in profiles if profile.mixer == mixer]


def test_weights_are_those_that_attention_takes(batch: object) -> None:
    """Attention of the values by these weights is what the layer puts out."""
    model = model_of(pattern="attention")
    (attention,) = [m for m in model.encoder.blocks[1].modules() if isinstance(m, Attention)]
    torch.nn.init.normal_(attention.variate_bias.weight, std=2.0)
    ((module, x_TD, context),) = inputs_of([attention], model, batch)  # type: ignore[arg-type]
    q, k, v = (context.layout.split(part) for part in module.project(x_TD, context.rotation))
    mixed = []
    for q_NWHE, k_NWHE, v_NWHE, mask in zip(q, k, v, context.masks, strict=True):
        weight = weights(module, q_NWHE, k_NWHE, mask)
        mixed.append((weight @ v_NWHE.transpose(1, 2)).transpose(1, 2))
    with torch.no_grad():
        out = module.out(context.layout.join(mixed).flatten(1))
        assert torch.allclose(out, module(x_TD, context), atol=1e-5)


def test_even_attention_over_one_sample_is_counted_by_hand() -> None:
    """Of n tokens, lag τ has n - τ pairs of n²."""
    model, n = model_of(pattern="attention"), 12
    profiles = list(lag_profiles(model, pack([[walk(1, n, 8, 1)]], length=48, slot=16)))
    even = by_mixer(profiles, "even")
    assert [profile.layer for profile in even] == [0, 1]
    expected = np.maximum(0, n - np.arange(LAGS)) / n**2
    assert even[0].share_L == pytest.approx(expected)
    assert even[0].ahead == pytest.approx((n - 1) / (2 * n))


def test_attention_without_queries_is_even(batch: object) -> None:
    model = model_of(pattern="attention")
    for block in model.encoder.blocks:
        attention = next(m for m in block.modules() if isinstance(m, Attention))
        torch.nn.init.zeros_(attention.query_norm.weight)
        torch.nn.init.zeros_(attention.variate_bias.weight)
    profiles = list(lag_profiles(model, batch))  # type: ignore[arg-type]
    for own, even in zip(by_mixer(profiles, "attention"), by_mixer(profiles, "even"), strict=True):
        assert own.share_L == pytest.approx(even.share_L, abs=1e-6)
        assert own.share_L.sum() + own.ahead == pytest.approx(1, abs=1e-6)


def test_units_show_their_impulse_responses(batch: object) -> None:
    model = model_of(pattern="alternating", mode="shared")
    (unit,) = by_mixer(list(lag_profiles(model, batch)), "unit")  # type: ignore[arg-type]
    assert unit.layer == 0
    assert unit.share_L[1::2].max() == 0, "one filter for both branches leaves the even lags"
    assert unit.share_L.sum() == pytest.approx(1)
    module = next(m for m in model.modules() if isinstance(m, SpectralTransformUnit))
    size = module.impulse_response().detach().abs().double().mean(1).numpy()
    assert unit.share_L == pytest.approx(size / size.sum())
    assert not by_mixer(list(lag_profiles(model_of(pattern="alternating", mode="full"), batch)), "unit")  # type: ignore[arg-type]
    both = list(lag_profiles(model_of(pattern="parallel"), batch))  # type: ignore[arg-type]
    assert [profile.layer for profile in by_mixer(both, "unit")] == [0, 1]
    assert [profile.layer for profile in by_mixer(both, "attention")] == [0, 1]
