"""MOIRAI 1.0 and 1.1, and the hybrid with spectral units, from uni2ts."""

from typing import Any

from specseq.errors import InputError
from specseq.models.imports.sources import Source, check_mixture, plain
from specseq.models.moirai.config import MoiraiConfig
from specseq.models.upstream import moirai_tensors
from specseq.settings import plain as plain_settings
from specseq.settings import read
from specseq.training.foreign import Imported

_PATTERNS = {"attn_only": "attention"}
_NOTE = (
    "each sample is transformed by itself, as in the first version of the hybrid's code; its "
    "spectral filters are not in the checkpoint and were computed again: their signs, and all of those past "
    "about the twentieth, are those of this machine's linear algebra"
)


def import_moirai(source: Source) -> Imported:
    """A MOIRAI in our form.

    Raises:
        InputError: weights and settings disagree, or belong to an unsupported variant.
    """
    settings = source.settings
    source.fixed("scaling", True)
    for name, value in (("use_hankel_L", False), ("use_variate_aware_stu", False)):
        source.fixed(name, value)
    for name in ("enable_preconditioning", "learnable_preconditioning"):
        if source.training.get(name):
            fault = f"was trained with {name}; of MOIRAI 1 no preconditioned model is built here"
            raise InputError(source.where, fault, "give a preconditioned Moirai2")
    check_mixture(source)
    given: dict[str, Any] = {}
    if "patch_sizes" in settings:
        given["patch_sizes"] = plain(settings["patch_sizes"])
    if "max_seq_len" in settings:
        given["max_length"] = settings["max_seq_len"]
    config = read(MoiraiConfig, given, f"{source.where}: settings")
    tensors, config = moirai_tensors(source.tensors, config, source.where)
    source.check("d_model", config.d_model)
    source.check("num_layers", config.layers)
    hybrid = config.stu.pattern != "attention"
    if hybrid:
        source.check("num_eigh", config.stu.filters)
        source.check("use_approx", config.stu.mode != "full")
    if pattern := settings.get("stu_layer_pattern"):
        pattern = _PATTERNS.get(pattern, pattern)
        if pattern != config.stu.pattern and not _same_layers(pattern, config):
            fault = f"its settings say pattern {pattern}, its weights {config.stu.pattern}"
            raise InputError(source.where, fault, "give weights and settings of one model")
    params = {"study": "stu", "seed": 0, "model": plain_settings(config)}
    notes = [] if "patch_sizes" in settings else ["patch sizes and longest row are assumed as published"]
    return Imported(tensors, params, tuple(notes + [_NOTE] * hybrid))


def _same_layers(pattern: str, config: MoiraiConfig) -> bool:
    """Whether a pattern has units in the same layers as the model; short models fit several patterns."""
    other = read(
        MoiraiConfig,
        {**plain_settings(config), "stu": {**plain_settings(config.stu), "pattern": pattern}},
        "",
    )
    return all(
        other.stu.mixing(layer, config.layers) == config.stu.mixing(layer, config.layers)
        for layer in range(config.layers)
    )
