"""Forecasters by name and from weights files."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from specseq.errors import InputError
from specseq.models import kinds
from specseq.models.kinds import Kind
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
    module: Any = types.ModuleType("specseq.models.made_up")
    module.model_of = lambda params: torch.nn.ParameterDict({"w": torch.zeros(3)})
    module.Forecaster = lambda model, **options: (model["w"].tolist(), options)
    monkeypatch.setitem(sys.modules, "specseq.models.made_up", module)
    kind = Kind("made_up:model_of", "made_up:Forecaster")
    monkeypatch.setitem(kinds.KINDS, "made_up", kind)
    params = {"params": json.dumps({"model": {"kind": "made_up"}})}
    file = weights(tmp_path / "weights.safetensors", params)
    name = tmp_path.name
    assert load_forecaster(file, context_length=7) == ([1, 1, 1], {"name": name, "context_length": 7})
    assert load_forecaster(tmp_path) == ([1, 1, 1], {"name": name})
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
    with pytest.raises(InputError, match="model kind 'mdn' is unknown; known: moirai, moirai2"):
        load_forecaster(file)
    weights(file, None)
    with pytest.raises(InputError, match=r"x\.safetensors: was not written by a run of this package"):
        load_forecaster(file)
    file.write_bytes(b"\xff" * 40)
    with pytest.raises(InputError, match="not a readable safetensors file"):
        load_forecaster(file)


def test_every_kind_names_parts_that_are_there() -> None:
    for name, kind in kinds.KINDS.items():
        parts = {field: kinds._part(place) for field, place in vars(kind).items()}
        assert parts["model"]({"model": {"kind": name, "d_model": 8, "layers": 1, "heads": 1}})
