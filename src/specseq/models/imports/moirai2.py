"""Moirai 2.0 from uni2ts, and the study's preconditioned version.

The study's module keeps learned taps and the finite inverse among its weights, but fixed taps only as the
settings that determine them.
"""

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.filters import Filter, design
from specseq.models.imports.sources import Source, plain
from specseq.models.moirai2.config import Moirai2Config, Preconditioning
from specseq.models.upstream import head_tensors, moirai2_tensors
from specseq.settings import plain as plain_settings
from specseq.settings import read
from specseq.training.foreign import Imported

_TAPS, _INVERSE, _RAW = "time_precondition_coeffs", "time_precondition_inverse_coeffs", "out_proj_raw."
_DESIGNED = ("chebyshev", "legendre")
_FIXED = {
    "scaling": True,
    "scaler_type": "std",
    "latent_precondition_enabled": False,
    "hint_embed_mode": "concat",
    "hint_normalize": False,
    "stu_enabled": False,
}


def import_moirai2(source: Source, taps: tuple[float, ...] | None = None) -> Imported:
    """A Moirai2 in our form, with its filter, finite inverse, second head and hints.

    Args:
        taps: taps of its filter, if the source does not hold them.

    Raises:
        InputError: weights and settings disagree, or belong to an unsupported variant.
    """
    for name, value in _FIXED.items():
        source.fixed(name, value)
    if source.training.get("patch_precondition_enabled"):
        raise InputError(source.where, "was trained on filtered patches, which no model here is")
    state = dict(source.tensors)
    learned, inverse = state.pop(_TAPS, None), state.pop(_INVERSE, None)
    raw = {name: state.pop(name) for name in list(state) if name.startswith(_RAW)}
    filters = _filters(source, learned, taps)
    hinted = bool(filters and source.settings.get("time_precondition_hint_mode"))
    config = _config(source, state, len(filters) if hinted else 0)
    tensors = moirai2_tensors(state, config, len(filters) if hinted else 0, source.where)
    ours = {f"backbone.{name}": value for name, value in tensors.items()}
    params: dict[str, Any] = {"study": "preconditioning", "seed": 0, "model": plain_settings(config)}
    mode: dict[str, Any] = {}
    if hinted:
        literal = [_literal(one) for one in filters]
        mode["hint"] = {"filters": literal, "dropout": float(source.settings.get("hint_dropout", 0.0))}
    elif filters:
        params["filter"] = _literal(filters[0])
        mode = _mode(source, learned is not None, inverse, bool(raw))
        ours["taps"] = learned if learned is not None else torch.from_numpy(filters[0].array)
        if inverse is not None:
            ours["inverse_taps"] = inverse
        if raw:
            heads = head_tensors(raw, _RAW.rstrip("."), source.where)
            ours |= {f"raw_head.{name}": value for name, value in heads.items()}
    extra = [name for name in (_INVERSE, *raw) if name in source.tensors]
    if extra and (hinted or not filters):
        fault = f"holds {extra[0]} without a filtered series to invert"
        raise InputError(source.where, fault, "give weights and settings of one model")
    if mode:
        params["preconditioning"] = mode
        read(Preconditioning, mode, f"{source.where}: settings").check_filter(params.get("filter"))
    notes = ("a missing point leaves the filter out here, where it counts as 0 there",) if filters else ()
    return Imported(ours, params, notes)


