"""What is measured along rollouts, against values that are known otherwise."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from specseq.errors import InputError
from specseq.spacings.config import SpacingEvaluation
from specseq.spacings.drift import attention_on_memory, drift, drift_law
from specseq.spacings.evaluation import evaluate_model
from specseq.spacings.model import SpacingModel
from specseq.spacings.rollout import rollout
from specseq.spacings.rollout_config import MEMORY_KEPT, RolloutSettings
from specseq.spacings.sets import SpacingSet, load_spacing_set
from tests.spacings.test_rollout_memory import lively

Key = tuple[str, int, int]


def normal_set(count: int, scale: float = 0.2) -> SpacingSet:
    s = 1 + scale * np.random.default_rng(0).standard_normal(count)
    return SpacingSet(s.astype(np.float32), count, np.array([1e5, 1e5]), "normal/train")


def test_distance_is_one_over_the_training_windows_and_mahalanobis_elsewhere(manifest: Path) -> None:
    train = load_spacing_set(manifest, "real", "train")
    law = drift_law(train, (16, 32))
    windows = train.windows(train.starts(16), 16).astype(np.float64)
    assert law.distance(windows).mean() == pytest.approx(1, abs=1e-9)
    other = np.random.default_rng(1).uniform(0, 2, (5, 16))
    inverse = np.linalg.inv(np.cov(windows.T, bias=True))
    expected = [(x - windows.mean(0)) @ inverse @ (x - windows.mean(0)) / 16 for x in other]
    assert law.distance(other) == pytest.approx(expected)
    # Spacings that vary as the zeros do, but independently of one another, are far from their windows.
    shuffled = load_spacing_set(manifest, "shuffled", "test")
    unseen = load_spacing_set(manifest, "real", "test")
    near, far = (law.distance(s.windows(s.starts(16), 16).astype(float)).mean() for s in (unseen, shuffled))
    assert near == pytest.approx(1, abs=0.1)
    assert far > 2


def test_distance_tells_smooth_from_strange() -> None:
    law = drift_law(normal_set(40_000), (4, 10))
    assert len(law.mean) == 4
    assert law.distance(np.ones((1, 4)))[0] == pytest.approx(0, abs=0.01)
    assert law.distance(np.full((1, 4), 1.6))[0] == pytest.approx(9, rel=0.05)


def test_too_few_training_windows_are_refused() -> None:
    with pytest.raises(InputError, match=r"rollout\.drift.*100 windows of 16.*160 are needed"):
        drift_law(normal_set(1600), (16,))


def test_a_law_without_variation_is_refused() -> None:
    flat = SpacingSet(np.ones(16000, np.float32), 16000, np.zeros(64), "real/train")
    with pytest.raises(InputError, match=r"rollout\.drift.*windows of 16 spacings.*singular covariance"):
        drift_law(flat, (16,))


def test_even_attention_gives_memory_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lively()
    for block in model.blocks:
        torch.nn.init.zeros_(block.get_parameter("qkv.weight"))
    with attention_on_memory(model) as shares:
        model(torch.ones(2, 9))
    assert torch.allclose(torch.stack(shares), torch.full((2, 2), 3 / 12))
    model(torch.ones(2, 9))
    assert len(shares) == 2, "a hook stayed"


@pytest.mark.parametrize("factors", [{}, {"attention_mask": "published"}, {"positions": "rotary"}])
def test_attention_is_what_the_blocks_pay(factors: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, paid = lively(**factors), []
    attend = F.scaled_dot_product_attention

    def watched(q: Any, k: Any, v: Any, attn_mask: Any, **rest: Any) -> torch.Tensor:
        score = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(~attn_mask, -math.inf).softmax(-1)
        paid.append(score[:, :, -1, :3].sum(-1).mean(1))
        return attend(q, k, v, attn_mask=attn_mask, **rest)

    monkeypatch.setattr(F, "scaled_dot_product_attention", watched)
    with attention_on_memory(model) as shares:
        model(torch.rand(2, 9) + 0.5)
    assert torch.allclose(torch.stack(shares), torch.stack(paid), atol=1e-6)


@pytest.mark.parametrize("mode", ["kept", "faded"])
def test_measurements_of_a_rollout(mode: Any) -> None:
    model, law = lively(), drift_law(normal_set(20_000), (9,))
    draw = torch.Generator().manual_seed(1)
    s, height = torch.rand(4, 9 + 30, generator=draw) + 0.5, torch.full((4,), 7.5e7)
    strengths = RolloutSettings(memory=("kept", "faded")).strengths(mode, 30)
    predicted = rollout(model, s[:, :9], height, 30, None, strengths)
    followed = {"mean": predicted, "true": s[:, 9:]}
    rows = drift(model, s[:, :9], height, followed, (1, 20, 30), strengths, law)
    value = {(name, step): values for name, step, values in rows}
    assert {name for name, _ in value} == {
        f"drift_{quantity}_{name}"
        for quantity in ("distance", "entropy", "weight_entropy", "bias", "attention")
        for name in ("mean", "true")
    }
    for step in (1, 20, 30):
        bias = (predicted - s[:, 9:])[:, step - 1].double().numpy()
        assert value["drift_bias_mean", step] == pytest.approx(bias, abs=1e-5)
        assert (value["drift_weight_entropy_mean", step] <= math.log(3) + 1e-6).all()
    for quantity in ("distance", "entropy", "attention"):  # at the first step both read the context
        same = value[f"drift_{quantity}_mean", 1], value[f"drift_{quantity}_true", 1]
        assert np.array_equal(*same)
        assert not np.allclose(value[f"drift_{quantity}_mean", 30], value[f"drift_{quantity}_true", 30])


def rows_of(model: SpacingModel, manifest: Path, modes: Any, drifting: bool) -> dict[Key, float]:
    test, train = (load_spacing_set(manifest, "real", split) for split in ("test", "train"))
    spec = SpacingEvaluation(
        windows=20, contexts=(4, 8), rollout_contexts=(4, 8), horizons=(1, 30), draws=20, kernel_windows=4
    )
    law = drift_law(train, spec.rollout_contexts) if drifting else None
    rows = evaluate_model(model, test, spec, 0, RolloutSettings(memory=modes), law)
    return {(row["metric"], row.get("step", -1), row.get("context", -1)): row["value"] for row in rows}


def test_drift_adds_rows_and_changes_none(manifest: Path) -> None:
    modes = ("kept", "zeroed")
    plain, rows = (rows_of(lively(), manifest, modes, drifting) for drifting in (False, True))
    assert {key: value for key, value in rows.items() if not key[0].startswith("drift_")} == plain
    assert rows["drift_distance_true", 1, 8] == rows["drift_distance_sampled_zeroed", 1, 8]
    assert rows["drift_attention_mean", 30, 4] != rows["drift_attention_mean_zeroed", 30, 4]
    assert rows["drift_bias_sampled_low", 30, 8] < rows["drift_bias_sampled_high", 30, 8]


def test_without_memory_there_is_no_attention_on_it(manifest: Path) -> None:
    rows = rows_of(lively(slots=0), manifest, MEMORY_KEPT.memory, True)
    quantities = {key[0].split("_")[1] for key in rows if key[0].startswith("drift_")}
    assert quantities == {"distance", "entropy", "weight", "bias"}
