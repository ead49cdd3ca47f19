"""Moirai2 against uni2ts with the same weights: scaling, predictions of packed rows, forecasts."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from specseq.models.moirai2.batch import BASELINE, RawBatch
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.forecaster import Moirai2Forecaster
from specseq.models.moirai2.model import PreconditionedMoirai2
from specseq.models.protocol import Query
from specseq.models.upstream import moirai2_to_upstream
from specseq.series.anomaly import context_tokens
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store
from specseq.series.stream import moirai2_stream
from tests.models.foreign import moirai2_from_upstream

PYTHON = Path(__file__).parents[2] / ".cache" / "referee" / "bin" / "python"
pytestmark = [
    pytest.mark.referee,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="uni2ts is not installed; run 'python tests/referee/install.py' first"
    ),
]
CONFIG = Moirai2Config(d_model=128, layers=3)


@pytest.fixture
def batch(tmp_path: Path) -> RawBatch:
    """Rows of random walks of many lengths, nothing missing and nothing hidden."""
    draw = np.random.default_rng(0)
    start = np.datetime64("2020-01-01T00:00:00")
    walks = [draw.standard_normal(n).cumsum().astype(np.float32) + 30 for n in (40, 300, 900, 1700)]
    items = [Item(f"item{number}", start, "H", walk) for number, walk in enumerate(walks)]
    write_folder(tmp_path / "corpus" / "walks", items, licence="CC0", source="tests")
    prepare_store(tmp_path / "corpus", tmp_path / "store", min_length=16)
    packed = next(moirai2_stream(open_store(tmp_path / "store"), 3, tokens=64, anomaly_threshold=None))
    everything = torch.ones_like(packed.sample_id, dtype=torch.bool)
    return RawBatch(packed, everything, everything, CONFIG.predicted)


def test_predictions_and_forecasts_are_upstreams(tmp_path: Path, batch: RawBatch) -> None:
    model = PreconditionedMoirai2(CONFIG, BASELINE, seed=0).eval()
    packed, prepared = batch.packed, batch.prepare()
    layout = prepared.layout
    contexts = np.random.default_rng(1).standard_normal((4, 160)).cumsum(1).astype(np.float32)
    context_S = torch.from_numpy(context_tokens(torch.bincount(layout.segment_T).numpy()))
    beyond_T = prepared.time_T >= context_S[layout.segment_T]
    given = {
        **{
            f"batch.{name}": getattr(packed, name)
            for name in ("target", "sample_id", "time_id", "variate_id")
        },
        "batch.observed_mask": packed.observed,
        # Upstream's scaler leaves out what is to be predicted: here all but the first part of each sample.
        "batch.prediction_mask": layout.unflatten(beyond_T),
        **{f"weights.{name}": value for name, value in moirai2_to_upstream(model.backbone).items()},
        "contexts": torch.from_numpy(contexts),
    }
    save_file({name: value.contiguous() for name, value in given.items()}, tmp_path / "in")
    script = Path(__file__).with_name("moirai2_answers.py")
    subprocess.run([PYTHON, script, tmp_path / "in", tmp_path / "out"], check=True)
    theirs = load_file(tmp_path / "out")

    close = {"atol": 2e-5, "rtol": 2e-5}
    observed = prepared.observed_TP
    torch.testing.assert_close(
        prepared.values_TP[observed], layout.flatten(theirs["scaled"])[observed], **close
    )
    with torch.no_grad():
        tokens = model.backbone.tokens(prepared.values_TP, observed)
        hidden = model.backbone(tokens, model.backbone.context(layout, prepared.time_T))
        predicted = model.backbone.quantiles(hidden)
    # A sample's first token may begin before its series; upstream shows the model -location/scale there.
    whole = ~torch.isin(layout.segment_T, layout.segment_T[~observed.all(1)])
    assert whole.sum() > 100
    expected = layout.flatten(theirs["predicted"]).unflatten(-1, (4, 9, 16))
    torch.testing.assert_close(predicted[whole], expected[whole], **close)
    forecaster = Moirai2Forecaster(model, context_length=160, device="cpu")
    for horizon in (16, 60):
        found = forecaster.forecast(list(contexts), Query(horizon, CONFIG.quantile_levels))
        # Ours are in order; upstream's untrained quantiles are not.
        expected = theirs[f"forecast_{horizon}"].squeeze(-1).sort(dim=1).values
        np.testing.assert_allclose(found, expected.numpy(), atol=2e-4, rtol=2e-5)


def test_weights_survive_the_way_there_and_back() -> None:
    model = PreconditionedMoirai2(CONFIG, BASELINE, seed=0).backbone
    again = moirai2_from_upstream(moirai2_to_upstream(model), CONFIG)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
