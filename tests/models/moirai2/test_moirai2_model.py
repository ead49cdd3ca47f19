"""Moirai2: its size, what it may see, its targets and its loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specseq.models.layout import location_scale, power_of_two
from specseq.models.moirai2.batch import ModelBatch
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.model import Moirai2, PreconditionedMoirai2, pinball
from tests.models.moirai2.small import LEVELS, built, drawn, pack, prepared


def test_published_size() -> None:
    with torch.device("meta"):
        model = Moirai2(Moirai2Config())
    assert sum(p.numel() for p in model.parameters()) == 11_387_208


# What it may see


def hidden_states(model: PreconditionedMoirai2, batch: ModelBatch) -> Tensor:
    shown = batch.observed_TP & batch.shown_T[:, None]
    inputs = torch.where(shown, batch.values_TP, 0.0)
    tokens = model.backbone.tokens(inputs, shown)
    states: Tensor = model.backbone(tokens, model.backbone.context(batch.layout, batch.time_T))
    return states


@pytest.mark.parametrize("changed", [3, 11, 19])
def test_causality_is_exact(changed: int) -> None:
    model, batch = built(), prepared([[20]], hidden=0.0)
    before = hidden_states(model, batch)
    batch.values_TP[changed] += 3.0
    after = hidden_states(model, batch)
    assert torch.equal(before[:changed], after[:changed])
    assert not torch.equal(before[changed], after[changed])


def test_samples_of_a_row_do_not_see_each_other() -> None:
    model, batch = built(), prepared([[9, 7, 3]])
    before = hidden_states(model, batch)
    other = batch.layout.segment_T == batch.layout.segment_T[0]
    batch.values_TP[other] += 3.0
    after = hidden_states(model, batch)
    assert torch.equal(before[~other], after[~other])
    assert not torch.equal(before[other], after[other])


def test_alone_packed_and_padded_are_the_same() -> None:
    model = built()
    packed = pack([[9, 7, 3], [14, 2]], 24)
    whole = drawn(packed, hidden=0.0).prepare()
    states = whole.layout.unflatten(hidden_states(model, whole))
    for row, start, size in zip(*(column.tolist() for column in vars(packed.samples).values()), strict=True):
        for length in (size, size + 5):
            alone = pack([[size]], length)
            alone.target[0, :size] = packed.target[row, start : start + size]
            alone.observed[0, :size] = packed.observed[row, start : start + size]
            one = drawn(alone, hidden=0.0).prepare(power_of_two)
            found = one.layout.unflatten(hidden_states(model, one))[0, :size]
            torch.testing.assert_close(found, states[row, start : start + size], atol=1e-5, rtol=1e-5)


def test_hidden_patches_have_no_effect() -> None:
    model, batch = built(), prepared()
    before = hidden_states(model, batch)
    batch.values_TP[~batch.shown_T] += 100.0
    assert (~batch.shown_T).any()
    assert torch.equal(hidden_states(model, batch), before)


# Scaling and targets


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_location_scale(sizes: list[int], seed: int) -> None:
    draw = np.random.default_rng(seed)
    segment = np.repeat(np.arange(len(sizes)), sizes)
    values = 1e6 + draw.standard_normal((len(segment), 3)).astype(np.float32)
    known = draw.random(values.shape) < 0.6
    loc, scale = location_scale(*map(torch.from_numpy, (values, known, segment)), len(sizes))
    for number in range(len(sizes)):
        points = values[segment == number][known[segment == number]].astype(np.float64)
        assert loc[number] == pytest.approx(points.mean() if len(points) else 0, rel=1e-12)
        variance = points.var(ddof=1) if len(points) > 1 else 0.0
        assert scale[number] == pytest.approx(np.sqrt(variance + 1e-5), rel=1e-9)


def test_only_later_observed_points_of_the_same_sample_are_targets() -> None:
    batch = prepared([[9, 7, 3], [14, 2], [20]])
    segment, time = batch.layout.segment_T, batch.time_T
    sizes = torch.bincount(segment)
    pairs = {
        (int(query), int(target))
        for query, targets, wanted in zip(batch.query_K, batch.target_KF, batch.wanted_KF, strict=True)
        for target in targets[wanted]
    }
    expected = {
        (q, q + ahead)
        for q in range(len(time))
        for ahead in range(1, 5)
        if q + ahead < len(time)
        and segment[q + ahead] == segment[q]
        and time[q + ahead] >= max(1, int(0.3 * sizes[segment[q]] + 1e-9))
    }
    assert pairs == expected
    assert torch.equal(batch.wanted_KFP, batch.observed_TP[batch.target_KF] & batch.wanted_KF[..., None])


def test_what_the_anomaly_rule_keeps_from_the_loss_is_no_target() -> None:
    packed = pack([[9, 7]], 24)
    packed.loss_mask[packed.sample_id == 2] = False
    batch = drawn(packed).prepare()
    tokens_of_second = torch.nonzero(batch.layout.flatten(packed.sample_id) == 2).flatten()
    assert not torch.isin(batch.query_K, tokens_of_second).any()


def test_pinball_against_its_definition() -> None:
    draw = torch.Generator().manual_seed(0)
    predicted = torch.randn(3, 2, 9, 4, generator=draw)
    target = torch.randn(3, 2, 4, generator=draw)
    wanted = torch.rand(3, 2, 4, generator=draw) < 0.7
    losses = [
        max(level * error, (level - 1) * error)
        for k in range(3) for f in range(2) for q, level in enumerate(LEVELS) for p in range(4)
        if wanted[k, f, p]
        for error in [float(target[k, f, p] - predicted[k, f, q, p])]
    ]  # fmt: skip
    assert float(pinball(predicted, target, wanted, LEVELS)) == pytest.approx(np.mean(losses), rel=1e-5)
    assert float(pinball(predicted, target, wanted & False, LEVELS)) == 0


def test_gradient_of_pinball_is_that_of_its_composition() -> None:
    draw = torch.Generator().manual_seed(1)
    predicted = torch.randn(3, 2, 9, 4, generator=draw, requires_grad=True)
    target = torch.randn(3, 2, 4, generator=draw, requires_grad=True)
    wanted = torch.rand(3, 2, 4, generator=draw) < 0.7
    error = target[:, :, None] - predicted
    levels = torch.tensor(LEVELS)[:, None]
    composed = torch.maximum(levels * error, (levels - 1) * error)[wanted[:, :, None].expand_as(error)].mean()
    ours = torch.autograd.grad(pinball(predicted, target, wanted, LEVELS), [predicted, target])
    for mine, theirs in zip(ours, torch.autograd.grad(composed, [predicted, target]), strict=True):
        torch.testing.assert_close(mine, theirs)
    unknown = torch.where(wanted, target, torch.nan).detach()
    loss = pinball(predicted, unknown, wanted, LEVELS)
    assert torch.equal(torch.autograd.grad(loss, predicted)[0], ours[0])


def test_shards_draw_the_masks_of_the_whole() -> None:
    whole = drawn(pack([[9, 7, 3], [14, 2], [20], [5]], 24))
    parts = [whole.shard(number, 2) for number in (0, 1)]
    assert torch.equal(torch.cat([part.shown_BL for part in parts]), whole.shown_BL)
    model = built()
    loss, metrics = model(whole.prepare())
    found = [model(part.prepare()) for part in parts]
    weights = [metrics_of["weight"] for _, metrics_of in found]
    assert sum(weights) == metrics["weight"]
    combined = sum(float(part.detach()) * weight for (part, _), weight in zip(found, weights, strict=True))
    assert combined / sum(weights) == pytest.approx(float(loss.detach()), rel=1e-5)
