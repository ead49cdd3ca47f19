"""Forecasters by name and from weights files."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from specseq.errors import InputError
from specseq.models import registry
from specseq.models.registry import load_forecaster, read_params
from specseq.models.seasonal_naive import SeasonalNaive


def weights(path: Path, metadata: dict[str, str] | None) -> Path:
    save_file({"w": np.ones(3, np.float32)}, path, metadata=metadata)
    return path


def test_naive_forecasters_follow_their_benchmark() -> None:
    assert load_forecaster("seasonal_naive") == SeasonalNaive()
    assert load_forecaster("seasonal_naive", "fev") == SeasonalNaive.fev()
    assert load_forecaster("naive").name == "naive"
    with pytest.raises(InputError, match="takes no option batch_size"):
        load_forecaster("naive", batch_size=3)
    with pytest.raises(InputError, match="option speed is unknown"):
        load_forecaster("naive", speed=3)


def test_trained_models_are_loaded_by_their_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("made_up_model")
    module.load = lambda path, **options: (path, options)
    monkeypatch.setitem(sys.modules, "made_up_model", module)
    monkeypatch.setitem(registry.KINDS, "made_up", "made_up_model:load")
    params = {"params": json.dumps({"model": {"kind": "made_up"}})}
    file = weights(tmp_path / "weights.safetensors", params)
    assert load_forecaster(file, context_length=7) == (file, {"context_length": 7})
    assert load_forecaster(tmp_path) == (file, {})
    assert read_params(file) == {"model": {"kind": "made_up"}}


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("batch_size", 0, "batch_size: 0 is not a positive number"),
        ("context_length", -1, "context_length: -1 is not a positive number"),
        ("device", "abacus", "device: unknown device 'abacus'; give cpu or cuda"),
    ],
)
def test_impossible_options_are_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_forecaster("chronos2", **{option: value})


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    with pytest.raises(InputError, match=r"x\.safetensors: no such file"):
        load_forecaster(file)
    weights(file, {"params": json.dumps({"model": {"kind": "mdn"}})})
    with pytest.raises(InputError, match="model kind 'mdn' forecasts no series"):
        load_forecaster(file)
    weights(file, None)
    with pytest.raises(InputError, match=r"x\.safetensors: was not written by a run of this package"):
        load_forecaster(file)
    file.write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_forecaster(file)


def test_every_kind_names_a_loader() -> None:
    for kind, place in registry.KINDS.items():
        module, function = place.split(":")
        assert module.startswith("specseq.models."), kind
        assert function.isidentifier()
