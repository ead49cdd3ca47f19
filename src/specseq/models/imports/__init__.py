"""Conversion of checkpoints of uni2ts, and of studies that build on it, to weights of our models.

A source is a folder of ``save_pretrained`` (``config.json`` and ``model.safetensors``), the hub id of one, a
Lightning checkpoint, or a state dict. The model is recognised by the names of its weights.
"""

from pathlib import Path

from specseq.errors import InputError, of_another_form
from specseq.models.imports.moirai import import_moirai
from specseq.models.imports.moirai2 import import_moirai2
from specseq.models.imports.sources import Source, open_source
from specseq.training.foreign import Imported, check_finite


def import_forecaster(
    source: str | Path, kind: str | None = None, taps: tuple[float, ...] | None = None
) -> Imported:
    """A foreign forecaster in our form.

    Args:
        source: see the module docstring.
        kind: expected model, ``moirai`` or ``moirai2``; None for either.
        taps: taps of the filter that a Moirai2 was trained with, if its file does not hold them.

    Raises:
        InputError: the source is missing, damaged or of another kind, or its weights do not fit its settings.
    """
    opened = open_source(source)
    held = kind_of(opened)
    if kind not in (None, held):
        raise InputError(opened.where, f"holds {held}, not {kind}", f"import it as {held}")
    if taps is not None and held != "moirai2":
        raise InputError("taps", f"go with moirai2, and {opened.where} holds {held}", "leave them out")
    with of_another_form(opened.where, "give weights and settings of one model"):
        imported = import_moirai(opened) if held == "moirai" else import_moirai2(opened, taps)
    check_finite(imported.tensors, opened.where)
    return imported


def kind_of(source: Source) -> str:
    """``moirai`` or ``moirai2``, by the names of the weights.

    Raises:
        InputError: the weights are of neither.
    """
    names = source.tensors
    if any(".ffn.experts." in name or ".ffn.gate." in name for name in names):
        raise InputError(source.where, "holds MOIRAI-MoE, which is no model here", "give MOIRAI 1 or 2")
    if "in_proj.hidden_layer.weight" in names:
        return "moirai2"
    if "in_proj.weight" in names and "mask_encoding.weight" in names:
        return "moirai"
    shown = ", ".join(sorted(names)[:3])
    raise InputError(source.where, f"holds no MOIRAI ({shown} ...)", "give a checkpoint of MOIRAI 1 or 2")
