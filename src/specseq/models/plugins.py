"""Forecasters of other packages, by import path or by a registered name.

A forecaster is any class that implements :class:`specseq.models.protocol.Forecaster`. It is named as
``package.module:Class``, or by an entry point in the group ``specseq.forecasters``.
"""

import importlib
import inspect
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from specseq.errors import InputError
from specseq.settings import near

if TYPE_CHECKING:
    from specseq.models.protocol import Forecaster

NAMES = ("seasonal_naive", "naive", "chronos2")
"""Names of the built-in forecasters."""
GROUP = "specseq.forecasters"
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_MEMBERS = ("name", "context_length", "forecast")


def registered() -> dict[str, str]:
    """Names registered by installed packages, with the import path of each class."""
    return {point.name: point.value for point in metadata.entry_points(group=GROUP)}


def import_path(name: str) -> str | None:
    """The ``package.module:Class`` that a name stands for; None if it is neither a path nor registered."""
    return name if _PATH.fullmatch(name) else registered().get(name)


def unknown(name: str) -> str | None:
    """A remedy for a single word that names no forecaster, file or folder; None if it names one.

    A name of a weights file passes even if the file does not exist.
    """
    if (
        name in NAMES
        or name.endswith(".safetensors")
        or len(Path(name).parts) > 1
        or Path(name).exists()
        or import_path(name)
    ):
        return None
    return near(name, [*NAMES, *registered()])


def load_class(path: str, arguments: Mapping[str, Any]) -> "Forecaster":
    """Construct a forecaster from its class, ``package.module:Class``, with keyword arguments.

    Raises:
        InputError: there is no such module or class, it takes other arguments, or its objects are not
            forecasters.
    """
    module, _, name = path.partition(":")
    try:
        holder = importlib.import_module(module)
    except ImportError as error:
        fault = f"cannot be imported ({error})"
        raise InputError(path, fault, "install it, or put it on PYTHONPATH") from None
    made: Any = holder
    for part in name.split("."):
        if not hasattr(made, part):
            raise InputError(path, f"{module} has no {part!r}", near(part, vars(made)))
        made = getattr(made, part)
    if not callable(made):
        raise InputError(path, f"{name} is a {type(made).__name__}, not a class", "give package.module:Class")
    try:
        inspect.signature(made).bind(**arguments)
    except TypeError as error:
        known = [parameter for parameter in inspect.signature(made).parameters if parameter != "self"]
        raise InputError(path, f"{error}", f"its arguments are {', '.join(known) or 'none'}") from None
    forecaster = made(**arguments)
    if missing := [member for member in _MEMBERS if not hasattr(forecaster, member)]:
        raise InputError(path, f"has no {', '.join(missing)}", "see specseq.models.protocol.Forecaster")
    return cast("Forecaster", forecaster)
