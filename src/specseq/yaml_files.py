"""YAML files as plain values."""

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from specseq.errors import InputError

__all__ = ["parse", "read_yaml"]

# More than any settings hold: mappings and lists within each other, and values in all.
_DEEPEST, _MOST = 50, 1_000_000


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML with the numbers and words of its version 1.2; keys are texts and must be unique.

    In version 1.1 ``12:00:00`` is 43200, ``1e-3`` is a text and ``no`` is false. Uses libyaml where it is
    installed: that is some ten times faster, and configs can be long.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key is not a text", key.start_mark)
            line = key.start_mark.line + 1
            if key.value in lines:
                fault = f"the key '{key.value}' is also in line {lines[key.value]}; join the two"
                raise yaml.constructor.ConstructorError(None, None, fault, key.start_mark)
            lines[key.value] = line
        self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_yaml_map(self, node: yaml.MappingNode) -> Iterator[dict[Hashable, Any]]:
        mapping: dict[Hashable, Any] = {}
        yield mapping
        mapping.update(self.construct_mapping(node))


_WORDS = {
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?\d[\d_]*|0o[0-7]+|0x[\da-fA-F]+",
    "float": r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "null": r"~|null|Null|NULL|",
    "merge": r"<<",
}
_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern in _WORDS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), None)
_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_yaml_map)
# The words that are not plain, such as !!set and !!timestamp, have no place in settings.
_PLAIN = ("map", "seq", "str", *_WORDS)
_Loader.yaml_constructors = {
    tag: made
    for tag, made in _Loader.yaml_constructors.items()
    if tag is None or tag.removeprefix("tag:yaml.org,2002:") in _PLAIN
}


def read_yaml(path: Path) -> Any:
    """Content of a YAML file; keys are texts.

    Raises:
        InputError: it is not there or not YAML, or a key appears twice in one mapping.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise InputError(path, "not found") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not readable ({error})") from None


def parse(text: str, name: str) -> Any:
    """Content of a YAML text; messages begin with its name.

    Raises:
        InputError: see :func:`read_yaml`.
    """
    try:
        content = yaml.load(text, Loader=_Loader)
        _check_size(content, name)
        return content
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark and "\n" in text else ""
        raise InputError(f"{name}{line}", error.problem or "not YAML") from None
    except InputError:
        raise
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(name, f"not YAML ({error})") from None
    except KeyError as error:  # !!bool in front of another word
        raise InputError(name, f"not YAML ({error} is not true or false)") from None
    except RecursionError:
        raise InputError(name, f"is nested more than {_DEEPEST} deep", "give it fewer levels") from None


def _check_size(content: Any, name: str) -> None:
    """Refuse what an alias makes endless or huge."""
    parts, count = [(content, 0)], 0
    while parts:
        value, depth = parts.pop()
        count += 1
        if depth > _DEEPEST or count > _MOST:
            fault = f"is nested more than {_DEEPEST} deep, or holds more than {_MOST} values"
            raise InputError(name, fault, "take out the alias that repeats it")
        if isinstance(value, Mapping | list):
            inner = value.values() if isinstance(value, Mapping) else value
            parts += [(part, depth + 1) for part in inner]
