"""Weights of the upstream package (uni2ts ``MoiraiModule``) in ours, and ours in upstream's, value for value.

The fused matrices here (query-key-value, gate-up, all heads) are upstream's separate ones laid together.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.models.mixture import COMPONENTS
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai

HEADS = (
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
_PLAIN = {"mask_embedding": "mask_encoding.weight", "encoder.norm.weight": "encoder.norm.weight"}
_PLAIN |= {f"input.{kind}": f"in_proj.{kind}" for kind in ("weight", "bias")}
_LAYER = {
    "mixer.attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mixer.attention.query_norm": ("self_attn.q_norm",),
    "mixer.attention.key_norm": ("self_attn.k_norm",),
    "mixer.attention.variate_bias": ("self_attn.var_attn_bias.emb",),
    "mixer.attention.out": ("self_attn.out_proj",),
    "mixer_norm": ("norm1",),
    "feed_forward_norm": ("norm2",),
    "feed_forward.gate_up": ("ffn.fc_gate", "ffn.fc1"),
    "feed_forward.down": ("ffn.fc2",),
}


def _matrices(layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Our name of each matrix with upstream's names of its parts, in order along the first axis."""
    for ours, theirs in _PLAIN.items():
        yield ours, (theirs,)
    for layer in range(layers):
        for ours, parts in _LAYER.items():
            names = tuple(f"encoder.layers.{layer}.{part}.weight" for part in parts)
            yield f"encoder.blocks.{layer}.{ours}.weight", names


def from_upstream(state: Mapping[str, Tensor], config: MoiraiConfig | None = None) -> Moirai:
    """A model with the published heads' layout (``parity``) and upstream's weights.

    Args:
        state: ``MoiraiModule.state_dict()`` of uni2ts, or the same under the prefix ``module.``.
        config: sizes that tensors do not tell (``max_length``, ``patch_sizes``); the rest is read off.

    Raises:
        InputError: weights are missing, superfluous or of another shape.
    """
    state = {name.removeprefix("module."): value for name, value in state.items()}
    model = Moirai(_sizes(state, config or MoiraiConfig()))
    ours: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, parts in _matrices(model.config.layers):
        ours[name] = torch.cat([_take(state, part) for part in parts])
        used.update(parts)
    for kind in ("weight", "bias"):
        names = [f"param_proj.proj.{head}.{kind}" for head in HEADS]
        largest = max(model.config.patch_sizes)
        ours[f"heads.{kind}"] = torch.cat([_take(state, n).unflatten(1, (-1, largest)) for n in names], dim=1)
        used.update(names)
    extra = sorted(set(state) - used)
    if extra:
        raise InputError("upstream weights", f"hold {extra[0]}, which MOIRAI has not", "give a MoiraiModule")
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    for name, value in ours.items():
        if value.shape != shapes[name]:
            raise InputError(
                "upstream weights",
                f"{name} would be {list(value.shape)}, not {list(shapes[name])}",
                "check the patch sizes",
            )
    model.load_state_dict(ours)
    return model


def to_upstream(model: Moirai) -> dict[str, Tensor]:
    """The state dict for uni2ts' ``MoiraiModule``.

    Raises:
        InputError: the model has spectral layers or the corrected heads, which upstream cannot express.
    """
    if model.config.stu.pattern != "attention":
        raise InputError("model.stu.pattern", "upstream has attention only", "convert the baseline")
    if not model.config.parity:
        raise InputError("model.parity", "upstream has the published heads only", "train with parity: true")
    ours = model.state_dict()
    theirs: dict[str, Tensor] = {}
    for name, parts in _matrices(model.config.layers):
        for part, value in zip(parts, ours[name].chunk(len(parts)), strict=True):
            theirs[part] = value.clone()
    sizes = [COMPONENTS] + [1] * (len(HEADS) - 1)
    for kind in ("weight", "bias"):
        for head, value in zip(HEADS, ours[f"heads.{kind}"].split(sizes, dim=1), strict=True):
            theirs[f"param_proj.proj.{head}.{kind}"] = value.flatten(1, 2).clone()
    return theirs


def _take(state: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise InputError("upstream weights", f"{name} is missing", "give the state dict of a MoiraiModule")
    return state[name]


def _sizes(state: Mapping[str, Tensor], config: MoiraiConfig) -> MoiraiConfig:
    layers = {name.split(".")[2] for name in state if name.startswith("encoder.layers.")}
    first = "encoder.layers.0.self_attn.var_attn_bias.emb.weight"
    return replace(
        config,
        d_model=_take(state, "mask_encoding.weight").shape[1],
        layers=len(layers),
        heads=_take(state, first).shape[1],
        d_ff=_take(state, "encoder.layers.0.ffn.fc1.weight").shape[0],
        parity=True,
        stu=StuConfig(),
    )
