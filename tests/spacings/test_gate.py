"""Gated memory: an open gate changes no bit, a closed one leaves nothing of memory, none sees the future."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from specseq.errors import InputError
from specseq.settings import read
from specseq.spacings.attention import Block
from specseq.spacings.config import MemoryGate, SpacingModelConfig
from specseq.spacings.gate import Gate, Opening
from specseq.spacings.law import training_law
from specseq.spacings.model import SpacingModel, rebuild
from specseq.spacings.rollout import rollout, rollout_without_cache
from specseq.spacings.scores import causality_violation
from specseq.spacings.sets import load_spacing_set
from specseq.studies.zeta.training import build
from specseq.training.loop import train
from tests.spacings.test_pretraining import run_params
from tests.spacings.test_rollout_memory import MASKS, lively

OPEN = {"spacings": 4, "reach": 1e6}
CLOSED = {"spacings": 2, "reach": 1e-9, "sharpness": 1e9}
HALF = {"spacings": 4, "reach": 1.0, "sharpness": 1.0}


def windows(length: int = 24) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.rand(3, length, generator=draw) + 0.5, torch.full((3,), 7.5e7)


def flat(model: SpacingModel) -> Tensor:
    s, height = windows()
    return torch.cat([part.flatten() for part in model(s, height)])


@MASKS
def test_an_open_gate_changes_no_bit(mask: str) -> None:
    plain, gated = (lively(attention_mask=mask, gate=gate) for gate in (None, OPEN))
    assert torch.equal(flat(plain), flat(gated))
    assert not torch.equal(flat(plain), flat(lively(attention_mask=mask, gate=HALF)))
    s, height = windows(9)
    assert torch.equal(rollout(plain, s, height, 30), rollout(gated, s, height, 30))


def test_training_with_an_open_gate_is_training_without(manifest: Path, tmp_path: Path) -> None:
    weights = []
    for name, gate in (("plain", None), ("open", OPEN)):
        params = run_params(model={"slots": 3, "dropout": 0.1, "gate": gate})
        task = build(params, {"spacings": manifest})
        train(task, params, tmp_path / name, "digest")
        weights.append(torch.cat([p.detach().flatten() for p in task.model.parameters()]))
    assert torch.equal(*weights)


def test_the_gate_is_the_law_of_the_training_windows(manifest: Path) -> None:
    params = run_params(model={"slots": 3, "gate": HALF})
    model = build(params, {"spacings": manifest}).model
    assert isinstance(model, SpacingModel)
    assert model.gate is not None
    train_set = load_spacing_set(manifest, "real", "train")
    law = training_law(train_set, 4, "model.gate")
    s, _ = windows()
    shares = model.gate(s)
    assert torch.equal(shares[:, :3], torch.ones(3, 3))
    distance = torch.from_numpy(law.distance(s[:, 6:10].double().numpy()))
    assert torch.allclose(shares[:, 9].double(), torch.sigmoid(1.0 - distance), atol=1e-5)
    # Weights carry the law: what is rebuilt from them gates alike.
    rebuilt = rebuild(params, model.state_dict())
    assert rebuilt.gate is not None
    assert torch.equal(rebuilt.gate(s), shares)


def test_a_window_like_training_opens_it_and_a_strange_one_closes_it() -> None:
    gate = Gate(MemoryGate(spacings=4, reach=2.0, sharpness=4.0))
    assert float(gate(torch.ones(1, 4))[0, -1]) == pytest.approx(1 / (1 + math.exp(-8)))
    assert float(gate(torch.full((1, 4), 1 + math.sqrt(2)))[0, -1]) == pytest.approx(0.5)
    assert float(gate(torch.full((1, 4), 5.0))[0, -1]) < 1e-6
    assert torch.equal(gate(torch.full((1, 3), 5.0)), torch.ones(1, 3))


def test_closed_there_is_nothing_of_memory_in_attention() -> None:
    torch.manual_seed(0)
    block, x = Block(16, 2, 0.0), torch.randn(2, 9, 16)
    mask = torch.ones(9, 9, dtype=torch.bool).tril()
    mask[:3, :3] = True
    q, k, v = block.qkv(block.norm1(x)).view(2, 9, 3, 2, 8).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    closed = Opening(3, torch.zeros(2, 9)).close(y, q, k, v, mask)
    weights = (q @ k.mT / math.sqrt(8)).masked_fill(~mask, -math.inf).softmax(-1)
    assert torch.allclose(closed, weights[..., 3:] @ v[:, :, 3:], atol=1e-6)


@MASKS
def test_the_cached_path_gates_alike(mask: str) -> None:
    for gate in (HALF, CLOSED):
        model = lively(attention_mask=mask, gate=gate).double()
        s, height = windows(9)
        cached, plain = (roll(model, s.double(), height, 30) for roll in (rollout, rollout_without_cache))
        assert (cached - plain).abs().max() < 1e-10


def test_a_gate_sees_no_future() -> None:
    s, height = windows()
    assert causality_violation(lively(gate=HALF), s, height) == 0.0


@pytest.mark.parametrize(
    ("factors", "said"),
    [
        ({"slots": 0, "gate": {}}, r"model\.gate.*no effect without memory"),
        ({"slots": 2, "gate": {"spacings": 25}}, r"model\.gate\.spacings.*25.*24"),
        ({"slots": 2, "gate": {"reach": 0}}, r"model\.gate\.reach"),
    ],
)
def test_bad_gates_are_refused(factors: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(SpacingModelConfig, {"length": 24, "width": 16, "heads": 2, **factors}, "model")
