"""The kinds of models trained here: settings, model and forecaster of each.

Modules are named rather than imported, so that using one kind loads no other.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from specseq.errors import InputError
from specseq.models.protocol import Forecaster
from specseq.settings import near
from specseq.training.checkpoint import load_weights


@dataclass(frozen=True)
class Kind:
    """Import paths of a kind of model's parts, each as ``module:name`` within :mod:`specseq.models`.

    Attributes:
        model: ``model_of(params) -> nn.Module``, with the initial weights of the run's seed.
        forecaster: class of forecasters, constructed from a trained model and options.
    """

    model: str
    forecaster: str


KINDS = {
    "moirai": Kind(model="moirai.training:model_of", forecaster="moirai.forecaster:MoiraiForecaster"),
    "moirai2": Kind(model="moirai2.training:model_of", forecaster="moirai2.forecaster:Moirai2Forecaster"),
}


def load_model(path: str | os.PathLike[str]) -> nn.Module:
    """The trained model in a run's ``weights.safetensors``, on the CPU.

    Raises:
        InputError: the file is damaged or holds no model of these kinds, or its weights are not finite or
            do not fit the parameters in it.
    """
    tensors, params = load_weights(path)
    return _build(tensors, params, path)[0]


def load_trained(path: str | os.PathLike[str], **options: Any) -> Forecaster:
    """The forecaster of a run's ``weights.safetensors``; ``options`` as for its class.

    Raises:
        InputError: as for :func:`load_model`.
    """
    tensors, params = load_weights(path)
    return forecaster_of(tensors, params, path, Path(path).parent.name, **options)


def forecaster_of(
    tensors: Mapping[str, Tensor], params: Mapping[str, Any], where: object, name: str = "", **options: Any
) -> Forecaster:
    """The forecaster with these weights, its model rebuilt from the parameters.

    Args:
        where: origin of the weights, for messages.
        name: name in results; if empty, the kind's own.

    Raises:
        InputError: as for :func:`load_model`.
    """
    model, kind = _build(tensors, params, where)
    forecaster: Forecaster = _part(kind.forecaster)(model, **({"name": name} if name else {}), **options)
    return forecaster


def _build(tensors: Mapping[str, Tensor], params: Mapping[str, Any], where: object) -> tuple[nn.Module, Kind]:
    settings = params.get("model")
    name = settings.get("kind") if isinstance(settings, Mapping) else None
    if name not in KINDS:
        raise InputError(where, f"model kind {name!r} is unknown", near(name, KINDS))
    kind = KINDS[name]
    model: nn.Module = _part(kind.model)(params)
    try:
        model.load_state_dict(dict(tensors))
    except RuntimeError as error:
        fault = f"its weights do not fit its parameters ({error})"
        raise InputError(where, fault, "train the run again") from None
    if any(not tensor.isfinite().all() for tensor in tensors.values()):
        raise InputError(where, "its weights are not finite", "the run diverged; see its pretrain.parquet")
    return model, kind


def _part(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(f"specseq.models.{module}"), name)
