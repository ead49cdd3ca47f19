"""MOIRAI and its hybrids: sizes, and what must not depend on what."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from specseq.models.moirai.batch import Sample, pack
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai, packed_loss, parameter_groups
from specseq.series.batch import PackedBatch

Build = Callable[..., Moirai]
PATTERNS = ("attention", "alternating", "first_half", "last_half", "stu_only", "parallel")


def parameters(**stu: object) -> int:
    with torch.device("meta"):
        model = Moirai(MoiraiConfig(stu=StuConfig(**stu)))
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("stu", "count"),
    [
        ({}, 13_827_528),
        ({"pattern": "alternating", "mode": "shared"}, 12_527_652),
        ({"pattern": "alternating", "mode": "signed"}, 12_527_652 + 3 * 24 * 384),
        ({"pattern": "first_half", "mode": "shared"}, 12_527_652),
        ({"pattern": "alternating", "mode": "shared", "d_ff": 1379}, 12_527_652 + 3 * 3 * 384 * 355),
    ],
)
def test_published_parameter_counts(stu: dict, count: int) -> None:
    assert parameters(**stu) == count


@pytest.mark.parametrize("mode", ["shared", "signed"])
@pytest.mark.parametrize("pattern", ["alternating", "stu_only"])
def test_matched_widths_make_up_for_what_the_units_save(pattern: str, mode: str) -> None:
    count = parameters(pattern=pattern, mode=mode, d_ff="matched")
    assert abs(count / 13_827_528 - 1) < 3e-4


def test_the_sandwich_has_about_as_many_parameters_as_attention() -> None:
    count = parameters(pattern="alternating", mode="shared", inner=768)
    assert abs(count / 13_827_528 - 1) < 5e-3


@pytest.mark.parametrize("stu", [{"pattern": p} for p in PATTERNS] + [{"pattern": "stu_only", "inner": 24}])
def test_parameter_arithmetic_equals_the_modules(stu: dict, build: Build) -> None:
    model = build(stu)
    counts = model.config.mixing_parameters
    for layer, block in enumerate(model.encoder.blocks):
        kind = model.config.stu.mixing(layer, model.config.layers)
        assert sum(p.numel() for p in block.mixer.parameters()) == counts[kind]


def moments(model: Moirai, batch: PackedBatch) -> torch.Tensor:
    """``[T, 12 * P]``: raw parameters by token of the stream, in the order of the batch's slots."""
    prediction = model(batch)
    tables, at = prediction.tables, 0
    out = torch.full((batch.sample_id.numel(), 12, 32), torch.nan, dtype=prediction.raw_12Q.dtype)
    for group in tables.predicted:
        points = len(group.tokens) * group.size
        part = prediction.raw_12Q[:, at : at + points].view(12, -1, group.size)
        out[tables.layout.tokens[group.tokens], :, : group.size] = part.transpose(0, 1)
        at += points
    return out.view(*batch.sample_id.shape, 12, 32)


VARIANTS = [{"pattern": p} for p in PATTERNS] + [
    {"pattern": "stu_only", "mode": "shared"},
    {"pattern": "alternating", "mode": "full", "filters": 2},
    {"pattern": "alternating", "runs": "variate"},
    {"pattern": "alternating", "inner": 24},
    {"pattern": "alternating", "mode": "shared", "published": True},
]


@pytest.mark.parametrize("stu", VARIANTS)
def test_perturbing_one_sample_leaves_the_others_bit_identical(
    stu: dict, build: Build, batch: PackedBatch
) -> None:
    model = build(stu)
    target = batch.target.clone()
    target[batch.sample_id == 1] *= -1.5
    before, after = moments(model, batch), moments(model, replace(batch, target=target))
    others = batch.prediction_mask & (batch.sample_id != 1)
    assert torch.equal(before[others].nan_to_num(), after[others].nan_to_num())
    own = batch.prediction_mask & (batch.sample_id == 1)
    assert not torch.equal(before[own].nan_to_num(), after[own].nan_to_num())


