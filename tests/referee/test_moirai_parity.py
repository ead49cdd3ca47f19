"""MOIRAI against uni2ts on one packed batch with the same weights: parameters, loss and gradients to 1e-5."""

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from specseq.models.moirai.batch import Sample, pack
from specseq.models.moirai.config import MoiraiConfig
from specseq.models.moirai.model import Moirai, packed_loss
from specseq.models.upstream import moirai_to_upstream
from specseq.series.batch import PackedBatch
from tests.models.foreign import moirai_from_upstream

FOLDER = Path(__file__).parents[2] / ".cache" / "referee"
PYTHON = FOLDER / "bin" / "python"
pytestmark = [
    pytest.mark.referee,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="uni2ts is not installed; run 'python tests/referee/install.py' first"
    ),
]
SMALL = MoiraiConfig(d_model=128, layers=3, max_length=64, parity=True)


def draw_batch(length: int, seed: int = 0) -> PackedBatch:
    """Rows of samples of all five patch sizes, uni- and multivariate, with missing points and padding."""
    rng = np.random.default_rng(seed)

    def sample(variates: int, tokens: int, patch: int, missing: float = 0.1) -> Sample:
        values = rng.normal(size=(variates, tokens * patch)).cumsum(1) + rng.normal(scale=5)
        values[rng.uniform(size=values.shape) < missing] = np.nan
        return Sample(values.astype(np.float32), patch, max(1, tokens // 3))

    rows = [
        [sample(3, 5, 8), sample(1, 20, 16)],
        [sample(1, 12, 32), sample(4, 3, 64), sample(2, 2, 128, missing=0.5)],
        [sample(8, 4, 128), sample(1, 9, 8, missing=0.9)],
    ]
    return pack(rows, length, slot=128)


CASES = {
    "three-layers-float64": (SMALL, torch.float64),
    "published-size-float32": (replace(MoiraiConfig(), parity=True), torch.float32),
    "published-size-float64": (replace(MoiraiConfig(), parity=True), torch.float64),
}


@pytest.fixture(scope="module", params=CASES)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Moirai, PackedBatch, dict[str, torch.Tensor]]:
    """Our model after its backward pass, the batch, and upstream's answers for it."""
    config, dtype = CASES[request.param]
    torch.manual_seed(0)
    batch = draw_batch(64)
    weights = moirai_to_upstream(Moirai(config).to(dtype))
    fields = ("target", "sample_id", "time_id", "variate_id", "prediction_mask", "patch_size")
    given = {f"batch.{field}": getattr(batch, field) for field in fields}
    given["batch.observed_mask"] = batch.observed
    given["patch_sizes"] = torch.tensor(config.patch_sizes)
    folder = tmp_path_factory.mktemp("referee")
    save_file({**given, **{f"weights.{k}": v for k, v in weights.items()}}, folder / "in.safetensors")
    script = Path(__file__).with_name("uni2ts_answers.py")
    subprocess.run([PYTHON, script, folder / "in.safetensors", folder / "out.safetensors"], check=True)

    model = moirai_from_upstream(weights, config).to(dtype)
    packed_loss(model(batch), batch)[0].backward()
    return model, batch, load_file(folder / "out.safetensors")


def at_points(answer_BLP: torch.Tensor, model: Moirai, batch: PackedBatch) -> torch.Tensor:
    plan = model.tables(batch)
    return plan.points(answer_BLP.expand(*answer_BLP.shape[:2], 128))


def test_location_and_scale(both: tuple) -> None:
    model, batch, answers = both
    prediction = model(batch)
    for name, ours in (("location", prediction.location_Q), ("scale", prediction.scale_Q)):
        theirs = at_points(answers[name], model, batch).to(ours.dtype)
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


def test_distribution_parameters(both: tuple) -> None:
    model, batch, answers = both
    mixture = model(batch).mixture
    for name, ours in vars(mixture).items():
        theirs = answers[f"parameter.{name}"]
        if name == "log_weights_CQ":
            theirs_Q = torch.stack([at_points(part, model, batch) for part in theirs])
        else:
            theirs_Q = at_points(theirs, model, batch)
        torch.testing.assert_close(ours, theirs_Q, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_loss(both: tuple) -> None:
    model, batch, answers = both
    torch.testing.assert_close(packed_loss(model(batch), batch)[0], answers["loss"], rtol=1e-5, atol=1e-5)


def test_gradients(both: tuple) -> None:
    """Each weight's gradient to 1e-5 of its largest entry, in float64.

    The Normal's scale of 1e-3 makes the loss so curved (1e6) that in float32 both sides are some 1e-4 off the
    float64 gradient, upstream no less than we; there the bound is 1e-3.
    """
    model, _, answers = both
    gradients = Moirai(model.config).to(answers["loss"].dtype)
    gradients.load_state_dict({name: p.grad for name, p in model.named_parameters()}, strict=True)
    bound = 1e-5 if answers["loss"].dtype == torch.float64 else 1e-3
    for name, ours in moirai_to_upstream(gradients).items():
        theirs = answers[f"gradient.{name}"]
        error = (ours - theirs).abs().max() / theirs.abs().max().clamp_min(1e-6)
        assert error < bound, f"{name}: {error:.1e}"
