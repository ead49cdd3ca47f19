"""Where foreign forecasters come from: model folders, hub ids, Lightning checkpoints, state dicts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from specseq.errors import InputError
from specseq.models.chronos2 import FILES, find_weights, is_hub_id
from specseq.training.foreign import class_of, fields_of, read_safetensors, read_torch, tensors_of

MODEL = "model.safetensors"


@dataclass(frozen=True)
class Source:
    """Weights and settings of a module of uni2ts.

    Attributes:
        where: the file or folder, for messages.
        tensors: the module's state dict.
        settings: arguments of the module; empty if the file does not hold them.
        training: arguments of the Lightning module around it; empty without one.
    """

    where: Path
    tensors: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def fixed(self, name: str, value: Any) -> None:
        """Refuse a setting other than ``value``, the only one supported by our model.

        Raises:
            InputError: names the setting.
        """
        given = self.settings.get(name, value)
        if given != value:
            raise InputError(self.where, f"{name} is {given!r}, and only {value!r} is built here")

    def check(self, name: str, found: Any) -> None:
        """Refuse a setting that contradicts the weights.

        Raises:
            InputError: names the setting and both values.
        """
        given = self.settings.get(name)
        if given is not None and plain(given) != plain(found):
            fault = f"its settings say {name} {plain(given)}, its weights {plain(found)}"
            raise InputError(self.where, fault, "give weights and settings of one model")


def plain(value: Any) -> Any:
    """Convert sequences to lists; leave everything else unchanged."""
    return [plain(part) for part in value] if isinstance(value, list | tuple) else value


def place_of(source: str | Path) -> Path:
    """The file or folder of a source; for a hub id, the local copy, downloaded if needed.

    Raises:
        InputError: it is neither, and the hub does not know it or cannot be reached.
    """
    return find_weights(source) if is_hub_id(source) else Path(source)


def is_foreign(path: Path) -> bool:
    """Whether this looks like a uni2ts forecaster: a checkpoint file, or a folder with its settings."""
    if path.suffix in FILES:
        return path.suffix != ".safetensors"
    try:
        settings = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(settings, Mapping) and "max_seq_len" in settings and "architectures" not in settings


def open_source(source: str | Path) -> Source:
    """Read a source.

    Raises:
        InputError: it is missing, damaged, or not a source.
    """
    path = place_of(source)
    if path.is_dir():
        return _folder(find_weights(path))
    if path.suffix == ".safetensors":
        return Source(path, _module(read_safetensors(path)[0]))
    return _checkpoint(path)


def _folder(folder: Path) -> Source:
    try:
        settings = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(folder / "config.json", f"cannot be read ({error})", "give an intact copy") from None
    if not isinstance(settings, dict):
        raise InputError(folder / "config.json", "is no mapping", "give the config.json of the model")
    return Source(folder, read_safetensors(folder / MODEL)[0], settings)


def _checkpoint(path: Path) -> Source:
    content = read_torch(path)
    tensors = _module(tensors_of(content, path, "state_dict", "model", "module"))
    training = fields_of(fields_of(content).get("hyper_parameters"))
    settings = fields_of(training.get("module_kwargs"))
    return Source(path, tensors, settings, training)


def _module(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A module's own tensors, without those of the Lightning module around it."""
    prefix = "module."
    inner = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return inner or dict(tensors)


def check_mixture(source: Source) -> None:
    """Refuse any distribution but the published mixture of four.

    Raises:
        InputError: names the components found.
    """
    given = source.settings.get("distr_output")
    if given is None:
        return
    components = fields_of(given).get("components", [])
    found = [class_of(part).removesuffix("Output") for part in components]
    if found != ["StudentT", "NormalFixedScale", "NegativeBinomial", "LogNormal"]:
        fault = f"its distribution is {class_of(given)} of {', '.join(found) or 'nothing'}"
        raise InputError(source.where, fault, "only the published mixture of four is built here")
    scale = fields_of(components[1]).get("scale", 1e-3)
    if float(scale) != 1e-3:
        fault = f"its normal component has scale {scale}, and only 0.001 is built here"
        raise InputError(source.where, fault)
