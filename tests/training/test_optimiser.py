"""Schedules and parameter groups."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from specseq.settings import read
from specseq.training.optimiser import AdamW, Optimiser, default_groups, factor, orthogonal
from specseq.training.settings import TrainingSettings
from specseq.training.task import Task


def spec(**training: Any) -> TrainingSettings:
    return read(TrainingSettings, {"steps": 100, "warmup": 10} | training, "training")


def test_cosine_with_warmup() -> None:
    cosine = spec(schedule="cosine")
    assert [factor(step, cosine) for step in (0, 5, 10, 55, 100, 200)] == pytest.approx(
        [0, 0.5, 1, 0.5, 0, 0], abs=1e-12
    )
    assert factor(33, cosine) == pytest.approx(0.5 * (1 + math.cos(math.pi * 23 / 90)))


def test_cosine_restarts() -> None:
    restarts = spec(schedule="cosine_restarts", cycles=2)
    assert factor(55, restarts) == 1.0
    assert factor(54, restarts) < 0.01
    assert factor(32, restarts) == pytest.approx(0.5 * (1 + math.cos(math.pi * 44 / 90)))
    assert factor(100, restarts) == 0.0
    one, cosine = spec(schedule="cosine_restarts"), spec(schedule="cosine")
    assert all(factor(step, one) == factor(step, cosine) for step in range(100))


def test_published_schedule_never_decays() -> None:
    published = spec(steps=10_000, warmup=10_000, schedule="cosine_restarts")
    rates = [factor(step, published) for step in range(10_000)]
    assert rates == sorted(rates)


def test_flat_schedules() -> None:
    assert factor(0, spec(schedule="constant", warmup=0)) == 1.0
    assert [factor(step, spec(schedule="warmup")) for step in (0, 5, 10, 99)] == [0, 0.5, 1, 1]


def test_only_matrices_decay() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.embedding, self.norm = nn.Linear(2, 3), nn.Embedding(2, 3), nn.LayerNorm(3)
            self.sizes_bias = nn.Parameter(torch.zeros(5, 3))
            self.filters = nn.Parameter(torch.zeros(24, 3))
            self.frozen = nn.Parameter(torch.zeros(3, 3), requires_grad=False)

    model = Model()
    decayed, kept = default_groups(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert {names[id(p)] for p in decayed["params"]} == {"linear.weight", "filters"}
    assert {names[id(p)] for p in kept["params"]} == {
        "linear.bias",
        "embedding.weight",
        "norm.weight",
        "norm.bias",
        "sizes_bias",
    }


@pytest.mark.parametrize("shape", [(8, 8), (8, 30), (30, 8), (1, 5)])
def test_orthogonal_matrices_keep_their_singular_vectors(shape: tuple[int, int]) -> None:
    """Against the same iteration of each singular value."""
    matrices = [
        torch.randn(shape, generator=torch.Generator().manual_seed(k), dtype=torch.float64) for k in (0, 1)
    ]
    for matrix, found in zip(matrices, orthogonal(matrices), strict=True):
        u, values, v = torch.linalg.svd(matrix, full_matrices=False)
        values = values / values.norm()
        for _ in range(5):
            values = 3.4445 * values - 4.775 * values**3 + 2.0315 * values**5
        torch.testing.assert_close(found, u @ torch.diag(values) @ v, rtol=1e-9, atol=1e-9)
        assert values.min() > 0.5


def test_muon_takes_the_steps_of_torch_and_goes_on_from_its_state() -> None:
    """torch's rounds to bfloat16 while it orthogonalises."""
    torch.manual_seed(0)
    ours, theirs = nn.Linear(12, 20), nn.Linear(12, 20)
    theirs.load_state_dict(ours.state_dict())
    task = Task(ours, lambda model, batch: (model(batch).square().mean(), {}), iter([]))
    settings = spec(optimiser="muon", lr=0.02, schedule="constant", warmup=0, clip=0, weight_decay=0.1)
    mine = Optimiser(task, settings)
    matrix = torch.optim.Muon([theirs.weight], lr=0.02, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    bias = torch.optim.AdamW([theirs.bias], lr=0.02, betas=(0.9, 0.98), eps=1e-6, weight_decay=0)
    for step in range(6):
        if step == 3:
            state = mine.adamw.state_dict()
            mine = Optimiser(task, settings)
            mine.adamw.load_state_dict(state)
        batch = torch.randn(5, 12)
        for model in (ours, theirs):
            (model(batch) - batch.sum()).square().mean().backward()
        mine.step(step)
        for optimiser in (matrix, bias):
            optimiser.step()
            optimiser.zero_grad()
    moved = ours.weight - theirs.weight
    assert moved.norm() < 0.02 * ours.weight.norm()
    torch.testing.assert_close(ours.bias, theirs.bias, rtol=0.02, atol=0.005)


def test_optimiser_is_adamw_with_scaled_rates() -> None:
    model = nn.Linear(2, 1)

    def groups(module: nn.Module) -> list[dict[str, Any]]:
        return [{"params": [model.weight], "lr_scale": 0.5}, {"params": [model.bias], "weight_decay": 0.0}]

    def loss(module: nn.Module, batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, float]]:
        return module(batch).square().mean(), {}

    task = Task(model, iter([]), loss, parameter_groups=groups)  # type: ignore[arg-type]
    optimiser = Optimiser(
        task, spec(schedule="constant", warmup=0, lr=0.1, weight_decay=0.2, eps=1e-6, clip=1e-3)
    )
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss(model, torch.tensor([[3.0, -1.0]]))[0].backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    norm = gradients.norm()
    assert optimiser.clip() == pytest.approx(float(norm))
    clipped = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    assert sum(float(g.square().sum()) for g in clipped.values()) == pytest.approx(1e-6, rel=1e-3)
    optimiser.step(0)
    for name, rate, decay in (("weight", 0.05, 0.2), ("bias", 0.1, 0.0)):
        step = clipped[name] / (clipped[name].abs() + 1e-6)
        expected = before[name] * (1 - rate * decay) - rate * step
        torch.testing.assert_close(
            dict(model.named_parameters())[name].detach(), expected, rtol=1e-4, atol=1e-6
        )


def test_adamw_takes_the_steps_of_torch_and_goes_on_from_its_state() -> None:
    draw = torch.Generator().manual_seed(0)
    ours, theirs = (nn.Linear(5, 4, dtype=torch.float64) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    settings: dict[str, Any] = dict(lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1)
    mine = AdamW([{"params": [ours.weight]}, {"params": [ours.bias], "weight_decay": 0.0}], **settings)
    peer = torch.optim.AdamW(
        [{"params": [theirs.weight]}, {"params": [theirs.bias], "weight_decay": 0.0}], fused=True, **settings
    )
    for step in range(6):
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=draw, dtype=torch.float64)
            b.grad = a.grad.clone()
        if step == 2:
            ours.bias.grad = theirs.bias.grad = None
        mine.step()
        peer.step()
        if step == 3:
            saved = mine.state_dict()
            assert set(saved["state"]) == set(peer.state_dict()["state"])
            mine = AdamW([{"params": [ours.weight]}, {"params": [ours.bias]}], **settings)
            mine.load_state_dict(saved)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            # Two implementations, which may contract multiply and add differently.
            torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)
    mine.zero_grad()
    assert ours.weight.grad is None
