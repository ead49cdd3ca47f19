"""Models that uni2ts saves by itself are imported and give its numbers."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from specseq.models.imports import import_forecaster
from specseq.models.kinds import load_model
from specseq.models.layout import Layout
from specseq.models.moirai.batch import Sample, pack
from specseq.models.protocol import Query
from specseq.models.registry import load_forecaster
from specseq.series.batch import PackedBatch
from specseq.training.foreign import save_import
from tests.referee.test_moirai_parity import PYTHON, at_points, draw_batch, pytestmark  # noqa: F401

FIELDS = ("target", "sample_id", "time_id", "variate_id", "prediction_mask")


def packed_series() -> PackedBatch:
    """Two rows of single series in patches of 16, all measured, the last third to be predicted."""
    walks = np.random.default_rng(1).standard_normal((2, 1, 24 * 16)).cumsum(-1).astype(np.float32) + 20
    return pack([[Sample(walk, 16, 8)] for walk in walks], 24, slot=16)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    batches = {"moirai": draw_batch(64), "moirai2": packed_series()}
    given = {}
    for name, batch in batches.items():
        given |= {f"{name}.{field}": getattr(batch, field).contiguous() for field in FIELDS}
        given |= {f"{name}.observed_mask": batch.observed, f"{name}.patch_size": batch.patch_size}
    save_file(given, folder / "batch.safetensors")
    script = Path(__file__).with_name("uni2ts_saves.py")
    subprocess.run([PYTHON, script, folder], check=True)
    return folder


@pytest.mark.parametrize("source", ["moirai", "moirai.ckpt"])
def test_moirai_gives_upstreams_numbers(saved: Path, source: str, tmp_path: Path) -> None:
    imported = import_forecaster(saved / source, "moirai")
    assert imported.notes == ()
    model = load_model(save_import(tmp_path, imported, source))
    batch, answers = draw_batch(64), load_file(saved / "answers.safetensors")
    with torch.no_grad():
        prediction = model(batch)
    for name, ours in vars(prediction.mixture).items():
        theirs = answers[name]
        if name == "log_weights_CQ":
            theirs_Q = torch.stack([at_points(part, model, batch) for part in theirs])
        else:
            theirs_Q = at_points(theirs, model, batch)
        torch.testing.assert_close(ours, theirs_Q, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_moirai2_gives_upstreams_numbers(saved: Path, tmp_path: Path) -> None:
    imported = import_forecaster(saved / "moirai2", "moirai2")
    config = imported.params["model"]
    assert (config["quantile_levels"], config["tokens"], config["predicted"]) == ([0.1, 0.5, 0.9], 64, 4)
    model = load_model(save_import(tmp_path, imported, "moirai2"))
    batch, answers = packed_series(), load_file(saved / "answers.safetensors")
    backbone = model.backbone
    context = batch.target[:, :16].double()
    location = context.mean((1, 2), keepdim=True)
    scale = (context.var((1, 2), keepdim=True) + 1e-5).sqrt()
    scaled = ((batch.target - location) / scale).float()
    layout = Layout.of(batch.samples, 2, 24)
    with torch.no_grad():
        tokens = backbone.tokens(layout.flatten(scaled), layout.flatten(batch.observed))
        hidden = backbone(tokens, backbone.context(layout, layout.flatten(batch.time_id)))
        ours = layout.unflatten(backbone.quantiles(hidden).flatten(1))
    torch.testing.assert_close(ours, answers["predicted"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("source", ["moirai", "moirai.ckpt", "moirai2"])
def test_what_upstream_saved_forecasts_as_it_is(saved: Path, source: str) -> None:
    forecaster = load_forecaster(saved / source, device="cpu")
    query = Query(24, (0.1, 0.5, 0.9), freq="H")
    forecast = forecaster.forecast([np.arange(200, dtype=np.float32) % 24], query)
    assert forecaster.name == source
    assert forecast.shape == (1, 3, 24)
    assert np.isfinite(forecast).all()
