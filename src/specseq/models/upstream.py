"""Weights of the upstream package (uni2ts) in our models and ours in upstream's, value for value.

Fused matrices of ours (query-key-value, gate-up, all heads) are upstream's separate ones laid together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from specseq.errors import InputError
from specseq.models.mixture import COMPONENTS
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.model import Moirai2

# Our name of each tensor, and upstream's names of its parts.
Names = Mapping[str, tuple[str, ...]]
_LAYER = {
    "mixer_norm": ("norm1",),
    "feed_forward_norm": ("norm2",),
    "feed_forward.gate_up": ("ffn.fc_gate", "ffn.fc1"),
    "feed_forward.down": ("ffn.fc2",),
}
_ATTENTION = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "query_norm": ("self_attn.q_norm",),
    "key_norm": ("self_attn.k_norm",),
    "variate_bias": ("self_attn.var_attn_bias.emb",),
    "out": ("self_attn.out_proj",),
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


def moirai_from_upstream(state: Mapping[str, Tensor], config: MoiraiConfig | None = None) -> Moirai:
    """A model with the published layout of the heads (``parity``) and upstream's weights.

    Args:
        state: ``MoiraiModule.state_dict()`` of uni2ts, or the same under the prefix ``module.``.
        config: sizes that tensors do not tell (``max_length``, ``patch_sizes``); the rest is read off.

    Raises:
        InputError: weights are missing, superfluous or of another shape.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    config = replace(
        config or MoiraiConfig(),
        d_model=_take(state, "mask_encoding.weight").shape[1],
        layers=len({name.split(".")[2] for name in state if name.startswith("encoder.layers.")}),
        heads=_take(state, "encoder.layers.0.self_attn.var_attn_bias.emb.weight").shape[1],
        d_ff=_take(state, "encoder.layers.0.ffn.fc1.weight").shape[0],
        parity=True,
        stu=StuConfig(),
    )
    model, names = Moirai(config), _moirai_names(config.layers)
    ours, largest = _merged(state, names), max(config.patch_sizes)
    heads = {kind: [f"param_proj.proj.{head}.{kind}" for head in _HEADS] for kind in ("weight", "bias")}
    for kind, parts in heads.items():
        tensors = [_take(state, part).unflatten(1, (-1, largest)) for part in parts]
        ours[f"heads.{kind}"] = torch.cat(tensors, dim=1)
    _load(model, ours, set(state) - _parts(names) - {part for parts in heads.values() for part in parts})
    return model


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
    theirs = _split(ours, _moirai_names(model.config.layers))
    sizes = [COMPONENTS] + [1] * (len(_HEADS) - 1)
    for kind in ("weight", "bias"):
        for head, value in zip(_HEADS, ours[f"heads.{kind}"].split(sizes, dim=1), strict=True):
            theirs[f"param_proj.proj.{head}.{kind}"] = value.flatten(1, 2).clone()
    return theirs


def moirai2_from_upstream(state: Mapping[str, Tensor], config: Moirai2Config | None = None) -> Moirai2:
    """A model with the weights of ``Moirai2Module.state_dict()`` of uni2ts.

    Args:
        state: upstream's weights.
        config: sizes; by default those of the published small model.

    Raises:
        InputError: weights are missing, superfluous or of another shape.
    """
    model = Moirai2(config or Moirai2Config())
    names = _moirai2_names(model.config.layers)
    _load(model, _merged(state, names), set(state) - _parts(names))
    return model


def moirai2_to_upstream(model: Moirai2) -> dict[str, Tensor]:
    """The state dict for uni2ts' ``Moirai2Module``; hints, which it does not have, are left out."""
    return _split(model.state_dict(), _moirai2_names(model.config.layers))


def _moirai_names(layers: int) -> Names:
    inputs = {f"input.{kind}": (f"in_proj.{kind}",) for kind in ("weight", "bias")}
    encoder = _encoder_names("encoder", layers, "mixer.attention")
    return {"mask_embedding": ("mask_encoding.weight",), **inputs, **dict(encoder)}


def _moirai2_names(layers: int) -> Names:
    blocks = {
        f"{ours}.{part}.{kind}": (f"{theirs}.{name}.{kind}",)
        for ours, theirs in _BLOCKS.items()
        for part, name in _LINEAR.items()
        for kind in ("weight", "bias")
    }
    return {**blocks, **dict(_encoder_names("decoder", layers, "mixer"))}


def _encoder_names(stack: str, layers: int, attention: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names of the tensors of the stack of layers ``stack``, whose attention is called ``attention``."""
    of_layer = {**{f"{attention}.{ours}": parts for ours, parts in _ATTENTION.items()}, **_LAYER}
    for layer in range(layers):
        for ours, parts in of_layer.items():
            theirs = tuple(f"encoder.layers.{layer}.{part}.weight" for part in parts)
            yield f"{stack}.blocks.{layer}.{ours}.weight", theirs
    yield f"{stack}.norm.weight", ("encoder.norm.weight",)


def _parts(names: Names) -> set[str]:
    return {part for parts in names.values() for part in parts}


def _take(state: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise InputError("upstream weights", f"{name} is missing", "give the state dict of the whole module")
    return state[name]


def _merged(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    return {ours: torch.cat([_take(state, part) for part in parts]) for ours, parts in names.items()}


def _split(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    chunks = ((parts, state[ours].chunk(len(parts))) for ours, parts in names.items())
    return {
        part: chunk.clone() for parts, chunks_ in chunks for part, chunk in zip(parts, chunks_, strict=True)
    }


def _load(model: nn.Module, ours: dict[str, Tensor], superfluous: set[str]) -> None:
    if superfluous:
        raise InputError(
            "upstream weights", f"hold {min(superfluous)}, which the model lacks", "check its sizes"
        )
    for name, value in model.state_dict().items():
        if ours[name].shape != value.shape:
            fault = f"{name} would be {list(ours[name].shape)}, not {list(value.shape)}"
            raise InputError("upstream weights", fault, "check the sizes")
    model.load_state_dict(ours)
