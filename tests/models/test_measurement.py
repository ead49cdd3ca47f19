"""Leaks are found where they are and nowhere else; costs are those of the models given."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from specseq.models.measurement import (
    alone_error,
    causality_errors,
    cut,
    gains,
    inputs_of,
    mean_losses,
    mixers,
    packing_error,
    spectral_units,
    time_interleaved,
)
from specseq.models.moirai.batch import Sample, pack
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai, packed_loss
from specseq.series.batch import PackedBatch

PATTERNS = ("attention", "alternating", "stu_only", "parallel")


def model_of(**stu: object) -> Moirai:
    torch.manual_seed(0)
    config = MoiraiConfig(d_model=16, layers=2, heads=2, d_ff=24, patch_sizes=(8, 16), max_length=48)
    return Moirai(replace(config, stu=StuConfig(**{"filters": 5, **stu})))


def walk(variates: int, tokens: int, patch: int, seed: int) -> Sample:
    steps = np.random.default_rng(seed).normal(size=(variates, tokens * patch))
    return Sample((10 * seed + steps.cumsum(1)).astype(np.float32), patch, 2)


@pytest.fixture
def batch() -> PackedBatch:
    rows = [[walk(1, 24, 8, 1), walk(2, 5, 16, 2), walk(1, 7, 8, 3)], [walk(3, 6, 8, 4), walk(1, 20, 16, 5)]]
    return pack(rows, length=48, slot=16)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_nothing_leaks_between_samples(batch: PackedBatch, pattern: str) -> None:
    model = model_of(pattern=pattern)
    assert packing_error(model, batch) == 0
    assert alone_error(model, batch) < 1e-5


class Leaky(nn.Module):
    """Adds to every token the mean of all tokens of the batch."""

    def __init__(self, mixer: nn.Module) -> None:
        super().__init__()
        self.mixer = mixer

    def forward(self, x_TD: Tensor, context: object) -> Tensor:
        return self.mixer(x_TD, context) + x_TD.mean(0)


def test_a_planted_leak_between_samples_is_found(batch: PackedBatch) -> None:
    model = model_of(pattern="alternating")
    block = model.encoder.blocks[1]
    block.mixer = Leaky(block.get_submodule("mixer"))
    assert packing_error(model, batch) > 1e-3
    assert alone_error(model, batch) > 1e-3


def test_a_batch_of_lone_samples_says_nothing_of_packing() -> None:
    assert np.isnan(packing_error(model_of(), pack([[walk(1, 6, 8, 1)]], length=8, slot=16)))


@pytest.mark.parametrize("mode", ["shared", "signed"])
def test_only_the_circular_transform_wraps(batch: PackedBatch, mode: str) -> None:
    errors = causality_errors(model_of(pattern="alternating", mode=mode), batch)
    assert errors["causality_error"] < 1e-5
    assert errors["causality_error_circular"] > 0.01
    published = causality_errors(model_of(pattern="alternating", mode=mode, published=True), batch)
    assert published["causality_error"] == pytest.approx(errors["causality_error_circular"])


def test_full_units_have_no_circular_form_and_attention_no_unit(batch: PackedBatch) -> None:
    full = causality_errors(model_of(pattern="stu_only", mode="full", filters=2), batch)
    assert list(full) == ["causality_error"]
    assert full["causality_error"] < 1e-5
    assert causality_errors(model_of(), batch) == {}


def test_a_cut_sample_is_that_sample(batch: PackedBatch) -> None:
    alone = cut(batch, 1, 18, 20)
    same = pack([[walk(1, 20, 16, 5)]], length=20, slot=16)
    for name in ("target", "observed", "sample_id", "time_id", "patch_size", "prediction_mask"):
        assert torch.equal(getattr(alone, name), getattr(same, name)), name
    assert torch.equal(alone.variates.lengths, same.variates.lengths)


def test_losses_are_means_over_all_groups(batch: PackedBatch) -> None:
    model = model_of(pattern="alternating")
    parts = [batch.shard(0, 2), batch.shard(1, 2)]
    whole = packed_loss(model(batch), batch)
    found = mean_losses(model, parts)
    assert found["loss"] == pytest.approx(float(whole[0].detach()), rel=1e-5)
    assert found["standardised_nll"] == pytest.approx(whole[1]["standardised_nll"], rel=1e-5)


def test_timing_moves_no_weight(batch: PackedBatch) -> None:
    models = {"attention": model_of(), "hybrid": model_of(pattern="alternating")}
    before = {name: [p.clone() for p in model.parameters()] for name, model in models.items()}
    timings = time_interleaved(models, batch, repeats=3)
    for name, model in models.items():
        assert all(seconds > 0 for seconds in timings[name])
        assert all(torch.equal(a, b) for a, b in zip(before[name], model.parameters(), strict=True))


def test_what_mixers_and_units_are_given(batch: PackedBatch) -> None:
    model = model_of(pattern="alternating")
    caught = inputs_of(mixers(model), model, batch)
    assert [module for module, *_ in caught] == mixers(model)
    unit, x_TD, tables = inputs_of(spectral_units(model), model, batch)[0]
    assert torch.equal(unit(x_TD, tables), mixers(model)[0](x_TD, caught[0][2]))


def test_a_shared_filter_mirrors_its_gain_and_signed_ones_do_not() -> None:
    shared, signed = (
        gains(spectral_units(model_of(pattern="stu_only", mode=mode))[0]) for mode in ("shared", "signed")
    )
    assert shared.shape == (65, 16)
    np.testing.assert_allclose(shared, shared[::-1], atol=1e-6)
    assert np.abs(signed - signed[::-1]).max() > 0.1
