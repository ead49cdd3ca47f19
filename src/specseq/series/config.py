"""Settings of corpora and evaluation sets. Nothing here imports torch."""

from typing import Annotated, Literal

from specseq.errors import InputError
from specseq.series.frequency import parse_frequency
from specseq.settings import STRICT, Field, dataclass

Preset = Literal["mini", "practical", "full"]
MOST_STEPS = 2048
"""Longest synthetic series in time steps T: a kernel matrix costs T² memory and T³/3 operations."""


@dataclass(frozen=True, config=STRICT)
class EmbeddedSizes:
    """Size of the synthetic part of the embedded data."""

    frequencies: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=("15T", "H", "D", "W", "M"), min_length=1, description="frequencies of the synthetic sets"
    )
    series: int = Field(default=64, ge=1, le=10**6, description="series per frequency")
    steps: int = Field(default=768, ge=64, le=MOST_STEPS, description="time steps per series")
    evaluated: int = Field(default=8, ge=1, description="series per frequency in the evaluation set")

    def __post_init__(self) -> None:
        for alias in self.frequencies:
            parse_frequency(alias, "frequencies")
        if self.evaluated > self.series:
            fault = f"{self.evaluated} of {self.series} series per frequency"
            raise InputError("evaluated", fault, "lower it, or raise series")


@dataclass(frozen=True, config=STRICT)
class Download:
    """Part of a repository on the Hugging Face hub that is downloaded."""

    datasets: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="names or patterns; null: all, of LOTSA those of the preset"
    )
    revision: str | None = Field(default=None, description="branch, tag or commit; null: the main branch")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class HubFiles:
    """Files of one repository on the Hugging Face hub."""

    repository: str = Field(pattern=r"^[^/]+/[^/]+$", description="owner/name")
    files: tuple[str, ...] = Field(min_length=1, description="paths in the repository, or patterns")
    revision: str | None = Field(default=None, description="branch, tag or commit; null: the main branch")


@dataclass(frozen=True, config=STRICT)
class LotsaDownload(Download):
    """Part of LOTSA that is downloaded."""

    preset: Preset | None = Field(
        default=None,
        description="mini (6 MB), practical (about 100 GB) or full (about 1 TB); null: datasets, or mini",
    )
