"""The zeta study as config.yaml declares it, at every scale."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from specseq.settings import read
from specseq.spacings.config import SpacingData, SpacingEvaluation, SpacingLoss, SpacingModelConfig
from specseq.spacings.model import SpacingModel
from specseq.spacings.scores import causality_violation
from specseq.studies.config import load_plan

PLAN = load_plan(Path(__file__).parents[2])
SCALES = sorted(PLAN.scales)


def runs(scale: str) -> dict[str, dict[str, Any]]:
    return PLAN.study_runs(scale, "zeta")


def models(scale: str) -> list[SpacingModelConfig]:
    """The different models of a scale."""
    texts = {json.dumps(run["model"], sort_keys=True) for run in runs(scale).values()}
    return [read(SpacingModelConfig, json.loads(text), "model") for text in sorted(texts)]


def parameters(run: dict[str, Any]) -> int:
    with torch.device("meta"):
        model = SpacingModel(read(SpacingModelConfig, {**run["model"], "spread_means": False}, "model"))
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("baseline_seed0", 4_797_464),
        ("memory_published_seed0", 4_801_560),
        ("memory_causal_seed0", 4_801_560),
    ],
)
def test_models_at_paper_scale_have_the_published_size(run: str, expected: int) -> None:
    assert parameters(runs("paper")[f"zeta/models/{run}"]) == expected


@pytest.mark.parametrize("scale", SCALES)
def test_every_run_can_be_evaluated(scale: str) -> None:
    for name, run in runs(scale).items():
        config = read(SpacingModelConfig, run["model"], name)
        read(SpacingEvaluation, run["evaluation"], name).check(config)
        read(SpacingLoss, run["loss"], name)
        read(SpacingData, run["data"], name)


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_every_model_that_claims_to_be_causal_is(scale: str) -> None:
    draw = torch.Generator().manual_seed(0)
    leaking = 0
    for config in models(scale):
        model = SpacingModel(config).eval()
        s = torch.rand(2, config.length, generator=draw) + 0.5
        violation = causality_violation(model, s, torch.tensor([7e7, 8e7]))
        assert (violation == 0) == config.causal, config
        leaking += not config.causal
    assert leaking >= 2  # memory and Flash under the published mask


def test_the_shuffled_control_is_trained_like_the_model_it_controls() -> None:
    for scale in SCALES:
        made = runs(scale)
        for name, run in made.items():
            if "_shuffled" in name and name.replace("_shuffled", "") in made:
                twin = made[name.replace("_shuffled", "")]
                assert run["data"]["set"] == "shuffled"
                assert all(run[key] == twin[key] for key in ("model", "loss", "training", "seed")), name


def test_ablations_change_one_factor() -> None:
    made = runs("paper")
    for mask in ("published", "causal"):
        whole = made[f"zeta/models/memory_{mask}_seed0"]
        for factor, key in (("residual", "residuals"), ("rope", "positions"), ("length", "length")):
            run = made[f"zeta/ablation/{factor}_{mask}_seed0"]
            changed = {k for k in run["model"] if run["model"][k] != whole["model"].get(k)}
            assert (changed, run["loss"]) == ({key}, whole["loss"])
        run = made[f"zeta/ablation/entropy_{mask}_seed0"]
        assert run["model"] == whole["model"]
        assert {k for k in run["loss"] if run["loss"][k] != whole["loss"][k]} == {"entropy_weight"}
        for weight in (0.02, 0.05):
            run = made[f"zeta/entropy/entropy_weight{weight}_{mask}_seed0"]
            assert run["model"] == whole["model"]
            assert run["loss"] == {**whole["loss"], "entropy_weight": weight}


def test_experiments_change_what_they_are_about() -> None:
    made = runs("paper")
    for mask in ("published", "causal"):
        whole = made[f"zeta/models/memory_{mask}_seed0"]
        for name, feedback in (("memory", {}), ("mean", {"rollout_feedback": "mean"})):
            run = made[f"zeta/rollout_training/{name}_{mask}_seed0"]
            assert run["loss"] == {**whole["loss"], "rollout_horizon": 8, **feedback}
            assert all(run[key] == whole[key] for key in ("model", "training", "data"))
        run = made[f"zeta/gating/memory_{mask}_seed0"]
        assert run["model"] == {**whole["model"], "gate": {"spacings": 16}}
        assert all(run[key] == whole[key] for key in ("loss", "training", "data"))
