"""Read folders in the layout of ``datasets.save_to_disk`` through memory maps, using only pyarrow.

LOTSA and GIFT-Eval share the layout: one folder per data set, with Arrow IPC stream shards listed in
``state.json`` and the columns ``item_id``, ``start``, ``freq``, ``target`` (``list<float32>``, or
``list<list<float32>>`` for several variates of equal length; the outer list may be of fixed size). Some
sub-datasets of LOTSA have a column ``past_feat_dynamic_real`` of the same types: variates as long as the
target that are known only up to the present. Reading with pyarrow does not depend on how a version of
``datasets`` names its feature types.

Shapes: V variates, T time steps.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.progress import say_left_out
from specseq.series.lists import Rectangles, check_lists, read_rectangles
from specseq.tables.arrays import numpy_values

COLUMNS = ("item_id", "start", "freq", "target")
PAST_FEATURES = "past_feat_dynamic_real"
_LOOKED_BEYOND, _LONGEST_LEGACY_SCHEMA = 2, 1 << 20
_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_SAVE_AGAIN = "save it again with datasets.save_to_disk"
# First bytes of other formats, their names, and what to do about them.
_OTHER_FORMATS = (
    (b"ARROW1", "in the Arrow file format", _SAVE_AGAIN),
    (b"PAR1", "a Parquet file", _SAVE_AGAIN),
    (b"FEA1", "a Feather file", _SAVE_AGAIN),
    (b"version", "a Git LFS pointer", "fetch it with git lfs pull"),
    (b"\x1f\x8b", "compressed by gzip", "unpack it"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "compressed by Zstandard", "unpack it"),
)


@dataclass(frozen=True)
class Block(Rectangles):
    """One record batch of a shard: its targets and their metadata.

    Attributes:
        shard: the shard's path.
        item_id: one per row; None where it is missing.
        freq: one per row; empty where it is missing.
        start: ``datetime64[s]``, one per row; fractions of a second are cut off.
        past: the column ``past_feat_dynamic_real``, if requested and present in the shard.
    """

    shard: Path
    item_id: list[str | None]
    freq: list[str]
    start: NDArray[np.datetime64]
    past: Rectangles | None

    def target(self, row: int) -> NDArray[np.float32]:
        """The values of a row, [V, T]."""
        size = self.length[row] * self.variates[row]
        flat = self.values[self.offset[row] : self.offset[row] + size]
        return flat.reshape(self.variates[row], self.length[row])


@dataclass(frozen=True)
class SeriesFolder:
    """A data set folder; open one with :func:`open_folder`.

    Attributes:
        info: the content of ``dataset_info.json``.
    """

    folder: Path
    shards: tuple[Path, ...]
    info: dict[str, object]

    def blocks(self, past_features: bool = False) -> Iterator[Block]:
        """The record batches of all shards in order.

        Args:
            past_features: also read ``past_feat_dynamic_real`` where a shard has it.

        Raises:
            InputError: a shard is truncated, is not an Arrow stream, or has columns of the wrong type or
                values beyond the range of float32.
        """
        for shard in self.shards:
            yield from _read_shard(shard, past_features)

    def unused_columns(self) -> list[str]:
        """Columns of the shards that are not read, such as covariates, sorted.

        Raises:
            InputError: as for :meth:`blocks`.
        """
        found: set[str] = set()
        for shard in self.shards:
            with _open_shard(shard) as (reader, _):
                found |= set(reader.schema.names) - {*COLUMNS, PAST_FEATURES}
        return sorted(found)


def open_folder(folder: str | Path) -> SeriesFolder:
    """Open a ``save_to_disk`` folder.

    Raises:
        InputError: the folder, its ``state.json`` or a shard it names is missing or unreadable.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(folder, "no such data set folder", "give the folder that holds state.json")
    state = _read_json(folder / "state.json")
    files = state.get("_data_files") if isinstance(state, dict) else None
    listed = [f.get("filename") for f in files if isinstance(f, dict)] if isinstance(files, list) else []
    if not listed or not all(isinstance(name, str) for name in listed):
        raise InputError(folder / "state.json", "field _data_files names no shards", "download it again")
    shards = tuple(folder / str(name) for name in listed)
    for shard in shards:
        if not shard.is_file():
            raise InputError(shard, "this shard is missing", "download the data set again")
    if isinstance(state, dict) and state.get("_indices_data_files"):
        raise InputError(folder, "its rows are chosen by indices", "save it after flatten_indices()")
    names = {shard.name for shard in shards}
    if left_out := sorted(path.name for path in folder.glob("data-*.arrow") if path.name not in names):
        fault = f"state.json does not name {len(left_out)} of its shards, such as {left_out[0]}"
        raise InputError(folder, fault, "download the data set again, or remove them")
    info = _read_json(folder / "dataset_info.json")
    return SeriesFolder(folder, shards, info if isinstance(info, dict) else {})


