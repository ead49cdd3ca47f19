"""Everything that ``config.yaml`` may set, and the plan that is read from it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from specseq.equilibrium.text.config import DeclaredText, LocalText, TokenFiles
from specseq.errors import InputError
from specseq.filters.config import NamedFilter
from specseq.launch.settings import SlurmSettings
from specseq.series.config import Download, EmbeddedSizes, HubFiles, LotsaDownload
from specseq.settings import STRICT, Field, dataclass, read
from specseq.spacings.config import SpacingReferences, SpacingSplits
from specseq.studies import studies
from specseq.studies.outside import check_there, tidy_path
from specseq.sweeps import Config, Kinds, Plan, read_config
from specseq.zeros.config import ZeroSource

EMBEDDED, HUB = "embedded", "hub"
AUTO, ELSEWHERE, ON_SLURM = "auto", "laptop", "paper"
Folder = Annotated[str, Field(min_length=1), AfterValidator(tidy_path)]
ALL = "all"
"""In place of a study's name: applies to every study and wins over its settings."""
RULES = (
    *("audit", "design", "design_matched", "evaluate", "leakage", "measure", "mechanisms"),
    *("prepare_gift_eval", "prepare_lotsa", "pretrain", "references", "residuals", "rollout"),
    *("spacings", "text", "zeros"),
)
"""The rules that ask for resources."""


@dataclass(frozen=True, config=STRICT)
class DataSettings:
    """Where the data are, and the sizes of what is generated."""

    lotsa: Folder = Field(
        default=EMBEDDED, description="`embedded`, `hub` to download it, or a folder in LOTSA's layout"
    )
    gift_eval: Folder = Field(
        default=EMBEDDED, description="`embedded`, `hub` to download it, or a folder in GIFT-Eval's layout"
    )
    fev: Folder | None = Field(
        default=None,
        description="`hub` to download FEV-Bench, or a folder of its tasks (task/*.parquet); null: none",
    )
    chronos2: Folder = Field(
        default=HUB, description="`hub` to download Chronos-2, or a folder of its weights"
    )
    seed: int = Field(default=0, ge=0, description="decides the synthetic series")
    min_length: int = Field(default=17, ge=1, description="shorter training series are skipped and counted")
    exclude: tuple[str, ...] = Field(
        default=(),
        description="sub-datasets left out of training: names, patterns, or `overlap` for those in GIFT-Eval",
    )
    embedded: EmbeddedSizes = Field(default=EmbeddedSizes(), description="size of the synthetic series")
    text: DeclaredText = Field(default=DeclaredText(), description="text of the equilibrium study")
    zeros: ZeroSource = Field(
        default=ZeroSource(index=1, count=100_000), description="which zeros, computed or from files"
    )
    spacings: SpacingSplits = Field(default=SpacingSplits(), description="sets of spacings")
    references: SpacingReferences = Field(
        default=SpacingReferences(), description="reference predictors of spacings"
    )

    def __post_init__(self) -> None:
        for name in ("lotsa", "gift_eval", "fev", "chronos2"):
            if (folder := getattr(self, name)) not in (None, EMBEDDED, HUB):
                check_there(folder, name, words=(HUB, EMBEDDED))
        for name in ("fev", "chronos2"):
            if getattr(self, name) == EMBEDDED:
                raise InputError(name, "none is embedded", "give hub or a folder")
        if isinstance(source := self.text.source, LocalText | TokenFiles):
            check_there(source.path, "text.source.path", folder=isinstance(source, TokenFiles))
        if self.zeros.platt:
            check_there(self.zeros.platt, "zeros.platt", folder=False)
        if self.spacings.arrays:
            check_there(self.spacings.arrays, "spacings.arrays")


@dataclass(frozen=True, config=STRICT)
class Downloads:
    """Sources that the rule ``download`` fetches."""

    lotsa: LotsaDownload | None = None
    gift_eval: Download | None = None
    fev: Download | None = None
    text: HubFiles | None = None
    chronos2: HubFiles | None = None


@dataclass(frozen=True, config=STRICT, kw_only=True)
class StageResources:
    """Resources of one rule; a stage that is tried again gets more time and memory."""

    minutes: int = Field(default=120, ge=1, description="time limit; training goes on in a new job")
    mem_mb: int = Field(default=8000, ge=100, description="memory in MB")
    cpus: int = Field(default=1, ge=1, description="CPU cores")
    gpus: int = Field(
        default=0,
        ge=0,
        description="GPUs, on the partition of the section `slurm`; without SLURM one of this machine",
    )


@dataclass(frozen=True, config=STRICT)
class WorkflowConfig:
    """Every key that ``config.yaml`` may hold."""

    scale: str = Field(
        description="scale that `snakemake` makes when it is given no target; auto: paper with "
        "`--profile slurm`, laptop elsewhere"
    )
    launcher: Literal["auto", "local", "slurm"] = Field(
        default="auto", description="where training runs: here, or in SLURM jobs; auto: where snakemake runs"
    )
    partial: bool = Field(
        default=False, description="make tables from the runs that exist instead of waiting for all"
    )
    slurm: SlurmSettings = Field(default=SlurmSettings(), description="training jobs on SLURM")
    data: dict[str, Any] = Field(default_factory=dict, description="data sources; wins over the scale's")
    downloads: Downloads = Field(default=Downloads(), description="what is downloaded on demand")
    resources: dict[str, Any] = Field(
        default_factory=dict,
        description="what rules ask for, {study: {rule: {minutes, mem_mb, cpus, gpus}}}; all: {...} wins",
    )
    filters: dict[str, Any] = Field(
        default_factory=dict, description="filters by name, beside those of the preconditioning study"
    )
    studies: dict[str, Any] = Field(
        default_factory=dict, description="sweeps of your own, and changes of the studies' sweeps"
    )
    scales: dict[str, Any] = Field(
        default_factory=dict, description="scales of your own, and changes of the scales' files"
    )


@cache
def kinds() -> Kinds:
    """The settings classes that a plan is read with, of every study that can be found."""
    return Kinds(studies(), DataSettings, NamedFilter, StageResources, RULES)


def read_settings(config: Config) -> WorkflowConfig:
    """The settings of a config.

    Raises:
        InputError: a key of the config is wrong.
    """
    given = {key: value for key, value in config.content.items() if value is not None}
    try:
        return read(WorkflowConfig, given, "")
    except InputError as error:
        key = error.where.strip(".")
        raise InputError(f"{config.source(key.split('.'))}: {key}", error.fault, error.remedy) from None


def with_scale(config: Config, slurm: bool = False) -> Config:
    """The config with a scale in place of ``auto``: another if Snakemake submits to SLURM than here."""
    if config.content.get("scale") != AUTO:
        return config
    return replace(config, content={**config.content, "scale": ON_SLURM if slurm else ELSEWHERE})


def make_plan(config: Config, root: Path | None = None) -> Plan:
    """The plan of a config whose settings have been read."""
    return Plan(with_scale(config), kinds(), root)


def load_plan(root: Path = Path(), files: Sequence[Path] = (), words: Sequence[str] = ()) -> Plan:
    """The plan of the workflow in a folder, with what ``--configfile`` and ``--config`` would add.

    Raises:
        InputError: the folder holds no workflow, or the config is wrong.
    """
    if not (root / "config.yaml").is_file():
        raise InputError(root / "config.yaml", "not found", "run this from the root of the workflow")
    config = read_config(root / "config.yaml", files, words)
    read_settings(config)
    return make_plan(config, root)
