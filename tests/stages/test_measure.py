"""The stage ``measure``: long rows of models side by side, a diverged one among them; refusals."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from specseq.errors import InputError
from specseq.models import side_by_side
from specseq.models.moirai.training import model_of
from specseq.models.side_by_side import MeasureRequest, measure
from specseq.seeding import stream_seed
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.batch import PackedBatch
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store
from specseq.series.stream import moirai_stream
from specseq.settings import read
from specseq.tables import LONG_COLUMNS, read_parquet, read_provenance
from specseq.training.checkpoint import save_weights

MODEL = {"kind": "moirai", "d_model": 16, "layers": 2, "heads": 2, "d_ff": 24, "max_length": 32}
SIZES = {"rows": 2, "batches": 2, "repeats": 1}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measure")
    draw = np.random.default_rng(0)
    start = np.datetime64("2020-01-01T00:00:00")
    items = [Item(f"i{n}", start, "H", draw.normal(size=300).cumsum().astype(np.float32)) for n in range(5)]
    write_folder(folder / "corpus" / "walks", items, licence="CC0", source="tests")
    prepare_store(folder / "corpus", folder / "store", min_length=16)
    return folder / "store"


@pytest.fixture
def weights(tmp_path: Path) -> Callable[..., Path]:
    def save(
        point: str,
        stu: dict[str, Any],
        diverged: str | None = None,
        data: dict[str, Any] | None = None,
        **changes: Any,
    ) -> Path:
        model = {**MODEL, **changes, "stu": {"filters": 4, **stu}}
        params = {"seed": int(point[-1]), "model": model, **({} if data is None else {"data": data})}
        path = tmp_path / "runs" / "stu" / "layout" / point / "weights.safetensors"
        path.parent.mkdir(parents=True)
        network = model_of(params)
        save_weights(path, network, params, diverged=diverged)
        return path

    return save


@pytest.fixture
def run(store: Path, tmp_path: Path) -> Callable[..., Path]:
    def call(*files: Path, params: dict[str, Any] = SIZES) -> Path:
        out = tmp_path / "measured.parquet"
        request = {"weights": list(map(str, files)), "store": str(store / "manifest.json"), "out": str(out)}
        measure(read(MeasureRequest, {**request, "sizes": params}, "request"))
        return out

    return call


def test_models_side_by_side(run: Callable[..., Path], weights: Callable[..., Path]) -> None:
    plain, hybrid = weights("attention_seed1", {}), weights("signed_seed1", {"pattern": "alternating"})
    out = run(plain, hybrid, weights("lost_seed2", {}, diverged="the loss is nan"))
    frame = read_parquet(out)
    assert list(frame.columns) == [*LONG_COLUMNS[:6], "threads", *LONG_COLUMNS[6:]]
    assert set(frame["benchmark"]) == {"measurement"}
    whole = frame[frame["step"] == -1].set_index(["run", "metric"])["value"]
    common = {"parameters", "diverged", "loss", "standardised_nll", "step_seconds", "mixing_seconds"}
    common |= {"steps_per_second", "packing_error", "alone_error"}
    assert set(whole["stu/layout/attention_seed1"].index) == common
    causal = {"causality_error", "causality_error_circular"}
    assert set(whole["stu/layout/signed_seed1"].index) == common | causal
    assert whole["stu/layout/lost_seed2"].to_dict() == {"diverged": 1.0}
    signed = whole["stu/layout/signed_seed1"]
    assert signed["packing_error"] == 0
    assert signed["steps_per_second"] == pytest.approx(1 / signed["step_seconds"])
    difference = whole["stu/layout/attention_seed1", "parameters"] - signed["parameters"]
    assert difference == (4 * 16 * 16 + 2 * 8 + 2 * 2) - (16 * 16 + 2 * 4 * 16)
    gains = frame[frame["metric"] == "gain"]
    assert set(gains["run"]) == {"stu/layout/signed_seed1"}
    assert gains["task"].unique().tolist() == [f"layer0/channel{channel}" for channel in range(4)]
    assert gains["step"].tolist() == 4 * list(range(65))
    lags = frame[frame["metric"].str.startswith("lag_")]
    assert set(lags["task"]) == {"layer0", "layer1"}
    kinds = lags.groupby(["run", "task"])["metric"].agg(set)
    attention = {"lag_attention", "lag_attention_ahead", "lag_even", "lag_even_ahead"}
    assert kinds["stu/layout/signed_seed1"].to_dict() == {"layer0": {"lag_unit"}, "layer1": attention}
    assert read_provenance(out)["parameters"] == SIZES


def test_the_batches_are_the_same_for_all_runs_and_seeds(
    run: Callable[..., Path], weights: Callable[..., Path]
) -> None:
    files = [weights("a_seed0", {}), weights("b_seed0", {})]
    frame = read_parquet(run(*files))
    nll = frame[frame["metric"] == "standardised_nll"]["value"]
    assert nll.nunique() == 1


def test_the_batches_are_drawn_as_the_runs_were_trained(
    run: Callable[..., Path], weights: Callable[..., Path], store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[PackedBatch] = []
    losses = side_by_side.mean_losses
    monkeypatch.setattr(
        side_by_side, "mean_losses", lambda model, batches: given.extend(batches) or losses(model, batches)
    )
    data = {"mask_ratio": [0.5, 0.5], "min_patches": 4, "pool": 8}
    run(weights("a_seed0", {}, patch_sizes=[8, 32], data=data))
    expected = moirai_stream(
        open_store(store),
        SIZES["rows"],
        stream_seed(0, "fixed batches"),
        MODEL["max_length"],
        patch_sizes=(8, 32),
        mask_ratio=(0.5, 0.5),
        min_patches=4,
        pool=8,
    )
    assert len(given) == SIZES["batches"]
    for batch, other in zip(given, expected, strict=False):
        assert torch.equal(batch.target, other.target)
        assert torch.equal(batch.prediction_mask, other.prediction_mask)


def test_refusals(run: Callable[..., Path], weights: Callable[..., Path], tmp_path: Path) -> None:
    file = weights("a_seed0", {})
    with pytest.raises(InputError, match=r"request\.weights"):
        run()
    with pytest.raises(InputError, match=r"request\.sizes\.speed: unknown key"):
        run(file, params={"speed": 1})
    with pytest.raises(InputError, match=r"request\.sizes\.rows: 0 is not at least 1"):
        run(file, params={"rows": 0})
    with pytest.raises(InputError, match="batches of different shapes"):
        run(file, weights("b_seed0", {}, max_length=64))
    with pytest.raises(InputError, match="batches of different shapes"):
        run(file, weights("c_seed0", {}, patch_sizes=[8, 32, 128]))
    with pytest.raises(
        InputError, match=r"d_seed1.* 'data' are .*0\.3.*a_seed0.* are {}; measure them apart"
    ):
        run(file, weights("d_seed1", {}, data={"mask_ratio": [0.3, 0.3]}))
    other = tmp_path / "other.safetensors"
    other.write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"other\.safetensors"):
        run(other)
    assert not (tmp_path / "measured.parquet").exists()
