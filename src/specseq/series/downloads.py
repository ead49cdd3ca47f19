"""Downloads from the hub: files of data sets, of a text or of a model, into a folder."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from specseq.errors import InputError
from specseq.series.config import HubFiles, LotsaDownload
from specseq.series.hub import (
    FEV,
    GIFT_EVAL,
    LOTSA,
    HubRepository,
    RemoteFile,
    choose,
    data_set_folders,
    download,
)
from specseq.series.lotsa import lotsa_sub_datasets
from specseq.settings import STRICT, Field, dataclass

Source = Literal["lotsa", "gift_eval", "fev", "text", "chronos2"]
REPOSITORIES: Mapping[Source, str] = {"lotsa": LOTSA, "gift_eval": GIFT_EVAL, "fev": FEV}


@dataclass(frozen=True, config=STRICT, kw_only=True)
class DownloadRequest:
    """A download into a folder."""

    source: Source = Field(description="whose data")
    record: Path = Field(description="download.json in the target folder; it is written last")
    select: LotsaDownload | HubFiles = Field(
        default=LotsaDownload(),
        description="what to download: data sets (the preset is for LOTSA), or files of any repository",
    )

    def __post_init__(self) -> None:
        named = isinstance(self.select, HubFiles)
        if named == (self.source in REPOSITORIES):
            remedy = "give select.datasets" if named else "give select.repository and select.files"
            raise InputError("select", f"does not say what to download of {self.source}", remedy)
        if isinstance(self.select, LotsaDownload) and self.select.preset and self.source != "lotsa":
            raise InputError("select.preset", f"{self.source} has no presets", "give select.datasets")


def download_source(request: DownloadRequest) -> dict[str, Any]:
    """Download data sets or files, checked and resumable; returns the record.

    Raises:
        InputError: no network, no such data set or file, or a full disk.
    """
    select = request.select
    repository = repository_of(request.source, select)
    if isinstance(select, HubFiles):
        chosen = {
            pattern: _matching(pattern, repository.files(), repository.name) for pattern in select.files
        }
    else:
        chosen = _chosen(request.source, select, repository.files())
    record = download(
        repository, [file for files in chosen.values() for file in files], request.record.parent
    )
    unit = "files" if isinstance(select, HubFiles) else "data sets"
    count = len(record["files"]) if isinstance(select, HubFiles) else len(chosen)
    print(f"{count} {unit}, {record['bytes'] / 1e6:.1f} MB in {request.record.parent}")
    return record


def repository_of(source: Source, select: LotsaDownload | HubFiles) -> HubRepository:
    """The repository that holds a source."""
    name = select.repository if isinstance(select, HubFiles) else REPOSITORIES[source]
    kind: Literal["model", "dataset"] = "model" if source == "chronos2" else "dataset"
    return HubRepository(name, select.revision or "main", kind=kind)


def _chosen(
    source: Source, select: LotsaDownload, files: Sequence[RemoteFile]
) -> dict[str, list[RemoteFile]]:
    """The files of each requested data set."""
    folders = _parquet_folders(files) if source == "fev" else data_set_folders(files)
    if source == "lotsa":
        preset = select.preset or (None if select.datasets else "mini")
        names = lotsa_sub_datasets(list(folders), preset, select.datasets or ())
    else:
        names = choose(list(folders), select.datasets or list(folders), REPOSITORIES[source])
    return {name: folders[name] for name in names}


def _matching(pattern: str, files: Sequence[RemoteFile], repository: str) -> list[RemoteFile]:
    """The files of a repository that a pattern matches."""
    matched = [file for file in files if fnmatchcase(file.path, pattern)]
    if not matched:
        there = ", ".join(file.path for file in files[:8])
        raise InputError(repository, f"has no file {pattern!r}", f"it has {there}")
    return matched


def _parquet_folders(files: Sequence[RemoteFile]) -> dict[str, list[RemoteFile]]:
    """Parquet files by their top-level folder."""
    folders: dict[str, list[RemoteFile]] = {}
    for file in files:
        if file.path.endswith(".parquet"):
            folders.setdefault(file.path.split("/")[0], []).append(file)
    return folders
