"""Forecasters by name: the two naive ones, Chronos-2, and models trained here, from their weights files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from specseq.errors import InputError
from specseq.models.plugins import NAMES, import_path, load_class, unknown
from specseq.models.protocol import Forecaster
from specseq.models.seasonal_naive import SeasonalNaive, naive

_OPTIONS = {"context_length", "batch_size", "device"}


def load_forecaster(
    source: str | Path,
    benchmark: str = "gift_eval",
    arguments: Mapping[str, Any] | None = None,
    **options: Any,
) -> Forecaster:
    """Make a forecaster.

    Args:
        source: ``seasonal_naive``, ``naive``, ``chronos2``, a hub id or model folder of Chronos-2 or MOIRAI,
            a Lightning checkpoint of MOIRAI (:mod:`specseq.models.imports`), a ``weights.safetensors`` of a
            model trained or imported here (or the folder it lies in), a class of another package as
            ``package.module:Class``, or a name it registers (:mod:`specseq.models.plugins`).
        benchmark: ``gift_eval`` or ``fev``, whose conventions the naive forecasters follow.
        **options: ``context_length``, ``batch_size``, ``device``, for models that take them.

    Raises:
        InputError: the forecaster or an option is unknown, or an option's value is invalid.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if others := sorted(set(given) - _OPTIONS):
        fault = f"option {', '.join(others)} is unknown"
        raise InputError("forecaster", fault, f"known: {', '.join(sorted(_OPTIONS))}")
    for option in ("context_length", "batch_size"):
        if given.get(option, 1) < 1:
            raise InputError(option, f"{given[option]} is not a positive number")
    name = str(source)
    # Looking up registered names reads the metadata of all installed packages.
    if name not in NAMES and not Path(source).exists() and (imported := import_path(name)):
        if given:
            raise InputError(name, f"takes no {', '.join(sorted(given))}", "give its own arguments")
        return load_class(imported, arguments or {})
    if arguments:
        raise InputError(name, f"takes no argument {', '.join(arguments)}", "leave it out")
    if name in NAMES[:2]:
        if given:
            raise InputError(name, f"takes no option {', '.join(sorted(given))}", "leave it out")
        if name == "naive":
            return naive(benchmark)
        return SeasonalNaive.fev() if benchmark == "fev" else SeasonalNaive()
    if "device" in given:
        _check_device(given["device"])
    path = Path(source)
    weights = path / "weights.safetensors" if path.is_dir() else path
    if path.suffix == ".safetensors" and not path.is_file():
        raise InputError(path, "no such file", "give the weights.safetensors of a trained run")
    if weights.suffix == ".safetensors":
        params = read_params(weights)
        if params is not None:
            from specseq.models.kinds import load_trained

            return load_trained(weights, **given)
        if weights.is_file():
            raise InputError(
                weights,
                "was not written by a run of this package",
                "give the folder of a model with its config.json, or see specseq import",
            )
    if remedy := unknown(name):
        raise InputError(name, "no such forecaster, folder or weights file", remedy)
    from specseq.models.chronos2 import HUB_ID, Chronos2

    if name != "chronos2":
        from specseq.models.imports.sources import is_foreign, place_of

        place = place_of(source)
        if is_foreign(place):
            from specseq.models.imports import import_forecaster
            from specseq.models.kinds import forecaster_of

            foreign = import_forecaster(place)
            return forecaster_of(foreign.tensors, foreign.params, source, path.name, **given)
    return Chronos2.load(HUB_ID if name == "chronos2" else source, **given)


def _check_device(name: str) -> None:
    import torch

    try:
        kind = torch.device(name).type
    except RuntimeError:
        raise InputError("device", f"unknown device {name!r}", "give cpu or cuda") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("device", f"{name!r} is not available on this machine", "leave it out, or give cpu")


def read_params(weights: Path) -> dict[str, Any] | None:
    """The run parameters in the header of a safetensors file; None if it has none or does not exist."""
    try:
        with safe_open(weights, framework="numpy") as file:
            params = (file.metadata() or {}).get("params")
        return None if params is None else json.loads(params)
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError, ValueError) as error:
        fault = f"not a readable safetensors file ({error})"
        raise InputError(weights, fault, "give an intact copy") from None
