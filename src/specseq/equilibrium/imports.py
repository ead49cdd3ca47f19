"""Conversion of the equilibrium study's checkpoints (``.pt``) to our equilibrium blocks.

The study's block is ours with matrices called WQ, WK, WV, WO, fc and pj. It may also have gains and offsets
in its norms and biases in its feed-forward part. Gains are folded into the matrices that follow them.
Offsets become offsets of queries, keys and expanded channels; the rest of them is a constant force, which
the position embedding takes up. The converted block has the same force at every state.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from specseq.equilibrium.config import EquilibriumRun
from specseq.errors import InputError, of_another_form
from specseq.settings import read
from specseq.training.foreign import Imported, check_finite, fields_of, read_torch, tensors_of

# Our name of each part, and its possible names in the study's code, with or without ``.weight``.
ALIASES = {
    "query": ("WQ",),
    "key": ("WK",),
    "value": ("WV",),
    "output": ("WO",),
    "expand": ("fc", "W1"),
    "contract": ("pj", "proj", "W2"),
    "token": ("tok", "tok_emb", "wte", "emb"),
    "position": ("pos", "pos_emb", "wpe"),
    "readout": ("head", "lm_head", "readout", "unemb", "Wout"),
    "attention_gain": ("ln1", "LN1", "norm1"),
    "feed_gain": ("ln2", "LN2", "norm2"),
}
_BIASES = {
    "attention_offset": "attention_gain",
    "feed_offset": "feed_gain",
    "expand_bias": "expand",
    "contract_bias": "contract",
}
_REQUIRED = ("query", "key", "value", "output", "expand", "contract", "token", "position", "readout")
# Belong to attention modes whose force is the gradient of an energy; the thick block does not use them.
_UNUSED = ("Wm", "Wh")


def import_block(path: Path, heads: int | None = None, names: Mapping[str, str] | None = None) -> Imported:
    """Convert a checkpoint to one of our blocks.

    Args:
        path: a file of ``torch.save`` that is, or holds, a state dict.
        heads: number of attention heads, if the file's settings do not say.
        names: our name of a part -> its name in the file, if that is not among :data:`ALIASES`.

    Raises:
        InputError: the file is missing, damaged or of another block, or the number of heads is unknown.
    """
    with of_another_form(path, "give a checkpoint of the study"):
        return _block(path, heads, names or {})


def _block(path: Path, heads: int | None, names: Mapping[str, str]) -> Imported:
    content = read_torch(path)
    state = dict(tensors_of(content, path, "model", "state_dict", "block", "blk", "params"))
    given = _settings(content)
    if (mode := given.get("attn_mode", "thick")) != "thick":
        raise InputError(path, f"its attention mode is {mode}", "only the thick block is built here")
    parts = _parts(path, state, dict(names))
    width = parts["query"].shape[0]
    found = heads or given.get("H") or given.get("heads") or given.get("n_head")
    if found is None:
        raise InputError(path, "does not say how many attention heads it has", "give --heads")
    tensors, offsets = _folded(path, parts, width)
    check_finite(tensors, path)
    sizes = {
        "width": width,
        "heads": int(found),
        "length": len(tensors["position"]),
        "expansion": tensors["expand"].shape[1] // width,
        "damping": float(given.get("c", 1.0)),
        "normalise_queries": bool(given.get("qknorm", True)),
        "offsets": offsets,
    }
    for name, held in (("C", width), ("T", sizes["length"])):
        if given.get(name, held) != held:
            fault = f"its settings say {name} {given[name]}, its weights {held}"
            raise InputError(path, fault, "give weights and settings of one block")
    params: dict[str, Any] = {
        "study": "equilibrium",
        "seed": 0,
        "training": {"steps": max(1, int(given.get("step", 1)))},
        "model": sizes,
    }
    if "eps" in given:
        params["solver"] = {"name": "euler", "step": float(given["eps"])}
    read(EquilibriumRun, params, f"{path}: settings")
    notes = []
    if unused := [name for name in _UNUSED if name in state or f"{name}.weight" in state]:
        notes.append(f"{', '.join(unused)}: of another attention mode, left out")
    if offsets:
        notes.append(
            "gains and offsets of norms were folded into matrices and positions; the force is the same"
        )
    return Imported(tensors, params, tuple(notes))


def _settings(content: Any) -> dict[str, Any]:
    """The file's settings of the block: its own entries and those of its ``args`` or ``config``."""
    entries = fields_of(content)
    settings = {name: value for name, value in entries.items() if isinstance(value, int | float | str)}
    for section in ("args", "config", "cfg"):
        settings |= fields_of(entries.get(section))
    return settings