@pytest.mark.parametrize("stu", VARIANTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alone_equals_packed_equals_padded(
    stu: dict, dtype: torch.dtype, build: Build, batch: PackedBatch, samples: tuple[Sample, ...]
) -> None:
    model = build(stu).to(dtype)
    packed = moments(model, batch)
    places = [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    for sample, (row, number) in zip(samples, places, strict=True):
        tokens = sample.tokens * len(sample.values)
        for length in (tokens, tokens + 7):
            alone = moments(model, pack([[sample]], length, slot=32))[0, :tokens]
            expected = packed[row][batch.sample_id[row] == number]
            tolerance = 1e-5 if dtype == torch.float32 else 1e-12
            torch.testing.assert_close(alone, expected, rtol=tolerance, atol=tolerance, equal_nan=True)


def test_values_to_be_predicted_are_not_seen(build: Build, batch: PackedBatch) -> None:
    model = build({"pattern": "parallel"})
    target = torch.where(batch.prediction_mask[..., None], batch.target + 1e3, batch.target)
    assert torch.equal(model(batch).raw_12Q, model(replace(batch, target=target)).raw_12Q)


def test_missing_points_of_the_context_do_not_move_location_and_scale(build: Build) -> None:
    values = np.arange(32, dtype=np.float32)[None]
    holes = values.copy()
    holes[0, 5], holes[0, 20:24] = np.nan, np.nan
    prediction = build()(pack([[Sample(holes, 8, 1)]], 4, 32))
    seen = holes[0, :24][~np.isnan(holes[0, :24])].astype(np.float64)
    assert prediction.location_Q[0].item() == pytest.approx(seen.mean())
    assert prediction.scale_Q[0].item() == pytest.approx(np.sqrt(seen.var(ddof=1) + 1e-5))


@pytest.mark.parametrize("seen", [0, 1])
def test_contexts_of_no_or_one_point_are_scaled_by_the_floor(seen: int, build: Build) -> None:
    values = np.full((1, 16), np.nan, np.float32)
    values[0, :seen] = 7.0
    prediction = build()(pack([[Sample(values, 8, 1)]], 2, 32))
    assert prediction.raw_12Q.isfinite().all()
    assert prediction.location_Q[0].item() == pytest.approx(7.0 * seen)
    assert prediction.scale_Q[0].item() == pytest.approx(np.sqrt(1e-5))


def test_loss_is_the_mean_over_variates_of_their_mean_nll(build: Build, batch: PackedBatch) -> None:
    with torch.no_grad():
        prediction = build()(batch)
    loss, metrics = packed_loss(prediction, batch)
    tables = prediction.tables
    values = tables.points(batch.target).double()
    observed = tables.points(batch.observed)
    standard = (values - prediction.location_Q) / prediction.scale_Q
    nll = prediction.scale_Q.log() - prediction.mixture.log_prob(standard)
    runs = tables.per_point(tables.run_T)
    means = [nll[observed & (runs == g)].mean() if (observed & (runs == g)).any() else 0.0 for g in range(11)]
    assert metrics["groups"] == 11
    assert loss.item() == pytest.approx(sum(float(m) for m in means) / 11)
    shift = sum(
        float(prediction.scale_Q.log()[observed & (runs == g)].mean())
        for g in range(11)
        if (observed & (runs == g)).any()
    )
    assert metrics["standardised_nll"] == pytest.approx(loss.item() - shift / 11)


def test_samples_kept_from_the_loss_do_not_move_it(build: Build, batch: PackedBatch) -> None:
    model = build()
    mask = batch.loss_mask & (batch.sample_id != 2)
    kept = replace(batch, loss_mask=mask)
    wild = replace(kept, target=torch.where((batch.sample_id == 2)[..., None], 1e6, batch.target))
    loss, metrics = packed_loss(model(kept), kept)
    assert torch.equal(loss, packed_loss(model(wild), wild)[0])
    assert metrics["groups"] == 11 - 3 - 4


@pytest.mark.parametrize("stu", [{}, {"pattern": "parallel", "inner": 20}])
def test_gradients_equal_finite_differences(stu: dict, build: Build, batch: PackedBatch) -> None:
    model = build(stu)
    packed_loss(model(batch), batch)[0].backward()
    rng = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        direction = torch.randn(parameter.shape, generator=rng, dtype=torch.float64)
        assert parameter.grad is not None, name
        along, step = (parameter.grad * direction).sum(), 1e-6
        with torch.no_grad():
            parameter += step * direction
            high = packed_loss(model(batch), batch)[0]
            parameter -= 2 * step * direction
            low = packed_loss(model(batch), batch)[0]
            parameter += step * direction
        numeric = (high - low) / (2 * step)
        torch.testing.assert_close(along, numeric, rtol=2e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_the_published_heads_hide_the_input_from_all_logits_but_one(build: Build, batch: PackedBatch) -> None:
    published, correct = build(parity=True), build()
    for model, dependent in ((published, [True, False, False, False]), (correct, [True] * 4)):
        for number, size in enumerate(model.config.patch_sizes[:2]):
            assert size * 4 <= 64
            rows = model.heads._used()[number, :4, :size].any(1)
            expected = dependent if size == 8 or model is correct else [True, True, False, False]
            assert rows.tolist() == expected


def test_weight_decay_spares_norms_biases_embeddings_and_gates(build: Build) -> None:
    model = build({"pattern": "parallel"})
    decayed, spared = parameter_groups(model, 0.1)
    names = {id(p): n for n, p in model.named_parameters()}
    assert {names[id(p)].rsplit(".", 1)[-1] for p in decayed["params"]} == {
        "weight",
        "inputs_DI",
        "plus_KI",
        "minus_KI",
    }
    assert all(p.dim() > 1 for p in decayed["params"])
    kept = {names[id(p)] for p in spared["params"]}
    assert {"mask_embedding", "input.bias", "heads.bias", "encoder.norm.weight"} <= kept
    assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


def test_patch_sizes_the_model_does_not_know_are_refused(build: Build, samples: tuple[Sample, ...]) -> None:
    with pytest.raises(ValueError, match=r"patch sizes \[16\]"):
        build(patch_sizes=(8, 32))(pack([samples[:2]], 40, 32))


@pytest.mark.parametrize("stu", [{}, {"pattern": "parallel"}])
def test_bfloat16_stays_close_and_has_finite_gradients(stu: dict, build: Build, batch: PackedBatch) -> None:
    model = build(stu).float()
    exact = model(batch).raw_12Q
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(batch)
        loss, _ = packed_loss(rounded, batch)
    loss.backward()
    assert rounded.raw_12Q.dtype == torch.float32
    torch.testing.assert_close(rounded.raw_12Q, exact, rtol=0.1, atol=0.1)
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
