"""What the page says about each study: ``workflow/studies/<study>/page.yaml``, filled from results."""

from pathlib import Path

from specseq.settings import STRICT, Field, dataclass, read
from specseq.yaml_files import read_yaml


@dataclass(frozen=True, config=STRICT)
class Figure:
    """A figure of the page."""

    file: str = Field(description="path without suffix below the results folder of the scale")
    title: str = Field(description="heading")
    caption: str = Field(description="what it shows, and on what it stands")
    claims: tuple[str, ...] = Field(
        default=(), description="patterns of the ids of the claims that it bears on"
    )


@dataclass(frozen=True, config=STRICT)
class Table:
    """A table of the page."""

    file: str = Field(description="Parquet file below the results folder of the scale")
    title: str = Field(description="heading")
    caption: str = Field(description="what it shows, and on what it stands")
    columns: tuple[str, ...] = Field(default=(), description="the columns shown, in order; all if left out")
    meaning: str = Field(
        default="", description="what the columns mean, Markdown, of a table that no study's function makes"
    )


@dataclass(frozen=True, config=STRICT)
class Finding:
    """One of the best-supported findings, which open the page."""

    rank: int = Field(ge=1, description="its place among those of all studies")
    text: str = Field(description="Markdown; {claim id} stands for what that claim measured")
    claims: tuple[str, ...] = Field(description="ids of the claims that it rests on")


@dataclass(frozen=True, config=STRICT)
class Section:
    """One study on the page."""

    study: str = Field(description="its name in the config")
    title: str = Field(description="heading")
    question: str = Field(description="what the study asks, Markdown")
    set_up: str = Field(description="what was run, Markdown")
    notes: tuple[str, ...] = Field(description="numbers of the notes whose claims belong here")
    headline: str = Field(description="file of the figure that the overview shows")
    findings: tuple[Finding, ...] = Field(default=(), description="what the top of the page says of it")
    figures: tuple[Figure, ...] = Field(default=(), description="figures, in order")
    tables: tuple[Table, ...] = Field(default=(), description="tables, in order")


def load_section(path: Path) -> Section:
    """Read one section file.

    Raises:
        InputError: the file cannot be read, or a key is missing or unknown.
    """
    return read(Section, read_yaml(path), f"{path}:")


def load_sections(folder: Path) -> list[Section]:
    """The sections ``<study>/page.yaml`` of a folder of studies, in the order of their notes."""
    return sorted(map(load_section, folder.glob("*/page.yaml")), key=lambda section: section.notes)
