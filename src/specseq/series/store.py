"""The memory-mapped store that training reads.

A store is a folder with ``manifest.json`` (written last, so that a store with a manifest is complete) and
``index.parquet``. The index gives each series' file, offset, length and frequency, and the location of its
past features if a series of the corpus has any. Values that are plain float32 stay in the Arrow shards of the
corpus; values that needed cleaning are in a file of the store. Reading a window copies nothing.

Shapes: N series, V variates, T time steps.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError

FORMAT = 1
MANIFEST, INDEX = "manifest.json", "index.parquet"
INDEX_SCHEMA = pa.schema(
    {
        "dataset": pa.int32(),
        "row": pa.int64(),
        "file": pa.int32(),
        "offset": pa.int64(),
        "length": pa.int64(),
        "variates": pa.int32(),
        "frequency": pa.int32(),
        "complete": pa.bool_(),
    }
)
# Further columns of the index if a series has past features.
PAST_SCHEMA = pa.schema(
    {
        "past_file": pa.int32(),
        "past_offset": pa.int64(),
        "past_variates": pa.int32(),
        "past_complete": pa.bool_(),
    }
)


@dataclass(frozen=True)
class PastFeatures:
    """Location of each series' past features, LOTSA's column ``past_feat_dynamic_real``.

    Attributes:
        file, offset: as for the store's series; 0 for a series without past features.
        variates: ``int64 [N]``, number of past features, each as long as the series.
        complete: ``bool [N]``, no value is missing.
    """

    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    variates: NDArray[np.int64]
    complete: NDArray[np.bool_]


@dataclass(frozen=True)
class Store:
    """A prepared corpus; open one with :func:`open_store`.

    Attributes:
        datasets: names of the sub-datasets.
        frequencies: normalised aliases.
        dataset: ``int32 [N]``, index into ``datasets``.
        row: ``int64 [N]``, row within the sub-dataset's folder.
        file: ``int32 [N]``, index into the manifest's files.
        offset: ``int64 [N]``, start of the series in the file, in float32 elements.
        length: ``int64 [N]``, T.
        variates: ``int64 [N]``, V; variate v begins ``v·T`` elements after the first.
        frequency: ``int32 [N]``, index into ``frequencies``.
        complete: ``bool [N]``, no value is missing.
        past: the series' past features; None if no series has any.
    """

    folder: Path
    manifest: dict[str, Any]
    datasets: tuple[str, ...]
    frequencies: tuple[str, ...]
    dataset: NDArray[np.int32]
    row: NDArray[np.int64]
    file: NDArray[np.int32]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    variates: NDArray[np.int64]
    frequency: NDArray[np.int32]
    complete: NDArray[np.bool_]
    past: PastFeatures | None = None

    def __len__(self) -> int:
        return len(self.offset)

    @cached_property
    def values(self) -> list[NDArray[np.float32]]:
        """The mapped files as flat float32 arrays."""
        return [_map_file(self.folder, entry) for entry in self.manifest["files"]]

    def series(self, number: int) -> NDArray[np.float32]:
        """A series, ``[V, T]``; a view of the mapped file, NaN where a value is missing."""
        return self._view(self.file[number], self.offset[number], self.variates[number], self.length[number])

    def past_features(self, number: int) -> NDArray[np.float32]:
        """The past features of a series, ``[V, T]`` with V = 0 where it has none."""
        past = self.past
        if past is None:
            return np.zeros((0, self.length[number]), np.float32)
        return self._view(past.file[number], past.offset[number], past.variates[number], self.length[number])

    def _view(self, file: int, begin: int, variates: int, length: int) -> NDArray[np.float32]:
        return self.values[file][begin : begin + variates * length].reshape(variates, length)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Store":
        """The store restricted to some of its series, given as a mask or as numbers."""
        names = ("dataset", "row", "file", "offset", "length", "variates", "frequency", "complete")
        past = self.past and PastFeatures(*(values[chosen] for values in vars(self.past).values()))
        return replace(self, past=past, **{name: getattr(self, name)[chosen] for name in names})


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a store.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(folder, "is not a finished store (no manifest.json)", "run prepare_lotsa") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(folder / MANIFEST, f"not JSON ({error})", "run prepare_lotsa again") from None
    if not isinstance(manifest, dict):
        raise InputError(folder / MANIFEST, "holds no fields", "run prepare_lotsa again")
    return manifest


def open_store(folder: str | Path) -> Store:
    """Open a store made by :func:`specseq.series.prepare.prepare_store`.

    Raises:
        InputError: the store is missing, unfinished or damaged, or its corpus has moved or changed.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    if manifest.get("format") != FORMAT:
        raise InputError(folder, "was made by another version", "delete it and run prepare_lotsa again")
    index = folder / INDEX
    if not index.is_file() or file_digest(index) != manifest["index_sha256"]:
        raise InputError(index, "is missing or not the manifest's", "run prepare_lotsa again")
    for entry in manifest["files"]:
        _check_file(folder, entry)
    table = pq.read_table(index)
    columns = _columns(table, INDEX_SCHEMA)
    columns["variates"] = columns["variates"].astype(np.int64)
    past = None
    if PAST_SCHEMA.names[0] in table.column_names:
        file, offset, variates, complete = _columns(table, PAST_SCHEMA).values()
        past = PastFeatures(file, offset, variates.astype(np.int64), complete)
    datasets, frequencies = tuple(manifest["datasets"]), tuple(manifest["frequencies"])
    return Store(folder, manifest, datasets, frequencies, **columns, past=past)


def _columns(table: pa.Table, schema: pa.Schema) -> dict[str, NDArray[Any]]:
    return {name: table.column(name).to_numpy() for name in schema.names}


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _check_file(folder: Path, entry: dict[str, Any]) -> Path:
    path = folder / entry["path"]
    if not path.is_file():
        raise InputError(
            path, "a file of the store's corpus is gone", "put it back or run prepare_lotsa again"
        )
    if path.stat().st_size != entry["bytes"]:
        raise InputError(path, "has changed since the store was prepared", "run prepare_lotsa again")
    return path


def _map_file(folder: Path, entry: dict[str, Any]) -> NDArray[np.float32]:
    path = _check_file(folder, entry)
    # A plain view: slicing an np.memmap costs several times more than slicing an array.
    return np.asarray(np.memmap(path, np.float32, mode="r", shape=(entry["bytes"] // 4,)))