def find_folders(root: str | Path, depth: int = 1) -> dict[str, Path]:
    """The data set folders below ``root`` by their relative path (``etth1`` or ``ett1/H``), sorted.

    Names that begin with a dot are skipped: they are half-written folders and download caches. Folders that
    hold Parquet files instead are named on standard error.

    Args:
        depth: largest number of folders on the path to a data set, including its own.

    Raises:
        InputError: the folder does not exist or holds no data set, or a data set lacks its ``state.json``,
            lies deeper or is a split of a DatasetDict.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(root, "no such folder", "give a folder of save_to_disk data sets")
    paths: list[Path] = []
    others: list[Path] = []
    for folder, inner, files in os.walk(root, followlinks=True):
        place = Path(folder).relative_to(root)
        level = len(place.parts)
        inner[:] = [] if level == depth + _LOOKED_BEYOND else [name for name in inner if name[0] != "."]
        if "dataset_dict.json" in files:
            splits = ", ".join(sorted(inner))
            raise InputError(folder, f"is a DatasetDict of {splits}", "move a split up, as a data set")
        if level and "state.json" in files:
            paths.append(place)
        elif 0 < level <= depth and any(name.endswith(".arrow") for name in files):
            raise InputError(folder, "holds shards but no state.json", "download it again, or remove it")
        elif any(name.endswith(".parquet") for name in files):
            others.append(place)
    if deep := sorted(path.as_posix() for path in paths if len(path.parts) > depth):
        fault = f"{len(deep)} data sets lie deeper than {depth} of its folders, such as {deep[0]}"
        raise InputError(root, fault, "move them up")
    if not paths:
        raise InputError(root, "holds no data set (no state.json below it)", "give a folder of data sets")
    if others:
        first = min(others).as_posix()
        say_left_out(f"{len(others)} folders of {root} with Parquet files and no state.json, such as {first}")
    return {path.as_posix(): root / path for path in sorted(paths)}


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(path, "this file is missing", "download the data set again") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"not JSON ({error})", "download the data set again") from None


@contextmanager
def _open_shard(
    shard: Path, past_features: bool = False
) -> Iterator[tuple[pa.RecordBatchStreamReader, pa.Buffer]]:
    """A reader of the shard's record batches, and the shard's mapped bytes."""
    if shard.stat().st_size < len(_END_OF_STREAM):
        raise InputError(shard, "truncated shard", "delete it and download it again")
    whole = pa.memory_map(str(shard)).read_buffer()
    _check_format(shard, whole.slice(0, len(_END_OF_STREAM)).to_pybytes())
    # A stream cut between two messages still parses as a shorter one; only the end marker reveals it.
    if whole.slice(whole.size - len(_END_OF_STREAM)).to_pybytes() != _END_OF_STREAM:
        raise InputError(shard, "truncated shard", "delete it and download it again")
    try:
        with pa.ipc.open_stream(pa.BufferReader(whole)) as reader:
            _check_schema(shard, reader.schema, past_features)
            yield reader, whole
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise InputError(shard, f"truncated or damaged shard ({error})", "download it again") from None


def _check_format(shard: Path, start: bytes) -> None:
    """Refuse formats other than an Arrow stream, by the first bytes."""
    if start[:4] == b"\xff\xff\xff\xff":
        return
    # Before Arrow 0.15 a message began with its length.
    legacy = int.from_bytes(start[:4], "little") < _LONGEST_LEGACY_SCHEMA
    form = "a legacy stream, as before Arrow 0.15" if legacy else f"not Arrow data (it begins with {start!r})"
    others = ((known, how) for magic, known, how in _OTHER_FORMATS if start.startswith(magic))
    form, remedy = next(others, (form, _SAVE_AGAIN))
    raise InputError(shard, f"is {form}; expected an Arrow stream", remedy)


def _read_shard(shard: Path, past_features: bool) -> Iterator[Block]:
    with _open_shard(shard, past_features) as (reader, whole):
        for batch in reader:
            # Offsets that point outside their buffer would be followed unchecked.
            batch.validate(full=True)
            yield _block(shard, batch, whole, past_features)


def _check_schema(shard: Path, schema: pa.Schema, past_features: bool) -> None:
    for name in COLUMNS:
        if name not in schema.names:
            raise InputError(shard, f"column {name} is missing", f"expected {', '.join(COLUMNS)}")
    for name in ("item_id", "freq"):
        kind = schema.field(name).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise InputError(shard, f"column {name} is {kind}", "expected string")
    if not pa.types.is_timestamp(schema.field("start").type):
        raise InputError(shard, f"column start is {schema.field('start').type}", "expected timestamp[s]")
    check_lists(shard, "target", schema.field("target").type)
    if past_features and _has_past_features(schema):
        check_lists(shard, PAST_FEATURES, schema.field(PAST_FEATURES).type)


def _has_past_features(schema: pa.Schema) -> bool:
    """Whether there is such a column; one without values may have no type."""
    return PAST_FEATURES in schema.names and not pa.types.is_null(schema.field(PAST_FEATURES).type)


def _block(shard: Path, batch: pa.RecordBatch, whole: pa.Buffer, past_features: bool) -> Block:
    past = None
    if past_features and _has_past_features(batch.schema):
        past = read_rectangles(shard, batch.column(PAST_FEATURES), whole)
    return Block(
        **vars(read_rectangles(shard, batch.column("target"), whole)),
        shard=shard,
        item_id=batch.column("item_id").to_pylist(),
        freq=[alias or "" for alias in batch.column("freq").to_pylist()],
        start=numpy_values(batch.column("start").cast(pa.timestamp("s"), safe=False)),
        past=past,
    )
