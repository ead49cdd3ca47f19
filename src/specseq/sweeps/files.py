"""YAML files and ``--config`` words as the config they make together."""

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from specseq.errors import InputError

__all__ = ["Config", "read_config", "read_yaml"]


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


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; keys are texts.

    Raises:
        InputError: it is not there or not YAML, or a key stands twice in one mapping.
    """
    try:
        return _parse(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise InputError(path, "not found") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not readable ({error})") from None


def _parse(text: str, name: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark and "\n" in text else ""
        raise InputError(f"{name}{line}", error.problem or "not YAML") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(name, f"not YAML ({error})") from None


@dataclass(frozen=True)
class Config:
    """The config of a workflow.

    Attributes:
        content: all sources as one.
        sources: name and content of each, the strongest last.
    """

    content: Mapping[str, Any]
    sources: Sequence[tuple[str, Mapping[str, Any]]] = ()

    def source(self, path: Sequence[str]) -> str:
        """The source that sets a path, or ``config.yaml``."""
        setting = [name for name, content in self.sources if holds(content, path, null=True)]
        return setting[-1] if setting else "config.yaml"


def holds(content: Any, path: Sequence[str], null: bool = False) -> bool:
    """Whether a path leads to something; through a list to its entries ``name: changes``.

    Args:
        content: of a file.
        path: keys.
        null: count ``null`` as something.
    """
    for key in path:
        if isinstance(content, list):
            content = next((entry for entry in content if isinstance(entry, Mapping) and key in entry), None)
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return null or content is not None


def read_config(file: Path, more: Sequence[Path] = (), words: Sequence[str] = ()) -> Config:
    """The config as Snakemake puts it together, with the values of ``--config`` read as YAML at any depth.

    Args:
        file: config.yaml.
        more: the files of ``--configfile``.
        words: the arguments ``key=value`` of ``--config``.

    Raises:
        InputError: a file or a value cannot be read.
    """
    sources: list[tuple[str, Mapping[str, Any]]] = []
    for path in dict.fromkeys([file, *more]):
        content = read_yaml(path)
        if not isinstance(content, Mapping):
            raise InputError(path, "holds no mapping of keys to values")
        sources.append((_shown(path), content))
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            raise InputError(f"--config {word}", "is not of the form key=value")
        sources.append(("--config", {key: _parse(text, f"--config {key}")}))
    content = {}
    for _, source in sources:
        content = _updated(content, source)
    return Config(content, sources)


def _shown(path: Path) -> str:
    """A path as messages name it."""
    whole, here = path.resolve(), Path().resolve()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else path)


def _updated(old: Any, new: Mapping[str, Any], kinds: bool = False) -> dict[str, Any]:
    """Mappings are joined, all else is replaced; of ``data`` also a source of another kind."""
    replaced = kinds and isinstance(old, Mapping) and {"kind"} <= old.keys() & new.keys()
    made = dict(old) if isinstance(old, Mapping) and not (replaced and old["kind"] != new["kind"]) else {}
    for key, value in new.items():
        inner = kinds or key == "data"
        made[key] = _updated(made.get(key), value, inner) if isinstance(value, Mapping) else value
    return made
