"""Training along own rollouts: the likelihood by its definition, gradients against finite differences."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.settings import read
from specseq.spacings.config import Feedback, SpacingLoss
from specseq.spacings.model import SpacingModel
from specseq.spacings.own_rollouts import own_rollout_nll
from specseq.studies.zeta.training import build
from specseq.training.loop import train
from tests.spacings.test_pretraining import run_params
from tests.spacings.test_rollout_memory import MASKS, lively

FEEDBACK = pytest.mark.parametrize("feedback", ["mean", "component"])


def windows(rows: int = 3, length: int = 16) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(2)
    return torch.rand(rows, length, generator=draw, dtype=torch.double) + 0.5, torch.full((rows,), 7.5e7)


def test_steps_are_predicted_from_what_the_model_gave() -> None:
    model, (s, height) = lively(slots=0).double(), windows()
    history, terms = s[:, :8], []
    for step in range(3):
        mixture = model(history, height)[:, -1]
        terms.append(-mixture.log_prob(s[:, 8 + step]))
        history = torch.cat([history, mixture.expectation()[:, None]], 1)
    found = own_rollout_nll(model, s, height, 3, "mean")
    assert torch.allclose(found, torch.stack(terms).mean(), rtol=1e-12)
    teacher_forced = -model(s, height)[:, 7:10].log_prob(s[:, 8:11]).mean()
    assert abs(float((found - teacher_forced).detach())) > 1e-3


@FEEDBACK
@MASKS
def test_gradients_are_finite_differences(feedback: Feedback, mask: str) -> None:
    """Along a direction through all weights, through five steps of the model's own spacings."""
    model, (s, height) = lively(attention_mask=mask).double(), windows()
    draw = torch.Generator().manual_seed(4)
    direction = [torch.randn(p.shape, generator=draw, dtype=torch.double) for p in model.parameters()]

    def value() -> Tensor:
        return own_rollout_nll(model, s, height, 5, feedback, torch.Generator().manual_seed(5))

    @torch.no_grad()
    def at(distance: float) -> float:
        for parameter, towards in zip(model.parameters(), direction, strict=True):
            parameter.add_(towards, alpha=distance)
        return float(value())

    gradients = torch.autograd.grad(value(), list(model.parameters()))
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, direction, strict=True))
    step = 1e-6
    assert (at(step) - at(-2 * step)) / (2 * step) == pytest.approx(slope, rel=1e-5)
    assert abs(slope) > 1e-2


@FEEDBACK
def test_gradients_pass_through_the_model_s_own_spacings(feedback: Feedback) -> None:
    """Cut there, the gradient is another."""
    model, (s, height) = lively(slots=0).double(), windows()
    through = _gradient(
        model, own_rollout_nll(model, s, height, 4, feedback, torch.Generator().manual_seed(6))
    )
    draw, history, terms = torch.Generator().manual_seed(6), s[:, :8], []
    for step in range(4):
        mixture = model(history.detach(), height)[:, -1]
        terms.append(-mixture.log_prob(s[:, 8 + step]))
        own = mixture.expectation() if feedback == "mean" else mixture.sample(draw).clamp(min=0.0)
        history = torch.cat([history, own[:, None]], 1)
    cut = _gradient(model, torch.stack(terms).mean())
    assert (through - cut).norm() > 0.01 * cut.norm()


def _gradient(model: SpacingModel, value: Tensor) -> Tensor:
    return torch.cat([part.flatten() for part in torch.autograd.grad(value, list(model.parameters()))])


def trained(
    manifest: Path, folder: Path, loss: dict[str, Any]
) -> tuple[Tensor, list[tuple[int, str, float]]]:
    params = run_params(loss=loss, model={"slots": 2, "dropout": 0.1})
    task = build(params, {"spacings": manifest})
    record = list(train(task, params, folder, "digest").record)
    return torch.cat([p.detach().flatten() for p in task.model.parameters()]), record


def test_off_is_the_baseline_bit_for_bit(manifest: Path, tmp_path: Path) -> None:
    plain, record = trained(manifest, tmp_path / "plain", {})
    off, same = trained(manifest, tmp_path / "off", {"rollout_horizon": 0})
    assert torch.equal(plain, off)
    assert record == same
    assert "rollout_nll" not in {name for _, name, _ in record}
    on, metrics = trained(manifest, tmp_path / "on", {"rollout_horizon": 3})
    assert not torch.equal(plain, on)
    first = {name: value for step, name, value in metrics if step == 1}
    # The teacher-forced part of the first step is the baseline's.
    assert first["nll"] == next(value for step, name, value in record if (step, name) == (1, "nll"))
    whole = first["nll"] - 0.005 * first["weight_entropy"] + first["rollout_nll"]
    assert first["loss"] == pytest.approx(whole, abs=1e-6)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"rollout_horizon": 1}, r"loss\.rollout_horizon.*feeds nothing back"),
        ({"rollout_horizon": 9}, r"loss\.rollout_horizon.*9 steps.*8 of the window's 16"),
        ({"rollout_feedback": "mean"}, r"loss\.rollout_feedback.*no effect"),
        ({"rollout_horizon": 2, "rollout_weight": 0}, r"loss\.rollout_weight"),
    ],
)
def test_bad_settings_are_refused(manifest: Path, loss: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build(run_params(loss=loss), {"spacings": manifest})


def test_the_default_is_off() -> None:
    assert read(SpacingLoss, {}, "loss").rollout_horizon == 0
