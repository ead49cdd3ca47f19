"""Conversion of the zeta study's checkpoints (``best.pt``) to our spacing models.

The study's three models are one transformer with different positions and memory: ``SpacingMDN``,
``MemoryMDN`` with learnable slots, and the ``Flash`` form of ``MemoryMDN``. The rotary embedding of the
latter pairs neighbouring dimensions, where ours pairs the two halves of a head.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from specseq.errors import InputError, of_another_form
from specseq.settings import plain, read
from specseq.spacings.config import SpacingModelConfig
from specseq.spacings.model import SpacingModel, cap_norms
from specseq.training.foreign import Imported, check_finite, fields_of, read_torch, tensors_of

Series = Literal["spacings", "residuals"]

_TOP = {
    "embed.weight": "input_proj.weight",
    "embed.bias": "input_proj.bias",
    "norm.weight": "ln_f.weight",
    "norm.bias": "ln_f.bias",
    "head.weight": "mdn_head.proj.weight",
    "head.bias": "mdn_head.proj.bias",
}
_BLOCK = {
    "norm1.weight": "ln_1.weight",
    "norm1.bias": "ln_1.bias",
    "qkv.weight": "attn.c_attn.weight",
    "out.weight": "attn.c_proj.weight",
    "norm2.weight": "ln_2.weight",
    "norm2.bias": "ln_2.bias",
    "up.weight": "c_fc.weight",
    "down.weight": "c_proj.weight",
}
# Buffers determined by the sizes.
_BUFFERS = ("freqs_cis", "memory_bank._dummy")
_NAMES = {"n_layer": "blocks", "n_head": "heads", "n_embd": "width", "n_components": "components"}


def import_spacings(path: Path, series: Series | None = None) -> Imported:
    """Convert a checkpoint to one of our spacing models.

    Args:
        path: a file of ``torch.save`` with ``model`` and ``config``, or a state dict.
        series: what the model was trained on, since the file does not say; by default residuals s - 1 with
            rotary positions, as published, else spacings.

    Raises:
        InputError: the file is missing, damaged or of another model, or its weights do not fit its config.
    """
    with of_another_form(path, "give a checkpoint of the study"):
        return _model(path, series)


def _model(path: Path, series: Series | None) -> Imported:
    content = read_torch(path)
    state = tensors_of(content, path, "model", "state_dict")
    given = fields_of(fields_of(content).get("config"))
    if "mdn_head.head.weight" in state:
        fault = "its means and scales pass through softplus (mdn_head.head)"
        raise InputError(path, fault, "only heads with free means and bounded scales are built here")
    config, notes = _config(path, state, given, series)
    theirs = _names(config, any(name.startswith("blocks.0.mlp.") for name in state))
    known = {*theirs.values(), *_BUFFERS}
    extra = sorted(name for name in state if name not in known and not name.endswith("attn.mask"))
    if extra:
        raise InputError(path, f"holds {extra[0]}, which the model lacks", "give a checkpoint of the study")
    if missing := sorted(name for name in theirs.values() if name not in state):
        raise InputError(path, f"{missing[0]} is missing", "give the whole state dict")
    tensors = {ours: state[name].float() for ours, name in theirs.items()}
    check_finite(tensors, path)
    for name, value in SpacingModel(config).state_dict().items():
        if tensors[name].shape != value.shape:
            fault = f"{theirs[name]} is {list(tensors[name].shape)}, its config says {list(value.shape)}"
            raise InputError(path, fault, "give weights and config of one model")
    if config.positions == "rotary":
        for block in range(config.blocks):
            name = f"blocks.{block}.qkv.weight"
            tensors[name] = halves_from_pairs(tensors[name], config.heads)
    if config.slots:
        tensors["memory"] = tensors["memory"].clone()
        cap_norms(tensors["memory"], config.slot_norm)
    params = {"study": "zeta", "seed": 0, "model": plain(config)}
    return Imported(tensors, params, notes)


def halves_from_pairs(qkv: Tensor, heads: int) -> Tensor:
    """Query, key and value weights ``[3D, D]`` with the dimensions of each head's queries and keys reordered.

    A rotation of the neighbouring dimensions (2i, 2i + 1) becomes one of dimension i of the two halves.
    """
    q, k, v = qkv.chunk(3)
    turned = [part.unflatten(0, (heads, -1, 2)).transpose(1, 2).flatten(0, 2) for part in (q, k)]
    return torch.cat([*turned, v])


def _config(
    path: Path, state: Mapping[str, Tensor], given: Mapping[str, Any], series: Series | None
) -> tuple[SpacingModelConfig, tuple[str, ...]]:
    for name in ("input_proj.weight", "mdn_head.proj.weight"):
        if name not in state:
            raise InputError(path, f"{name} is missing", "give a checkpoint of the zeta study")
    slots = len(state["memory_bank.memory"]) if "memory_bank.memory" in state else 0
    rotary = "pos_emb.weight" not in state
    if rotary:
        length = len(state["freqs_cis"]) if "freqs_cis" in state else given.get("seq_len")
        if length is None:
            raise InputError(path, "says nowhere how long its window is", "give a checkpoint with its config")
    else:
        length = len(state["pos_emb.weight"]) - slots
    sizes = {
        "length": length,
        "width": len(state["input_proj.weight"]),
        "blocks": len({name.split(".")[1] for name in state if name.startswith("blocks.")}),
        "heads": given.get("n_head", 8),
        "components": len(state["mdn_head.proj.weight"]) // 3,
    }
    for theirs, ours in {"seq_len": "length", "n_memory": "slots", **_NAMES}.items():
        held = slots if ours == "slots" else sizes[ours]
        if given.get(theirs, held) != held:
            fault = f"its config says {theirs} {given[theirs]}, its weights {held}"
            raise InputError(path, fault, "give weights and config of one model")
    residuals = rotary if series is None else series == "residuals"
    settings = {
        **sizes,
        "dropout": float(given.get("dropout", 0.1)),
        "scale_min": float(given.get("sigma_min", 1e-4)),
        "scale_max": float(given.get("sigma_max", 10.0)),
        "residuals": residuals,
        "positions": "rotary" if rotary else "learned",
        "slots": slots,
    }
    if slots:
        settings |= {
            "slot_norm": float(given.get("memory_cap", 2.0)),
            "slot_dropout": float(given.get("memory_dropout", 0.1)),
            "attention_mask": "published",
        }
    stated = {"n_head", "sigma_min", "sigma_max"} <= given.keys()
    notes = (
        [] if stated else ["heads, and bounds of the scales, are assumed as published where no config says"]
    )
    if series is None:
        works = "residuals s - 1" if residuals else "spacings"
        notes.append(f"it is taken to work on {works}; --series says otherwise")
    if slots:
        notes.append(
            "under its attention mask memory sees the whole window, so its predictions see the future"
        )
    return read(SpacingModelConfig, settings, f"{path}: config"), tuple(notes)


def _names(config: SpacingModelConfig, nested: bool) -> dict[str, str]:
    """Our name of each tensor -> theirs; in ``nested`` blocks the feed-forward part is called mlp."""
    names = dict(_TOP)
    if config.positions == "learned":
        names["position"] = "pos_emb.weight"
    if config.slots:
        names["memory"] = "memory_bank.memory"
    for block in range(config.blocks):
        for ours, theirs in _BLOCK.items():
            inner = f"mlp.{theirs}" if nested and theirs.startswith("c_") else theirs
            names[f"blocks.{block}.{ours}"] = f"blocks.{block}.{inner}"
    return names
