"""Conversion of weights between the upstream package (uni2ts) and our models, value for value.

Our fused matrices (query-key-value, gate-up, all heads) are concatenations of upstream's separate ones.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.models.mixture_density import COMPONENTS
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.model import Moirai2
from specseq.models.stu.hankel import hankel_matrix

# Our name of each tensor, and upstream's names of its parts.
Names = Mapping[str, tuple[str, ...]]
_LAYER = {
    "mixer_norm.weight": ("norm1.weight",),
    "feed_forward_norm.weight": ("norm2.weight",),
    "feed_forward.gate_up.weight": ("ffn.fc_gate.weight", "ffn.fc1.weight"),
    "feed_forward.down.weight": ("ffn.fc2.weight",),
}
_ATTENTION = {
    "qkv.weight": ("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
    "query_norm.weight": ("self_attn.q_norm.weight",),
    "key_norm.weight": ("self_attn.k_norm.weight",),
    "variate_bias.weight": ("self_attn.var_attn_bias.emb.weight",),
    "out.weight": ("self_attn.out_proj.weight",),
}
_UNIT = {"inputs_DI": ("stu.stu_core.M_inputs",), "plus_KI": ("stu.stu_core.M_filters",)}
_FULL_UNIT = {
    "plus_KDD": ("stu.stu_core.M_phi_plus",),
    "minus_KDD": ("stu.stu_core.M_phi_minus",),
}
_BLOCKS = {"embed": "in_proj", "head": "out_proj"}
_LINEAR = {"hidden": "hidden_layer", "out": "output_layer", "skip": "residual_layer"}
_HEADS = (
    "weights_logits",
    "components.0.df",
    "components.0.loc",
    "components.0.scale",
    "components.1.loc",
    "components.2.total_count",
    "components.2.logits",
    "components.3.loc",
    "components.3.scale",
)


def moirai_tensors(
    state: Mapping[str, Tensor], config: MoiraiConfig, where: object = "upstream weights"
) -> tuple[dict[str, Tensor], MoiraiConfig]:
    """Upstream's weights as our tensors, and the model's sizes.

    Layers with spectral units are those of the published hybrid: both branches share a combination of the
    filters (``shared``), or every filter has its matrices (``full``), and the transform is circular. The
    filters are not among upstream's weights. They are recomputed as upstream does, since its learned
    combinations refer to that order and those signs.

    Args:
        state: ``state_dict()`` of uni2ts' ``MoiraiModule``, or of the study's hybrid of it; or the same under
            the prefix ``module.``.
        config: sizes that tensors do not tell (``max_length``, ``patch_sizes``); the rest is read off.

    Raises:
        InputError: weights are missing, superfluous or of another shape.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    layers = len({name.split(".")[2] for name in state if name.startswith("encoder.layers.")})
    stu = _units(state, layers, where)
    bias = next((name for name in sorted(state) if name.endswith("self_attn.var_attn_bias.emb.weight")), "")
    width = _take(state, "mask_encoding.weight", where).shape[1]
    config = replace(
        config,
        d_model=width,
        layers=layers,
        heads=state[bias].shape[1] if bias else None,
        d_ff=_take(state, "encoder.layers.0.ffn.fc1.weight", where).shape[0],
        parity=True,
        stu=stu,
    )
    names = _moirai_names(config)
    ours, largest = _merged(state, names, where), max(config.patch_sizes)
    heads = {kind: [f"param_proj.proj.{head}.{kind}" for head in _HEADS] for kind in ("weight", "bias")}
    for kind, parts in heads.items():
        tensors = [_take(state, part, where) for part in parts]
        if odd := next(
            (part for part, value in zip(parts, tensors, strict=True) if value.shape[1] % largest), ""
        ):
            raise InputError(where, f"{odd} has no whole patches of {largest}", "check the patch sizes")
        ours[f"heads.{kind}"] = torch.cat([value.unflatten(1, (-1, largest)) for value in tensors], dim=1)
    for layer in range(layers):
        if config.stu.mixing(layer, layers) == "stu":
            ours[f"encoder.blocks.{layer}.mixer.unit.phi_LK"] = published_filters(
                config.max_length, config.stu.filters
            )
    with torch.device("meta"):
        expected = Moirai(config)
    _check(
        expected,
        ours,
        set(state) - _parts(names) - {part for parts in heads.values() for part in parts},
        where,
    )
    return ours, config


