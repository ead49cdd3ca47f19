"""Foreign forecasters: layouts written out, read back value for value, and refused where they are damaged."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from specseq.errors import InputError
from specseq.models.imports import import_forecaster
from specseq.models.kinds import load_model
from specseq.models.moirai2.batch import Preconditioner
from specseq.models.moirai2.forecaster import Moirai2Forecaster
from specseq.models.protocol import Query
from specseq.models.registry import load_forecaster
from specseq.models.stu.hankel import hankel_matrix
from specseq.models.stu.segments import segment_tables
from specseq.models.upstream import moirai2_to_upstream, moirai_to_upstream
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.prepare import prepare_store
from specseq.training.checkpoint import load_weights
from specseq.training.foreign import save_import
from specseq.training.loop import train
from tests.models import foreign

QUERY = Query(20, (0.1, 0.5, 0.9), freq="H")
CONTEXT = [np.sin(np.arange(150) / 4).astype(np.float32) * 3 + 10]


def forecast(source: str | Path) -> np.ndarray:
    return load_forecaster(source, device="cpu").forecast(CONTEXT, QUERY)


@pytest.fixture
def moirai_folder(tmp_path: Path) -> Path:
    return foreign.write_folder(
        tmp_path / "theirs", moirai_to_upstream(foreign.moirai()), foreign.MOIRAI_SETTINGS
    )


def test_a_moirai_keeps_every_weight(moirai_folder: Path, tmp_path: Path) -> None:
    imported = import_forecaster(moirai_folder, "moirai")
    for name, value in foreign.moirai().state_dict().items():
        assert torch.equal(imported.tensors[name], value), name
    assert imported.params["model"]["max_length"] == 32
    save_import(tmp_path / "ours", imported, "theirs")
    assert np.array_equal(forecast(tmp_path / "ours"), forecast(moirai_folder))
    assert load_weights(tmp_path / "ours" / "weights.safetensors")[1] == imported.params


def test_what_a_lightning_checkpoint_says_of_other_objects_is_not_run(tmp_path: Path) -> None:
    class Loud:
        def __reduce__(self) -> Any:
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    state = moirai_to_upstream(foreign.moirai())
    path = foreign.write_lightning(
        tmp_path / "last.ckpt", state, foreign.MOIRAI_SETTINGS, loss_func=Loud(), path=Path("somewhere")
    )
    imported = import_forecaster(path)
    assert imported.params["model"]["patch_sizes"] == [8, 16, 32, 64, 128]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", ["shared", "full"])
def test_the_hybrid_convolves_as_published(mode: str, tmp_path: Path) -> None:
    """Its units against the published transform written out: two branches, circular at a power of two."""
    state, units = foreign.hybrid_state(mode)
    settings = {**foreign.MOIRAI_SETTINGS, "stu_layer_pattern": "alternating", "use_approx": mode != "full"}
    settings["num_eigh"] = 8 if mode == "shared" else 3
    imported = import_forecaster(foreign.write_lightning(tmp_path / "stu.ckpt", state, settings))
    assert "computed again" in imported.notes[-1]
    model = load_model(save_import(tmp_path, imported, "stu"))
    assert model.config.stu == foreign.hybrid_config(mode)
    values, vectors = np.linalg.eigh(hankel_matrix(32))
    count = model.config.stu.filters
    phi = (vectors[:, -count:] * np.abs(values[-count:]) ** 0.25).astype(np.float32)
    x = np.random.default_rng(0).standard_normal((13, 64)).astype(np.float32)
    signs = (-1.0) ** np.arange(13)[:, None]

    def circular(u: np.ndarray, h: np.ndarray) -> np.ndarray:
        product = np.fft.rfft(u, 16, axis=0) * np.fft.rfft(h[:13], 16, axis=0)
        return np.fft.irfft(product, 16, axis=0)[:13]

    if mode == "shared":
        u, h = x @ units["2.M_inputs"].numpy(), phi @ units["2.M_filters"].numpy()
        expected = circular(u, h) + signs * circular(signs * u, h)
    else:
        expected = np.zeros_like(x)
        for k in range(count):
            h = np.repeat(phi[:, k : k + 1], 64, axis=1)
            expected = expected + circular(x, h) @ units["2.M_phi_plus"][k].numpy()
            expected = expected + signs * circular(signs * x, h) @ units["2.M_phi_minus"][k].numpy()
    unit = model.encoder.blocks[2].mixer.unit
    with torch.no_grad():
        found = unit(torch.from_numpy(x), segment_tables(np.array([0]), np.array([13])))
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


PRECONDITIONED = {
    "learned": (
        {
            "filter": {"family": "chebyshev", "degree": 4, "stride": 16},
            "preconditioning": {"learnable": True},
        },
        {"learnable": True},
    ),
    "inverse": (
        {
            "filter": {"family": "chebyshev", "degree": 4, "stride": 16},
            "preconditioning": {"fir": {"weight": 0.2, "length": 64, "stride": 2}},
        },
        {"inverse_enabled": True, "inverse_length": 64, "inverse_stride": 2},
    ),
    "two heads": (
        {"filter": {"family": "legendre", "degree": 2}, "preconditioning": {"dual_head": True}},
        {"dual_head": True},
    ),
    "hints": (
        {
            "preconditioning": {
                "hint": {
                    "filters": [
                        {"family": "chebyshev", "degree": 4, "stride": 16},
                        {"family": "chebyshev", "degree": 6},
                    ],
                    "dropout": 0.1,
                }
            }
        },
        {"hint_mode": True, "extra_hints": "6:1"},
    ),
}


@pytest.mark.parametrize("name", PRECONDITIONED)
def test_a_preconditioned_moirai2_forecasts_as_before(name: str, tmp_path: Path) -> None:
    params, theirs = PRECONDITIONED[name]
    torch.manual_seed(2)
    model = foreign.moirai2(Preconditioner.of(params))
    with torch.no_grad():
        for parameter in (model.taps, model.inverse_taps):
            if isinstance(parameter, torch.nn.Parameter):
                parameter += 0.05 * torch.randn_like(parameter)
    spec = params.get("filter") or params["preconditioning"]["hint"]["filters"][0]
    settings = {
        **foreign.MOIRAI2_SETTINGS,
        "time_precondition_enabled": True,
        "time_precondition_type": spec["family"],
        "time_precondition_degree": spec["degree"],
        "time_precondition_stride": spec.get("stride", 1),
        **{f"time_precondition_{key}": value for key, value in theirs.items()},
        "hint_dropout": 0.1 if "hint_mode" in theirs else 0.0,
    }
    path = foreign.write_lightning(
        tmp_path / "last.ckpt",
        foreign.moirai2_state(model),
        settings,
        mask_ratio=0.4,
        time_precondition_inverse_lambda=0.2,
    )
    imported = import_forecaster(path, "moirai2")
    assert imported.params["model"]["masked"] == 0.4
    ours = model.state_dict()
    assert set(imported.tensors) == set(ours)
    for tensor, value in ours.items():
        torch.testing.assert_close(imported.tensors[tensor], value, rtol=1e-7, atol=1e-7)
    again = load_model(save_import(tmp_path, imported, "x"))
    assert again.settings.fir == model.settings.fir
    assert again.settings.hint is None or again.settings.hint.dropout == 0.1
    np.testing.assert_allclose(
        forecast(path), Moirai2Forecaster(model, device="cpu").forecast(CONTEXT, QUERY), rtol=1e-5, atol=1e-5
    )


def test_taps_that_a_file_does_not_hold_are_asked_for(tmp_path: Path) -> None:
    settings = {
        **foreign.MOIRAI2_SETTINGS,
        "time_precondition_enabled": True,
        "time_precondition_type": "lyapunov",
        "time_precondition_degree": 2,
    }
    folder = foreign.write_folder(tmp_path, moirai2_to_upstream(foreign.moirai2().backbone), settings)
    with pytest.raises(InputError, match=r"holds no taps, and those of lyapunov of degree 2 .*--taps"):
        import_forecaster(folder)
    given = import_forecaster(folder, taps=(0.0, -0.25))
    assert given.params["filter"] == {"family": "literal", "taps": [0.0, -0.25], "stride": 1}
    listed = foreign.write_folder(
        tmp_path,
        load_file(folder / "model.safetensors"),
        {**settings, "time_precondition_coeffs_init": "[0.5, -0.25]"},
    )
    assert import_forecaster(listed).params["filter"]["taps"] == [0.5, -0.25]


DAMAGES = {
    "missing": (lambda state: state.pop("encoder.norm.weight"), "encoder.norm.weight is missing"),
    "extra": (
        lambda state: state.update({"encoder.gate": torch.ones(2)}),
        "holds encoder.gate, which the model",
    ),
    "shape": (
        lambda state: state.update({"encoder.layers.1.norm1.weight": torch.ones(7)}),
        r"would be \[7\], not \[64\]",
    ),
    "nan": (
        lambda state: state.update({"encoder.norm.weight": torch.full((64,), float("nan"))}),
        "encoder.norm.weight holds values that are not finite",
    ),
    "experts": (
        lambda state: state.update({"encoder.layers.0.ffn.experts.0.fc1.weight": torch.ones(2)}),
        "MOIRAI-MoE",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_weights_are_refused_by_name(damage: str, tmp_path: Path) -> None:
    change, message = DAMAGES[damage]
    state = moirai_to_upstream(foreign.moirai())
    change(state)
    folder = foreign.write_folder(tmp_path, state, foreign.MOIRAI_SETTINGS)
    with pytest.raises(InputError, match=message) as caught:
        import_forecaster(folder)
    assert "delete" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("d_model", 128, "its settings say d_model 128, its weights 64"),
        ("num_layers", 6, "its settings say num_layers 6, its weights 4"),
        ("scaling", False, "scaling is False, and only True is built here"),
        ("patch_sizes", [8, 16], "check the"),
        ("patch_sizes", "all", "patch_sizes"),
        (
            "distr_output",
            {"_target_": "uni2ts.distribution.StudentTOutput"},
            "its distribution is StudentTOutput",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    moirai_folder: Path, setting: str, value: Any, message: str
) -> None:
    path = moirai_folder / "config.json"
    path.write_text(json.dumps({**foreign.MOIRAI_SETTINGS, setting: value}))
    with pytest.raises(InputError, match=re.escape(message)):
        import_forecaster(moirai_folder)


def test_files_that_are_no_checkpoints_are_refused(moirai_folder: Path, tmp_path: Path) -> None:
    whole = foreign.write_lightning(
        tmp_path / "last.ckpt", moirai_to_upstream(foreign.moirai()), foreign.MOIRAI_SETTINGS
    ).read_bytes()
    for content in (b"", b"words", whole[: len(whole) // 2]):
        (tmp_path / "bad.ckpt").write_bytes(content)
        with pytest.raises(InputError, match="give an intact copy") as caught:
            import_forecaster(tmp_path / "bad.ckpt")
        assert "delete" not in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        load_forecaster("runs/gone.ckpt")
    torch.save({"state_dict": {"weight": torch.ones(2)}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="holds no MOIRAI"):
        import_forecaster(tmp_path / "other.ckpt")
    torch.save({"optimizer": 1}, tmp_path / "none.ckpt")
    with pytest.raises(InputError, match="holds no state dict, but optimizer"):
        import_forecaster(tmp_path / "none.ckpt")
    with pytest.raises(InputError, match="holds moirai, not moirai2; import it as moirai"):
        import_forecaster(moirai_folder, "moirai2")
    (moirai_folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: no such file"):
        import_forecaster(moirai_folder)


@pytest.mark.parametrize(
    "weights",
    [
        {"in_proj.weight": torch.zeros(4), "mask_encoding.weight": torch.zeros(1)},
        {
            name: torch.zeros(4)
            for name in (
                "in_proj.hidden_layer.weight",
                "out_proj.output_layer.weight",
                "encoder.layers.0.ffn.fc1.weight",
            )
        },
    ],
)
def test_weights_of_other_shapes_are_one_line(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({"state_dict": weights}, tmp_path / "x.ckpt")
    with pytest.raises(InputError, match=r"x\.ckpt: is not built as expected \(\w+Error: .*; give weights"):
        import_forecaster(tmp_path / "x.ckpt")


def test_the_command_writes_a_folder_that_scores(moirai_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "specseq.cli", "import", "moirai", str(moirai_folder), "--out"]
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "written:" in done.stdout
    assert forecast(tmp_path / "out").shape == (1, 3, 20)
    again = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, text=True)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "holds weights already" in again.stderr


@pytest.fixture
def store(tmp_path: Path) -> Path:
    start = np.datetime64("2020-01-01T00:00:00")
    series = (10 + np.sin(np.arange(700) / 4)).astype(np.float32)
    items = [Item(f"item{number}", start, "H", series + number) for number in range(4)]
    write_folder(tmp_path / "corpus" / "sines", items, licence="CC0", source="tests")
    prepare_store(tmp_path / "corpus", tmp_path / "store", min_length=16)
    return tmp_path / "store"


def test_training_goes_on_from_a_moirai(moirai_folder: Path, store: Path, tmp_path: Path) -> None:
    from specseq.models.moirai.training import build

    imported = import_forecaster(moirai_folder)
    training = {"steps": 1, "batch": 1, "tensorboard": False}
    params = {"study": "stu", "seed": 0, "model": imported.params["model"], "training": training}
    begun = build(params, {"store": store, "initial": moirai_folder / "model.safetensors"})
    for name, value in begun.model.state_dict().items():
        assert torch.equal(value, imported.tensors[name]), name
    assert train(begun, params, tmp_path / "run", "digest").step == 1
    other = {**params, "model": {**imported.params["model"], "parity": False}}
    with pytest.raises(InputError, match=r"model\.parity: is False, the weights of .* have True"):
        build(other, {"store": store, "initial": moirai_folder / "model.safetensors"})


def test_training_goes_on_from_a_moirai2_with_a_filter_of_its_own(store: Path, tmp_path: Path) -> None:
    from specseq.models.moirai2.training import build

    state = moirai2_to_upstream(foreign.moirai2().backbone)
    folder = foreign.write_folder(tmp_path / "theirs", state, foreign.MOIRAI2_SETTINGS)
    imported = import_forecaster(folder)
    params = {
        "study": "preconditioning",
        "seed": 0,
        "model": imported.params["model"],
        "filter": {"family": "chebyshev", "degree": 2},
        "training": {"steps": 1, "batch": 1, "tensorboard": False},
        "initial": {"checkpoint": str(folder)},
    }
    begun = build(params, {"store": store})
    for name, value in imported.tensors.items():
        assert torch.equal(begun.model.state_dict()[name], value), name
    assert train(begun, params, tmp_path / "run", "digest").step == 1
