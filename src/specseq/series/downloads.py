"""Downloads of LOTSA, GIFT-Eval and FEV-Bench from the hub: which files, and where they go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from specseq.errors import InputError
from specseq.series.config import LotsaDownload
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
from specseq.series.presets import lotsa_sub_datasets
from specseq.settings import STRICT, Field, dataclass

Source = Literal["lotsa", "gift_eval", "fev"]
REPOSITORIES: Mapping[Source, str] = {"lotsa": LOTSA, "gift_eval": GIFT_EVAL, "fev": FEV}


@dataclass(frozen=True, config=STRICT, kw_only=True)
class DownloadRequest:
    """A download into a folder."""

    source: Source = Field(description="whose data")
    record: Path = Field(description="download.json of the folder to download to; it is written last")
    select: LotsaDownload = Field(
        default=LotsaDownload(), description="what is downloaded; the preset is LOTSA's"
    )

    def __post_init__(self) -> None:
        if self.select.preset is not None and self.source != "lotsa":
            raise InputError("select.preset", f"{self.source} has no presets", "give select.datasets")


def download_data_sets(request: DownloadRequest) -> dict[str, Any]:
    """Download data sets, checked and resumable; returns the record.

    Raises:
        InputError: no network, no such data set, or a full disk.
    """
    repository = HubRepository(REPOSITORIES[request.source], request.select.revision or "main")
    chosen = _chosen(request.source, request.select, repository.files())
    record = download(
        repository, [file for files in chosen.values() for file in files], request.record.parent
    )
    print(f"{len(chosen)} data sets, {record['bytes'] / 1e6:.1f} MB in {request.record.parent}")
    return record


def _chosen(
    source: Source, select: LotsaDownload, files: Sequence[RemoteFile]
) -> dict[str, list[RemoteFile]]:
    """The files of each data set that is asked for."""
    folders = _parquet_folders(files) if source == "fev" else data_set_folders(files)
    if source == "lotsa":
        preset = select.preset or (None if select.datasets else "mini")
        names = lotsa_sub_datasets(list(folders), preset, select.datasets or ())
    else:
        names = choose(list(folders), select.datasets or list(folders), REPOSITORIES[source])
    return {name: folders[name] for name in names}


def _parquet_folders(files: Sequence[RemoteFile]) -> dict[str, list[RemoteFile]]:
    """Parquet files by the folder at the top that they are in."""
    folders: dict[str, list[RemoteFile]] = {}
    for file in files:
        if file.path.endswith(".parquet"):
            folders.setdefault(file.path.split("/")[0], []).append(file)
    return folders
