"""Typed settings: what a config may say, declared once beside what it configures.

A settings class is a frozen pydantic dataclass. Its fields carry type, default, bounds and description; the
JSON schema and the one-line messages follow from them::

    @dataclass(frozen=True, config=STRICT)
    class Sizes:
        width: int = Field(default=64, ge=1, description="channels C")
        heads: int = Field(default=4, ge=1, description="attention heads, a divisor of the width")

        def __post_init__(self) -> None:
            if self.width % self.heads:
                raise InputError("heads", f"{self.heads} does not divide the width {self.width}")

    sizes = read(Sizes, {"heads": 8}, "model")

Checks across fields stand in ``__post_init__`` and name the field relative to their class; ``read`` puts the
path before it. This module and all settings classes import no torch, so that planning stays fast.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import to_jsonable_python

from specseq.errors import InputError

__all__ = ["STRICT", "Field", "dataclass", "near", "plain", "read", "schema", "shown"]

T = TypeVar("T")
# What a value should have been, by kind of pydantic error; `{…}` are filled with the bounds.
_WANTED = {
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "dataclass_type": "a mapping",
    "dataclass_exact_type": "a mapping",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of {max_length} or fewer",
    "string_too_short": "a text of {min_length} or more characters",
}

# Unknown keys are refused, a number is a number (no words, no booleans), and every number is finite.
STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def read(kind: type[T], given: Any, where: str) -> T:
    """Settings from plain values, as YAML or JSON give them.

    Args:
        kind: the settings class, or any type pydantic knows.
        given: mappings, lists, numbers, words; lists become tuples where the class has tuples.
        where: path of the values in the config, such as ``model``, or a file and a colon; error messages
            begin with it.

    Raises:
        InputError: the first thing that is wrong: an unknown key, a missing one, a wrong type or value.
    """
    try:
        settings: T = _adapter(cast(Any, kind)).validate_json(json.dumps(given, default=_refuse))
        return settings
    except ValidationError as error:
        raise _input_error(error, kind, given, where) from None


def plain(settings: Any) -> Any:
    """The inverse of :func:`read`: mappings, lists, numbers and words, as a file can hold them."""
    return to_jsonable_python(settings)


def schema(kind: Any) -> dict[str, Any]:
    """The JSON schema of a settings class, shared definitions under ``$defs``."""
    return _adapter(kind).json_schema()


def near(word: object, known: Iterable[object]) -> str:
    """The remedy for a word that is not known: the nearest known ones, else the first dozen of all."""
    names = [str(name) for name in known]
    spellings = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(str(word).casefold(), spellings, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(spellings[name] for name in close)}?"
    rest = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"known: {', '.join(names[:12]) or 'none'}{rest}"


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _refuse(value: Any) -> Any:
    raise TypeError(f"{value!r} is not a plain value")


def _input_error(error: ValidationError, kind: Any, given: Any, where: str) -> InputError:
    """One line about the first fault; for a union, that of the alternative that got furthest."""
    faults = error.errors(include_url=False)
    fault = max(faults, key=lambda one: (len(_path(one["loc"], given)), one["type"] != "literal_error"))
    path = _path(fault["loc"], given)
    place = _place(where, *path)
    value, context = fault["input"], fault.get("ctx", {})
    inner = context.get("error")
    match fault["type"]:
        case "value_error" if isinstance(inner, InputError):
            return InputError(_place(where, *path, inner.where), inner.fault, inner.remedy)
        case "unexpected_keyword_argument" | "extra_forbidden":
            return InputError(place, "unknown key", _known_key(kind, path, given))
        case "missing" | "missing_argument":
            name = str(fault["loc"][-1])
            return InputError(
                _place(where, *path, name) if name not in path else place, "is missing", "add it"
            )
        case "literal_error" | "enum" | "union_tag_invalid":
            wanted = context.get("expected") or context.get("expected_tags", "")
            choices = [word.strip(" '\"") for part in wanted.split(" or ") for word in part.split(",")]
            if fault["type"] == "union_tag_invalid":
                place = _place(where, *path, context["discriminator"].strip("'"))
                value = context["tag"]
            return InputError(place, f"{shown(value)} is unknown", near(value, choices))
        case "union_tag_not_found":
            place = _place(where, *path, context["discriminator"].strip("'"))
            return InputError(place, "is missing", "add it")
    wanted = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    if fault["type"] in _WANTED:
        wanted = _WANTED[fault["type"]].format(**context)
    return InputError(place, f"{shown(value)} is not {wanted}")


def _place(where: str, *keys: int | str) -> str:
    """``model.width`` or ``FILE: model.width``."""
    path = ".".join(map(str, keys))
    if where.endswith(":"):
        return f"{where} {path}" if path else where.removesuffix(":")
    return f"{where}.{path}" if path else where


def _path(location: Iterable[int | str], given: Any) -> list[int | str]:
    """The steps of a fault's location that are keys of the given values, unlike the tags of a union."""
    path: list[int | str] = []
    for step in location:
        inside = isinstance(given, Mapping) and step in given
        if inside or (isinstance(given, list | tuple) and isinstance(step, int) and step < len(given)):
            path.append(step)
            given = given[step]
    return path


def _known_key(kind: Any, path: Sequence[int | str], given: Any) -> str:
    """The remedy for a key that the schema does not know at a path through the given values."""
    whole = schema(kind)
    parts: list[Mapping[str, Any]] = [whole]
    for step in path[:-1]:
        parts = [_inside(one, step) for part in parts for one in _alternatives(part, whole, given)]
        given = given[step]
    parts = [one for part in parts for one in _alternatives(part, whole, given)]
    keys = {key: section for part in parts for key, section in part.get("properties", {}).items()}
    key, value = path[-1], given[path[-1]]
    misplaced = [
        f"{name}.{key}"
        for name, section in keys.items()
        if any(
            key in one.get("properties", {}) and one["properties"][key].get("const", value) == value
            for one in _alternatives(section, whole, None)
        )
    ]
    return f"did you mean {' or '.join(misplaced)}?" if misplaced else near(key, keys)


def _alternatives(part: Mapping[str, Any], whole: Mapping[str, Any], value: Any) -> list[Mapping[str, Any]]:
    """The parts of the schema that may apply to a value; for a discriminated union, the one it names."""
    if "$ref" in part:
        return _alternatives(whole["$defs"][part["$ref"].rpartition("/")[2]], whole, value)
    if "discriminator" in part and isinstance(value, Mapping):
        name = value.get(part["discriminator"]["propertyName"])
        return _alternatives({"$ref": part["discriminator"]["mapping"].get(name, "")}, whole, value)
    several = [*part.get("anyOf", []), *part.get("oneOf", [])]
    return [found for one in several for found in _alternatives(one, whole, value)] if several else [part]


def _inside(part: Mapping[str, Any], step: int | str) -> Mapping[str, Any]:
    if isinstance(step, int):
        return part.get("items", {})
    rest = part.get("additionalProperties")
    return part.get("properties", {}).get(step) or (rest if isinstance(rest, Mapping) else {})


def shown(value: Any) -> str:
    """A value as a file writes it, shortened."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
