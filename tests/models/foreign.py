"""Checkpoints in the layouts that uni2ts and the studies' code write, made from weights of our models."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai
from specseq.models.moirai2.batch import Preconditioner
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.model import Moirai2, PreconditionedMoirai2
from specseq.models.upstream import moirai2_tensors, moirai2_to_upstream, moirai_tensors, moirai_to_upstream

MOIRAI = MoiraiConfig(d_model=64, layers=4, max_length=32, parity=True)
MOIRAI2 = Moirai2Config(d_model=64, layers=2, tokens=32)
MOIRAI_SETTINGS = {
    "d_model": 64,
    "num_layers": 4,
    "patch_sizes": [8, 16, 32, 64, 128],
    "max_seq_len": 32,
    "attn_dropout_p": 0.0,
    "dropout_p": 0.0,
    "scaling": True,
    "distr_output": {
        "_target_": "uni2ts.distribution.mixture.MixtureOutput",
        "components": [
            {"_target_": "uni2ts.distribution.student_t.StudentTOutput"},
            {"_target_": "uni2ts.distribution.normal.NormalFixedScaleOutput", "scale": 0.001},
            {"_target_": "uni2ts.distribution.negative_binomial.NegativeBinomialOutput"},
            {"_target_": "uni2ts.distribution.log_normal.LogNormalOutput"},
        ],
    },
}
MOIRAI2_SETTINGS = {
    "d_model": 64,
    "d_ff": MOIRAI2.feed_forward,
    "num_layers": 2,
    "patch_size": 16,
    "max_seq_len": 32,
    "attn_dropout_p": 0.0,
    "dropout_p": 0.0,
    "scaling": True,
    "num_predict_token": 4,
    "quantile_levels": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9],
}


def moirai_from_upstream(state: dict[str, Tensor], config: MoiraiConfig) -> Moirai:
    """A model with the published layout of the heads and upstream's weights."""
    tensors, sizes = moirai_tensors(state, config)
    model = Moirai(sizes)
    model.load_state_dict(tensors)
    return model


def moirai2_from_upstream(state: dict[str, Tensor], config: Moirai2Config) -> Moirai2:
    """A model with upstream's weights."""
    model = Moirai2(config)
    model.load_state_dict(moirai2_tensors(state, config))
    return model


def moirai() -> Moirai:
    """A random MOIRAI."""
    torch.manual_seed(0)
    return Moirai(MOIRAI)


def moirai2(mode: Preconditioner | None = None) -> PreconditionedMoirai2:
    """A random Moirai2 with a mode of preconditioning."""
    return PreconditionedMoirai2(MOIRAI2, mode or Preconditioner(), seed=0)


def write_folder(folder: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Path:
    """As ``save_pretrained`` of the hub writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


class AttributeDict(dict[str, Any]):
    """The mapping in which Lightning keeps settings."""


def write_lightning(
    target: Path, tensors: dict[str, Tensor], settings: dict[str, Any], **training: Any
) -> Path:
    """As Lightning writes it: the module's tensors under ``module.``, its settings among the others."""
    content = {
        "epoch": 1,
        "global_step": 7,
        "pytorch-lightning_version": "2.6.6",
        "state_dict": {f"module.{name}": value for name, value in tensors.items()},
        "hyper_parameters": AttributeDict(module_kwargs=settings, lr=1e-3, **training),
    }
    torch.save(content, target)
    return target


def hybrid_state(mode: str = "shared") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A hybrid's weights as the study's code names them, and its units' tensors by layer and name."""
    state = moirai_to_upstream(moirai())
    torch.manual_seed(1)
    units = {}
    for layer in (0, 2):
        prefix = f"encoder.layers.{layer}."
        for name in [name for name in state if name.startswith(f"{prefix}self_attn.")]:
            del state[name]
        shapes = {"M_inputs": (64, 64), "M_filters": (8, 64)}
        if mode == "full":
            shapes = {"M_phi_plus": (3, 64, 64), "M_phi_minus": (3, 64, 64)}  # type: ignore[dict-item]
        for name, shape in shapes.items():
            units[f"{layer}.{name}"] = torch.randn(*shape) / 8
            state[f"{prefix}stu.stu_core.{name}"] = units[f"{layer}.{name}"]
    return state, units


def hybrid_config(mode: str = "shared") -> StuConfig:
    """The units of :func:`hybrid_state`."""
    return StuConfig("alternating", mode, 8 if mode == "shared" else 3, published=True)  # type: ignore[arg-type]


def moirai2_state(model: PreconditionedMoirai2) -> dict[str, Tensor]:
    """A preconditioned Moirai2's weights as the study's code names them."""
    state = moirai2_to_upstream(model.backbone)
    ours = model.backbone.state_dict()
    if "hint_hidden.weight" in ours:
        for part, theirs in (("hidden", "hidden_layer"), ("skip", "residual_layer")):
            whole = torch.cat([state[f"in_proj.{theirs}.weight"], ours[f"hint_{part}.weight"]], dim=1)
            state[f"in_proj.{theirs}.weight"] = whole
    if model.settings.learnable and model.taps is not None:
        state["time_precondition_coeffs"] = model.taps.detach().clone()
    if model.inverse_taps is not None:
        state["time_precondition_inverse_coeffs"] = model.inverse_taps.detach().clone()
    if model.raw_head is not None:
        parts = {"hidden": "hidden_layer", "out": "output_layer", "skip": "residual_layer"}
        for name, value in model.raw_head.state_dict().items():
            part, kind = name.split(".")
            state[f"out_proj_raw.{parts[part]}.{kind}"] = value
    return state
