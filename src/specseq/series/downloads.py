"""Downloads of LOTSA, GIFT-Eval and FEV-Bench from the hub: which files, and where they go."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

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
REPOSITORIES: Mapping[Source, str] = dict(zip(get_args(Source), (LOTSA, GIFT_EVAL, FEV), strict=True))


@dataclass(frozen=True, config=STRICT)
class Download:
    """What is downloaded from the hub."""

    preset: Literal["mini", "practical", "full"] | None = Field(
        default=None,
        description="sub-datasets of LOTSA by size; mini where neither preset nor datasets are given",
    )
    datasets: tuple[str, ...] = Field(
        default=(),
        description="names or patterns of data sets, such as ett1, ett1/H, m4_*, ETT_1H; all where empty",
    )
    revision: str = Field(default="main", description="branch, tag or commit of the repository")

    def chosen(self, source: Source, files: Sequence[RemoteFile]) -> dict[str, list[RemoteFile]]:
        """The files of each data set that is asked for.

        Raises:
            InputError: the repository has no such data set.
        """
        if source == "fev":
            folders: dict[str, list[RemoteFile]] = {}
            for file in files:
                if file.path.endswith(".parquet"):
                    folders.setdefault(file.path.split("/")[0], []).append(file)
        else:
            folders = data_set_folders(files)
        if source == "lotsa":
            preset = self.preset or (None if self.datasets else "mini")
            names = lotsa_sub_datasets(list(folders), preset, self.datasets)
        else:
            names = choose(list(folders), self.datasets or list(folders), REPOSITORIES[source])
        return {name: folders[name] for name in names}


@dataclass(frozen=True, config=STRICT, kw_only=True)
class DownloadRequest:
    """A download into a folder."""

    source: Source = Field(description="whose data")
    record: Path = Field(description="download.json of the folder to download to; it is written last")
    select: Download = Download()


def download_data_sets(request: DownloadRequest) -> dict[str, Any]:
    """Download data sets, checked and resumable; returns the record.

    Raises:
        InputError: no network, no such data set, or a full disk.
    """
    repository = HubRepository(REPOSITORIES[request.source], request.select.revision)
    chosen = request.select.chosen(request.source, repository.files())
    record = download(
        repository, [file for files in chosen.values() for file in files], request.record.parent
    )
    print(f"{len(chosen)} data sets, {record['bytes'] / 1e6:.1f} MB in {request.record.parent}")
    return record
