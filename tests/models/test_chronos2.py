"""Chronos-2 as a forecaster, with a tiny model of random weights as the real client."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from specseq.errors import InputError
from specseq.models.chronos2 import Chronos2, _check_architecture, find_weights
from specseq.models.protocol import Query
from specseq.models.registry import load_forecaster
from tests.models.tiny_chronos2 import tiny_chronos2

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
QUERY = Query(10, LEVELS, season_length=24, freq="H")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chronos2(tmp_path_factory.mktemp("chronos2") / "tiny")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> Chronos2:
    return Chronos2.load(folder)


def test_it_speaks_the_protocol(tiny: Chronos2) -> None:
    generator = np.random.default_rng(0)
    contexts = [generator.normal(5, 2, length).astype(np.float32) for length in (1, 7, 64, 200)]
    contexts[2][::3] = np.nan
    contexts.append(np.full(9, np.nan, np.float32))
    answer = tiny.forecast(contexts, QUERY)
    assert (answer.shape, answer.dtype) == ((5, 9, 10), np.float32)
    assert np.isfinite(answer).all()
    assert (np.diff(answer, axis=1) >= 0).all()
    assert (tiny.name, tiny.context_length) == ("tiny", 64)


def test_windows_do_not_see_each_other(tiny: Chronos2) -> None:
    generator = np.random.default_rng(1)
    contexts = [generator.normal(size=length).astype(np.float32) for length in (20, 30, 64)]
    alone = np.concatenate([tiny.forecast([context], QUERY) for context in contexts])
    np.testing.assert_allclose(tiny.forecast(contexts, QUERY), alone, rtol=1e-4, atol=1e-5)


def test_it_is_the_pipelines_own_forecast(tiny: Chronos2, folder: Path) -> None:
    from chronos import Chronos2Pipeline

    context = np.sin(np.arange(60, dtype=np.float32))
    (theirs,), _ = Chronos2Pipeline.from_pretrained(str(folder)).predict_quantiles(
        [context], prediction_length=10, quantile_levels=list(LEVELS)
    )
    np.testing.assert_allclose(
        tiny.forecast([context], QUERY)[0], np.sort(theirs[0].T.numpy(), axis=0), rtol=1e-5
    )


def test_levels_beside_the_models_own_are_interpolated(tiny: Chronos2) -> None:
    context = np.sin(np.arange(60, dtype=np.float32))
    query = Query(10, (0.1, 0.125, 0.15))
    low, between, high = tiny.forecast([context], query)[0]
    np.testing.assert_allclose(between, (low + high) / 2, rtol=1e-4, atol=1e-5)


def test_context_length_is_an_option(folder: Path) -> None:
    short = load_forecaster(folder, context_length=16, batch_size=2)
    context = np.arange(60, dtype=np.float32)
    np.testing.assert_allclose(
        short.forecast([context], QUERY), short.forecast([context[-16:]], QUERY), rtol=1e-5
    )
    with pytest.raises(InputError, match="context_length: 65 is not within 1 and the model's 64"):
        load_forecaster(folder, context_length=65)


def test_missing_weights_name_the_remedy(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    with pytest.raises(InputError, match="no such folder"):
        find_weights(tmp_path / "gone")
    with pytest.raises(InputError, match=r"no config\.json"):
        find_weights(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["T5"]}))
    with pytest.raises(InputError, match=r"architectures \['T5'\]"):
        Chronos2.load(tmp_path)
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(InputError, match="not a readable Chronos-2 model"):
        Chronos2.load(tmp_path)
    torch.save({}, tmp_path / "pytorch_model.bin")  # a pickle: not read
    with pytest.raises(InputError, match=r"not a readable Chronos-2 model .*safetensors"):
        Chronos2.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(InputError, match="not a readable Chronos-2 model"):
        Chronos2.load(tmp_path)


def test_a_hub_without_network_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*names: str, **options: Any) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match="hf download amazon/chronos-2 --local-dir DIR"):
        load_forecaster("chronos2")


def test_a_hub_id_is_found_in_the_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def cached(name: str, *, local_files_only: bool = False, **options: Any) -> str:
        assert local_files_only
        assert name == "someone/their-chronos"
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", cached)
    assert load_forecaster("someone/their-chronos").name == "their-chronos"


ONE = ("config.json", "model.safetensors")
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
SEVERAL = ("config.json", "model.safetensors.index.json", *SHARDS)


@pytest.mark.parametrize(
    ("whole", "left"),
    [(ONE, ONE[:0]), (ONE, ONE[:1]), (ONE, ONE[1:]), (SEVERAL, SEVERAL[:2]), (SEVERAL, SEVERAL[:3])],
)
def test_a_download_cut_short_is_completed(
    whole: tuple[str, ...], left: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the cache holds of a model, one file of weights or several by an index."""
    import huggingface_hub

    index = json.dumps({"weight_map": {"a.weight": SHARDS[0], "b.weight": SHARDS[1]}})

    def fetch(names: tuple[str, ...]) -> None:
        for name in names:
            (tmp_path / name).write_text(index if name.endswith("index.json") else "{}")

    network = False

    def download(name: str, *, local_files_only: bool, **options: Any) -> str:
        if network and not local_files_only:
            fetch(whole)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    fetch(left)
    with pytest.raises(InputError, match="nor complete in the local cache"):
        find_weights("someone/their-chronos")
    network = True
    assert find_weights("someone/their-chronos") == tmp_path
    network = False
    assert find_weights("someone/their-chronos") == tmp_path


def test_a_damaged_index_of_weights_is_not_a_model(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(InputError, match="nor complete in the local cache"):
        find_weights("someone/their-chronos")


def test_a_configuration_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: cannot be read"):
        _check_architecture(tmp_path)
