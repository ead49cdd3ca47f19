"""Initial weights of training, from a run or from another program's checkpoint."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from specseq.errors import InputError
from specseq.training.checkpoint import diverged, load_weights
from specseq.training.foreign import WEIGHTS, Imported


@dataclass(frozen=True)
class Start:
    """Weights to begin from.

    Attributes:
        where: file or hub id of the weights.
        params: parameters of the run that trained them.
        diverged: why the weights are unusable; None if they are usable.
    """

    where: str
    tensors: Mapping[str, Tensor]
    params: Mapping[str, Any]
    diverged: str | None = None


def start_of(
    params: Mapping[str, Any], inputs: Mapping[str, Path], read: Callable[[str], Imported]
) -> Start | None:
    """The weights that a run begins from; None for random weights.

    Args:
        params: the run's parameters; ``initial.checkpoint`` names a checkpoint that is not an input file.
        inputs: the run's input files; ``initial``, if given, holds weights.

    Raises:
        InputError: there is no such checkpoint, or it is damaged.
    """
    source = inputs.get("initial") or (params.get("initial") or {}).get("checkpoint")
    if source is None:
        return None
    path = Path(source)
    path = path / WEIGHTS if (path / WEIGHTS).is_file() else path
    if path.suffix == ".safetensors" and path.name != "model.safetensors":
        if (reason := diverged(path)) is not None:
            return Start(str(path), {}, {}, f"the run that it begins from did: {reason}")
        return Start(str(path), *load_weights(path))
    imported = read(str(path.parent if path.name == "model.safetensors" else source))
    return Start(str(source), imported.tensors, imported.params)


def check_same(
    start: Start, found: Mapping[str, Any], wanted: Mapping[str, Any], besides: Collection[str] = ()
) -> None:
    """Refuse weights of a different model.

    Args:
        wanted: settings of the model that begins from them.
        besides: settings that do not affect the weights.

    Raises:
        InputError: names the first setting that differs, with both values.
    """
    for name, value in wanted.items():
        if name not in besides and found.get(name) != value:
            fault = f"is {value}, the weights of {start.where} have {found.get(name)}"
            raise InputError(f"model.{name}", fault, "begin from weights of this model")
