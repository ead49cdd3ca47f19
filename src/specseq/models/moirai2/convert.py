"""Weights of upstream's ``Moirai2Module`` (uni2ts) in ours, and ours in upstream's, value for value.

The fused matrices here (query-key-value, gate-up) are upstream's separate ones laid together.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.model import Moirai2

_ENDS = {"embed": "in_proj", "head": "out_proj"}
_LINEAR = {"hidden": "hidden_layer", "out": "output_layer", "skip": "residual_layer"}
_LAYER = {
    "mixer.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mixer.query_norm": ("self_attn.q_norm",),
    "mixer.key_norm": ("self_attn.k_norm",),
    "mixer.variate_bias": ("self_attn.var_attn_bias.emb",),
    "mixer.out": ("self_attn.out_proj",),
    "mixer_norm": ("norm1",),
    "feed_forward_norm": ("norm2",),
    "feed_forward.gate_up": ("ffn.fc_gate", "ffn.fc1"),
    "feed_forward.down": ("ffn.fc2",),
}


def _names(layers: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Our name of each tensor with upstream's names of its parts, in order along the first axis."""
    for ours, theirs in _ENDS.items():
        for part, name in _LINEAR.items():
            for kind in ("weight", "bias"):
                yield f"{ours}.{part}.{kind}", (f"{theirs}.{name}.{kind}",)
    for layer in range(layers):
        for ours, parts in _LAYER.items():
            names = tuple(f"encoder.layers.{layer}.{part}.weight" for part in parts)
            yield f"decoder.blocks.{layer}.{ours}.weight", names
    yield "decoder.norm.weight", ("encoder.norm.weight",)


def from_upstream(state: Mapping[str, Tensor], config: Moirai2Config | None = None) -> Moirai2:
    """A model with upstream's weights.

    Args:
        state: ``Moirai2Module.state_dict()`` of uni2ts.
        config: sizes; the published small model's where None.

    Raises:
        InputError: weights are missing, superfluous or of another shape.
    """
    model = Moirai2(config or Moirai2Config())
    ours: dict[str, Tensor] = {}
    used: set[str] = set()
    for name, parts in _names(model.config.layers):
        missing = [part for part in parts if part not in state]
        if missing:
            raise InputError("upstream weights", f"{missing[0]} is missing", "give those of a Moirai2Module")
        ours[name] = torch.cat([state[part] for part in parts])
        used.update(parts)
    if extra := sorted(set(state) - used):
        raise InputError("upstream weights", f"hold {extra[0]}, which the model has not", "check the layers")
    for name, value in model.state_dict().items():
        if ours[name].shape != value.shape:
            found = f"{name} would be {list(ours[name].shape)}, not {list(value.shape)}"
            raise InputError("upstream weights", found, "check the sizes")
    model.load_state_dict(ours)
    return model


def to_upstream(model: Moirai2) -> dict[str, Tensor]:
    """The state dict for uni2ts' ``Moirai2Module``; hints, which it has not, are left out."""
    ours = model.state_dict()
    theirs: dict[str, Tensor] = {}
    for name, parts in _names(model.config.layers):
        for part, value in zip(parts, ours[name].chunk(len(parts)), strict=True):
            theirs[part] = value.clone()
    return theirs
