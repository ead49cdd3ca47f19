"""What the page says of each study: written in YAML, one file a study, filled from results."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from specseq.errors import InputError


@dataclass(frozen=True)
class Figure:
    """A figure of the page: ``file`` without suffix, below the results folder of the scale."""

    file: str
    title: str
    caption: str
    claims: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table of the page: a Parquet ``file`` below the results folder of the scale."""

    file: str
    title: str
    caption: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """One study on the page.

    Attributes:
        study: its name in config.yaml.
        title: heading.
        question: what the study asks, Markdown.
        set_up: what was run, Markdown.
        notes: names of the seed notes whose claims belong here.
        headline: file of the figure that the overview shows.
    """

    study: str
    title: str
    question: str
    set_up: str
    notes: tuple[str, ...]
    headline: str
    figures: tuple[Figure, ...] = field(default_factory=tuple)
    tables: tuple[Table, ...] = field(default_factory=tuple)


def _entry(kind: type, entry: dict[str, Any], path: Path) -> Any:
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    try:
        return kind(**lists)
    except TypeError as error:
        raise InputError(path, f"{kind.__name__.lower()}: {error}", "see an existing section") from None


def load_section(path: Path) -> Section:
    """Read one section file.

    Raises:
        InputError: a key is missing or unknown.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise InputError(path, "is not a mapping")
    figures = tuple(_entry(Figure, entry, path) for entry in content.pop("figures", []))
    tables = tuple(_entry(Table, entry, path) for entry in content.pop("tables", []))
    return _entry(Section, {**content, "figures": figures, "tables": tables}, path)


def load_sections(folder: Path) -> Iterator[Section]:
    """All sections of a folder, in order of file name."""
    for path in sorted(folder.glob("*.yaml")):
        yield load_section(path)
