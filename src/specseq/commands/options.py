"""From a command's options to the typed request that its stage also takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from specseq.errors import InputError
from specseq.settings import read

T = TypeVar("T")


def to_request(kind: type[T], values: Mapping[str, Any], **options: str) -> T:
    """A request from the values of options; those that were not given (None) keep their defaults.

    Args:
        kind: class of the request.
        values: its fields.
        **options: field -> option that sets it, where their names differ.

    Raises:
        InputError: a value is wrong; names its option.
    """
    try:
        return read(kind, _given(values), "")
    except InputError as error:
        name = next((part for part in reversed(error.where.split(".")) if not part.isdigit()), "")
        option = options.get(name, name).replace("_", "-")
        raise InputError(f"--{option}", error.fault, error.remedy) from None


def _given(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _given(part) for key, part in value.items() if part is not None}
    if isinstance(value, list | tuple):
        return [_given(part) for part in value]
    return str(value) if isinstance(value, Path) else value