def moirai_to_upstream(model: Moirai) -> dict[str, Tensor]:
    """The state dict for uni2ts' ``MoiraiModule``.

    Raises:
        InputError: the model has spectral layers or the corrected heads, which upstream cannot express.
    """
    if model.config.stu.pattern != "attention":
        raise InputError("model.stu.pattern", "upstream has attention only", "convert the baseline")
    if not model.config.parity:
        raise InputError("model.parity", "upstream has the published heads only", "train with parity: true")
    ours = model.state_dict()
    theirs = _split(ours, _moirai_names(model.config))
    sizes = [COMPONENTS] + [1] * (len(_HEADS) - 1)
    for kind in ("weight", "bias"):
        for head, value in zip(_HEADS, ours[f"heads.{kind}"].split(sizes, dim=1), strict=True):
            theirs[f"param_proj.proj.{head}.{kind}"] = value.flatten(1, 2).clone()
    return theirs


def moirai2_tensors(
    state: Mapping[str, Tensor], config: Moirai2Config, hints: int = 0, where: object = "upstream weights"
) -> dict[str, Tensor]:
    """Upstream's Moirai2 weights as our tensors.

    Args:
        hints: hint channels; their points follow those of values and mask in upstream's input.

    Raises:
        InputError: weights are missing, superfluous or of another shape.
    """
    names = _moirai2_names(config.layers)
    ours, points = _merged(state, names, where), 2 * config.patch
    if hints:
        for part in ("hidden", "skip"):
            whole = ours[f"embed.{part}.weight"]
            ours[f"embed.{part}.weight"], ours[f"hint_{part}.weight"] = whole[:, :points], whole[:, points:]
    with torch.device("meta"):
        expected = Moirai2(config, hints)
    _check(expected, ours, set(state) - _parts(names), where)
    return ours


def head_tensors(
    state: Mapping[str, Tensor], theirs: str, where: object = "upstream weights"
) -> dict[str, Tensor]:
    """The tensors of our residual block from upstream's block called ``theirs``."""
    return _merged(state, _block_names(theirs), where)


def moirai2_to_upstream(model: Moirai2) -> dict[str, Tensor]:
    """The state dict for uni2ts' ``Moirai2Module``, without hints, which it does not have."""
    return _split(model.state_dict(), _moirai2_names(model.config.layers))


def published_filters(length: int, count: int) -> Tensor:
    """``[L, K]``: the spectral filters as the published code computes them, smallest eigenvalue first.

    Computed in float64 and rounded to float32, as there. Their signs depend on the linear algebra library.
    """
    values, vectors = np.linalg.eigh(hankel_matrix(length))
    filters = vectors[:, -count:] * np.abs(values[-count:]) ** 0.25
    return torch.from_numpy(filters.astype(np.float32).astype(np.float64))


def _units(state: Mapping[str, Tensor], layers: int, where: object) -> StuConfig:
    """Which layers have spectral units, and of which form."""
    core = "stu.stu_core."
    spectral = {int(name.split(".")[2]) for name in state if core in name}
    if not spectral:
        return StuConfig()
    full = any(name.endswith(f"{core}M_phi_plus") for name in state)
    filters = next(
        value.shape[0]
        for name, value in state.items()
        if name.endswith((f"{core}M_filters", f"{core}M_phi_plus"))
    )
    for pattern in ("alternating", "first_half", "last_half", "stu_only"):
        stu = StuConfig(pattern, "full" if full else "shared", filters, published=True)
        if spectral == {layer for layer in range(layers) if stu.mixing(layer, layers) == "stu"}:
            return stu
    raise InputError(where, f"spectral units in layers {sorted(spectral)} of {layers}", "no pattern of ours")