def _parts(path: Path, state: Mapping[str, Tensor], names: dict[str, str]) -> dict[str, Tensor]:
    """The parts under our names; matrices of linear layers are transposed to be applied from the right."""
    if unknown := sorted(set(names) - set(ALIASES)):
        raise InputError("--name", f"no part is called {unknown[0]}", f"choose from {', '.join(ALIASES)}")
    parts: dict[str, Tensor] = {}
    used: set[str] = set()
    for part, aliases in ALIASES.items():
        wanted = [f"{alias}{end}" for alias in aliases for end in ("", ".weight")]
        wanted = [names[part]] if part in names else wanted
        key = next((name for name in wanted if name in state), None)
        if key is None:
            if part in _REQUIRED:
                fault = f"has no {part} ({', '.join(wanted[:4])}), but {', '.join(sorted(state)[:6])}"
                raise InputError(path, fault, f"say which with --name {part}=NAME")
            continue
        parts[part] = _matrix(state[key].float(), part, key)
        used.add(key)
        bias = f"{key.removesuffix('.weight')}.bias"
        owner = next((name for name, of in _BIASES.items() if of == part), None)
        if owner and bias in state:
            parts[owner] = state[bias].float()
            used.add(bias)
    if left := sorted(name for name in set(state) - used if name.removesuffix(".weight") not in _UNUSED):
        raise InputError(path, f"holds {left[0]}, which the block lacks", "give a block of the study")
    return parts


def _matrix(value: Tensor, part: str, key: str) -> Tensor:
    """A matrix for ``x @ W``; linear layers store its transpose, embeddings and gains do not."""
    if part == "position" and value.dim() == 3 and len(value) == 1:
        return value[0]
    linear = part not in ("token", "position", "attention_gain", "feed_gain") and key.endswith(".weight")
    return value.T if linear else value


def _folded(path: Path, parts: dict[str, Tensor], width: int) -> tuple[dict[str, Tensor], bool]:
    """Our tensors, and whether offsets are among them."""
    expanded, vocabulary = parts["expand"].shape[-1], len(parts["token"])
    gains = ("attention_gain", "feed_gain", "attention_offset", "feed_offset", "contract_bias")
    shapes: dict[str, tuple[int, ...]] = {
        **dict.fromkeys(("query", "key", "value", "output"), (width, width)),
        "expand": (width, expanded),
        "contract": (expanded, width),
        "token": (vocabulary, width),
        "position": (len(parts["position"]), width),
        "readout": (width, vocabulary),
        "expand_bias": (expanded,),
        **dict.fromkeys(gains, (width,)),
    }
    for part, shape in shapes.items():
        if part in parts and tuple(parts[part].shape) != shape:
            fault = f"its {part} is {list(parts[part].shape)}, beside the others it would be {list(shape)}"
            raise InputError(path, fault, "give the weights of one block")
    if expanded % width:
        raise InputError(path, f"expand has {expanded} channels", f"{width} must divide them")
    double = {name: value.double() for name, value in parts.items()}
    zero, one = torch.zeros(width, dtype=torch.float64), torch.ones(width, dtype=torch.float64)
    gain1, offset1 = double.get("attention_gain", one), double.get("attention_offset", zero)
    gain2, offset2 = double.get("feed_gain", one), double.get("feed_offset", zero)
    ours = {name: double[name] for name in _REQUIRED}
    constant = offset1 @ double["value"] @ double["output"] + double.get("contract_bias", zero)
    ours["position"] = double["position"] + constant
    for name, gain in (("query", gain1), ("key", gain1), ("value", gain1), ("expand", gain2)):
        ours[name] = gain[:, None] * double[name]
    offsets = any(name in parts for name in _BIASES)
    if offsets:
        ours["query_offset"], ours["key_offset"] = offset1 @ double["query"], offset1 @ double["key"]
        bias = double.get("expand_bias", torch.zeros(expanded, dtype=torch.float64))
        ours["expand_offset"] = offset2 @ double["expand"] + bias
    return {name: value.float() for name, value in ours.items()}, offsets
