"""The fair baseline: one pass through the same weights, trained by backpropagation."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from specseq.cli import main as specseq
from specseq.equilibrium.block import EquilibriumBlock, layer_norm
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.gradients import transformer_loss
from specseq.errors import InputError
from specseq.studies.equilibrium.training import build
from specseq.training.checkpoint import save_weights
from specseq.training.loop import train

PARAMS: dict[str, Any] = {
    "study": "equilibrium",
    "seed": 0,
    "rule": "transformer",
    "model": {"width": 8, "heads": 2, "length": 5},
    "training": {"steps": 40, "batch": 8, "lr": 0.05, "precision": "float32", "tensorboard": False},
    "evaluation": {"windows": 8, "aligned": 1, "samples": 1},
}


def block() -> tuple[EquilibriumBlock, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    made = EquilibriumBlock(BlockShape(8, 2, 5, residual_gain=1.0), 9, draw, torch.float64)
    tokens, targets = (torch.randint(0, 9, (3, 5), generator=draw) for _ in range(2))
    return made, tokens, targets


def test_it_is_the_standard_layer() -> None:
    """Beside torch's own pre-norm layer with these weights; no normalised queries there."""
    draw = torch.Generator().manual_seed(0)
    shape = BlockShape(8, 2, 5, residual_gain=1.0, normalise_queries=False)
    own = EquilibriumBlock(shape, 9, draw, torch.float64).requires_grad_(False)
    layer = torch.nn.TransformerEncoderLayer(
        8, 2, 32, 0.0, lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        batch_first=True, norm_first=True, bias=False, dtype=torch.float64,
    )  # fmt: skip
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(torch.cat([own.query, own.key, own.value], 1).T)
        layer.self_attn.out_proj.weight.copy_(own.output.T)
        layer.linear1.weight.copy_(own.expand.T)
        layer.linear2.weight.copy_(own.contract.T)
    x = own.embed(torch.randint(0, 9, (3, 5), generator=draw))
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    torch.testing.assert_close(own.transformed(x), layer_norm(layer(x, mask).detach()))


def test_its_gradient_is_that_of_finite_differences() -> None:
    made, tokens, targets = block()
    transformer_loss(made, tokens, targets).backward()
    for name, weight in made.named_parameters():
        direction = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * 1e-6 * direction
                values.append(transformer_loss(made, tokens, targets).item())
                weight -= sign * 1e-6 * direction
        assert weight.grad is not None
        slope = (values[0] - values[1]) / 2e-6
        assert (weight.grad * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-9), name


def test_it_trains_and_has_a_loss_and_its_references_alone(text: Path, tmp_path: Path) -> None:
    task = build(PARAMS, {"text": text})
    equilibrium = build({**PARAMS, "rule": "ep"}, {"text": text})
    for (name, own), (other, theirs) in zip(
        task.model.named_parameters(), equilibrium.model.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(own, theirs)
    record = list(train(task, PARAMS, tmp_path, "d").record)
    last = {metric: value for step, metric, value in record if step == 40}
    assert {metric for metric in last if metric.startswith("valid/")} == {
        *("valid/loss", "valid/unigram_loss", "valid/bigram_loss"),
    }
    assert last["valid/loss"] < last["valid/unigram_loss"]


def test_it_may_take_a_batch_in_parts(text: Path, tmp_path: Path) -> None:
    weights = []
    for parts in (1, 2):
        params = {**PARAMS, "training": {**PARAMS["training"], "steps": 3, "micro_batches": parts}}
        task = build(params, {"text": text})
        train(task, params, tmp_path / str(parts), "d")
        weights.append(torch.cat([weight.detach().flatten() for weight in task.model.parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {"solver": {"name": "anderson"}},
        {"gate": 0.1},
        {"regularisers": {"jacobian": {"weight": 0.1}}},
        {"audit": {"samples": 1}},
        {"estimator": {"name": "adjoint"}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_what_needs_an_equilibrium_is_refused(text: Path, values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(values))}: is not used by the rule transformer"):
        build(PARAMS | values, {"text": text})


def test_there_is_nothing_to_audit(text: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_weights(tmp_path / "weights.safetensors", build(PARAMS, {"text": text}).model, PARAMS)
    assert specseq(["audit", str(tmp_path / "weights.safetensors"), "--json"]) == 2
    printed = capsys.readouterr()
    assert "plain transformer, which has no equilibrium" in printed.err
    assert not printed.out or not json.loads(printed.out)
