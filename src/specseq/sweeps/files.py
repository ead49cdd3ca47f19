"""YAML files and ``--config`` words as the config they make together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.yaml_files import parse, read_yaml

__all__ = ["Config", "read_config"]


@dataclass(frozen=True)
class Config:
    """The config of a workflow: all sources as one, and the name and content of each, the strongest last."""

    content: Mapping[str, Any]
    sources: Sequence[tuple[str, Mapping[str, Any]]] = ()

    def source(self, path: Sequence[str]) -> str:
        """The source that sets a path, or else the nearest part of it; ``config.yaml`` where none does."""
        for length in range(len(path), 0, -1):
            setting = [name for name, content in self.sources if holds(content, path[:length], null=True)]
            if setting:
                return setting[-1]
        return "config.yaml"


def holds(content: Any, path: Sequence[str], null: bool = False) -> bool:
    """Whether a path leads to something; through a list to its entries, ``name`` or ``name: changes``.

    ``null`` says whether a null counts as something.
    """
    for key in path:
        if isinstance(content, list):
            named = [entry if isinstance(entry, Mapping) else {str(entry): {}} for entry in content]
            content = next((entry for entry in named if key in entry), None)
        if not isinstance(content, Mapping) or key not in content:
            return False
        content = content[key]
    return null or content is not None


def read_config(file: Path, more: Sequence[Path] = (), words: Sequence[str] = ()) -> Config:
    """The config as Snakemake puts it together from config.yaml, the files of ``--configfile`` and the words
    ``key=value`` of ``--config``, whose values are read as YAML at any depth.

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
        sources.append(("--config", {key: parse(text, f"--config {key}")}))
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