def _moirai_names(config: MoiraiConfig) -> Names:
    names: dict[str, tuple[str, ...]] = {"mask_embedding": ("mask_encoding.weight",)}
    for kind in ("weight", "bias"):
        names[f"input.{kind}"] = (f"in_proj.{kind}",)
    for layer in range(config.layers):
        mixer: Names
        if config.stu.mixing(layer, config.layers) == "stu":
            unit: Names = _FULL_UNIT if config.stu.mode == "full" else _UNIT
            mixer = {f"mixer.unit.{ours}": parts for ours, parts in unit.items()}
        else:
            mixer = {f"mixer.attention.{ours}": parts for ours, parts in _ATTENTION.items()}
        names |= _layer_names("encoder", layer, mixer)
    return {**names, "encoder.norm.weight": ("encoder.norm.weight",)}


def _moirai2_names(layers: int) -> Names:
    names: dict[str, tuple[str, ...]] = {}
    for ours, theirs in _BLOCKS.items():
        names |= {f"{ours}.{name}": parts for name, parts in _block_names(theirs).items()}
    mixer = {f"mixer.{ours}": parts for ours, parts in _ATTENTION.items()}
    for layer in range(layers):
        names |= _layer_names("decoder", layer, mixer)
    return {**names, "decoder.norm.weight": ("encoder.norm.weight",)}


def _block_names(theirs: str) -> dict[str, tuple[str, ...]]:
    """Names of the tensors of upstream's residual block called ``theirs``."""
    kinds = ("weight", "bias")
    return {
        f"{part}.{kind}": (f"{theirs}.{name}.{kind}",) for part, name in _LINEAR.items() for kind in kinds
    }


def _layer_names(stack: str, layer: int, mixer: Names) -> dict[str, tuple[str, ...]]:
    """Names of the tensors of one layer in the stack ``stack``."""
    return {
        f"{stack}.blocks.{layer}.{ours}": tuple(f"encoder.layers.{layer}.{part}" for part in parts)
        for ours, parts in {**mixer, **_LAYER}.items()
    }


def _parts(names: Names) -> set[str]:
    return {part for parts in names.values() for part in parts}


def _take(state: Mapping[str, Tensor], name: str, where: object) -> Tensor:
    if name not in state:
        raise InputError(where, f"{name} is missing", "give the state dict of the whole module")
    return state[name]


def _merged(state: Mapping[str, Tensor], names: Names, where: object) -> dict[str, Tensor]:
    ours: dict[str, Tensor] = {}
    for name, parts in names.items():
        tensors = [_take(state, part, where) for part in parts]
        if len({value.shape[1:] for value in tensors}) > 1:
            raise InputError(where, f"{parts[0]} and {parts[-1]} have unlike shapes", "check the sizes")
        ours[name] = torch.cat(tensors) if len(tensors) > 1 else tensors[0]
    return ours


def _split(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    chunks = ((parts, state[ours].chunk(len(parts))) for ours, parts in names.items())
    return {
        part: chunk.clone() for parts, chunks_ in chunks for part, chunk in zip(parts, chunks_, strict=True)
    }


def _check(expected: nn.Module, ours: Mapping[str, Tensor], superfluous: set[str], where: object) -> None:
    """Refuse weights that are missing, superfluous or of the wrong shape for the expected model."""
    if superfluous:
        raise InputError(where, f"holds {min(superfluous)}, which the model lacks", "check its sizes")
    for name, value in expected.state_dict().items():
        if ours[name].shape != value.shape:
            fault = f"{name} would be {list(ours[name].shape)}, not {list(value.shape)}"
            raise InputError(where, fault, "check the sizes")