def _config(source: Source, state: dict[str, Tensor], hints: int) -> Moirai2Config:
    """Sizes, taken from the weights where possible and checked against the settings."""
    settings, where = source.settings, source.where
    for name in (
        "in_proj.hidden_layer.weight",
        "out_proj.output_layer.weight",
        "encoder.layers.0.ffn.fc1.weight",
    ):
        if name not in state:
            raise InputError(where, f"{name} is missing", "give the state dict of the whole module")
    width, inputs = state["in_proj.hidden_layer.weight"].shape
    outputs = len(state["out_proj.output_layer.weight"])
    levels = plain(settings.get("quantile_levels")) or list(Moirai2Config().quantile_levels)
    patch, rest = divmod(inputs, 2 + hints)
    if rest or outputs % (patch * len(levels)):
        fault = f"{inputs} inputs and {outputs} outputs are no whole patches of {len(levels)} levels"
        raise InputError(where, fault, "give settings and weights of one model")
    bias = state.get("encoder.layers.0.self_attn.var_attn_bias.emb.weight")
    found = {
        "d_model": width,
        "layers": len({name.split(".")[2] for name in state if name.startswith("encoder.layers.")}),
        "heads": None if bias is None else bias.shape[1],
        "d_ff": len(state["encoder.layers.0.ffn.fc1.weight"]),
        "patch": patch,
        "tokens": settings.get("max_seq_len", 512),
        "predicted": outputs // (patch * len(levels)),
        "quantile_levels": levels,
    }
    if "mask_ratio" in source.training:
        found["masked"] = float(source.training["mask_ratio"])
    theirs = {"layers": "num_layers", "patch": "patch_size", "predicted": "num_predict_token"}
    for name in ("d_model", "layers", "d_ff", "patch", "predicted"):
        source.check(theirs.get(name, name), found[name])
    return read(Moirai2Config, found, f"{where}: settings")


def _filters(source: Source, learned: Tensor | None, taps: tuple[float, ...] | None) -> list[Filter]:
    """The filter of the series, followed by those of further hints; empty for a baseline."""
    settings, prefix = source.settings, "time_precondition_"
    enabled = settings.get(f"{prefix}enabled", learned is not None or taps is not None)
    if not enabled:
        if learned is not None or taps is not None:
            raise InputError(source.where, "its settings say that it has no filter", "leave the taps out")
        return []
    stride = int(settings.get(f"{prefix}stride", 1))
    if learned is not None:
        if taps is not None:
            raise InputError(source.where, "holds learned taps of its own", "leave the taps out")
        values: Sequence[float] = learned.double().tolist()
    elif taps is not None:
        values = taps
    else:
        values = _given(source, settings.get(f"{prefix}coeffs_init")) or _designed(
            source, settings.get(f"{prefix}type", "chebyshev"), int(settings.get(f"{prefix}degree", 5))
        )
    filters = [_filter(values, stride)]
    for part in (
        str(settings.get(f"{prefix}extra_hints") or "").replace("|", ",").replace(";", ",").split(",")
    ):
        if part.strip():
            words = part.strip().split(":")
            family = words[0] if len(words) == 3 else settings.get(f"{prefix}type", "chebyshev")
            filters.append(_filter(_designed(source, family, int(words[-2])), int(words[-1])))
    return filters


def _given(source: Source, text: Any) -> list[float]:
    """Taps given in the settings as a list or as text; empty if there are none."""
    if isinstance(text, str):
        if text.strip() in ("", "null", "None"):
            return []
        try:
            text = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            raise InputError(source.where, f"its taps stand in {text!r}", "give them with --taps") from None
    values = [text] if isinstance(text, int | float) else list(text or ())
    return [float(value) for value in values]


def _designed(source: Source, family: str, degree: int) -> list[float]:
    if family not in _DESIGNED:
        fault = f"holds no taps, and those of {family} of degree {degree} follow from no closed form"
        raise InputError(source.where, fault, "give them with --taps")
    return list(design({"family": family, "degree": degree}).taps)


def _filter(values: Sequence[float], stride: int) -> Filter:
    """A filter with taps as the study's module keeps them, in float32."""
    return Filter("literal", tuple(float(np.float32(value)) for value in values), stride)


def _literal(filter: Filter) -> dict[str, Any]:
    return {"family": "literal", "taps": list(filter.taps), "stride": filter.stride}


def _mode(source: Source, learnable: bool, inverse: Tensor | None, raw: bool) -> dict[str, Any]:
    """The section ``preconditioning`` of a run that would train this model further."""
    settings, training = source.settings, source.training
    mode: dict[str, Any] = {"learnable": learnable}
    if learnable and (penalty := float(training.get("time_precondition_coeffs_lambda", 0.0))):
        mode["l2"] = penalty
    if raw:
        mode["dual_head"] = True
    if inverse is not None:
        source.check("time_precondition_inverse_length", len(inverse))
        mode["fir"] = {
            "weight": float(training.get("time_precondition_inverse_lambda", 0.1)),
            "length": len(inverse),
            "stride": int(settings.get("time_precondition_inverse_stride", 1)),
        }
    elif training.get("time_precondition_reverse_in_loss"):
        mode["reversal_loss"] = {}
    return mode
