"""Prepare a corpus in LOTSA's layout: manifest, index and, where needed, cleaned values.

Sub-datasets are prepared one by one, each written under a temporary name and renamed; the manifest comes
last. An interrupted preparation continues with the unfinished sub-datasets. If the corpus changes, only the
changed parts are redone; if the code changes, everything.
"""

import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from specseq.errors import InputError, full_disk
from specseq.progress import Progress
from specseq.series.arrow import SeriesFolder, find_folders, open_folder
from specseq.series.hub import check_finished, recorded_checksums
from specseq.series.lotsa import gift_eval_overlap
from specseq.series.scan import SCHEMA, Scan, scan_folder
from specseq.series.store import FORMAT, INDEX, INDEX_SCHEMA, MANIFEST, file_digest
from specseq.sources import source_digest
from specseq.tables.files import atomic_path, write_text

_PARTS = "parts"
OVERLAP = "overlap"


def prepare_store(
    source: str | Path, out: str | Path, min_length: int = 16, exclude: Sequence[str] = ()
) -> dict[str, Any]:
    """Prepare every sub-dataset below ``source`` for training.

    Args:
        source: folder of ``save_to_disk`` folders, one per sub-dataset.
        min_length: series with fewer time steps are skipped and counted.
        exclude: names or patterns of sub-datasets to leave out; ``overlap`` leaves out those that overlap
            with GIFT-Eval.

    Returns:
        The manifest. For a sub-dataset with past features, ``past_features`` states how many series have them
        and how many values there are; columns that are not read are listed as ``unused_columns``.

    Raises:
        InputError: no corpus, an unfinished download, a shard that is damaged or differs from
            ``download.json``, past features of a different length than their target, an exclusion that
            matches nothing, no usable series, or a full disk. Finished parts remain, and another call
            continues from there.
    """
    source, out = Path(source).resolve(), Path(out).resolve()
    check_finished(source)
    folders = find_folders(source)
    checksums = recorded_checksums(source)
    excluded = excluded_names(list(folders), exclude)
    settings = {"min_length": min_length}
    with full_disk(out):
        (out / _PARTS).mkdir(parents=True, exist_ok=True)
        # Half-written leftovers of a killed preparation.
        for stale in (out / _PARTS).glob(".*.part"):
            stale.unlink()
        parts: dict[str, dict[str, Any]] = {}
        progress = Progress(len(folders) - len(excluded), "sub-dataset")
        for name, path in folders.items():
            if name not in excluded:
                parts[name] = _prepare_part(name, open_folder(path), out, settings, checksums)
                progress.update(len(parts))
        return _finish(source, out, parts, sorted(excluded), settings)


def excluded_names(names: Sequence[str], exclude: Sequence[str]) -> set[str]:
    """The sub-datasets named by an exclusion list.

    Raises:
        InputError: an entry other than ``overlap`` matches none.
    """
    gone: set[str] = set()
    for pattern in exclude:
        if pattern == OVERLAP:
            gone |= {name for name in names if gift_eval_overlap(name)}
            continue
        matched = {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise InputError(
                "exclude", f"{pattern!r} matches no sub-dataset", f"there are {', '.join(names)}"
            )
        gone |= matched
    return gone


def _state_of(folder: SeriesFolder, settings: dict[str, Any]) -> dict[str, Any]:
    shards = [[shard.name, shard.stat().st_size, shard.stat().st_mtime_ns] for shard in folder.shards]
    return {
        "folder": str(folder.folder),
        "shards": shards,
        "settings": settings,
        "code": source_digest("series/prepare.py"),
    }


def _prepare_part(
    name: str, folder: SeriesFolder, out: Path, settings: dict[str, Any], checksums: Mapping[str, str]
) -> dict[str, Any]:
    record_path = out / _PARTS / f"{name}.json"
    state = _state_of(folder, settings)
    if record_path.is_file():
        record = json.loads(record_path.read_text(encoding="utf-8"))
        if record["state"] == state and _whole(out, name, record):
            return record
    # From here until the end of the preparation, the old manifest would be wrong.
    (out / MANIFEST).unlink(missing_ok=True)
    record_path.unlink(missing_ok=True)
    digests = _digests(name, folder, checksums)
    values = out / _PARTS / f"{name}.f32"
    with atomic_path(values) as path, path.open("wb") as handle:
        scan = scan_folder(folder, settings["min_length"], handle, past_features=True)
    if not scan.copied:
        values.unlink()
    with atomic_path(out / _PARTS / f"{name}.parquet") as path:
        pq.write_table(scan.index, path, compression="zstd")
    record = {
        "state": state,
        **describe(name, folder, scan),
        "sha256": digests,
        "files": _files(out, values, scan),
    }
    write_text(record_path, json.dumps(record, indent=1) + "\n")
    return record


def _whole(out: Path, name: str, record: dict[str, Any]) -> bool:
    """Whether the files described by the record still exist."""
    files = [(out / entry["path"], entry["bytes"]) for entry in record["files"]]
    there = all(path.is_file() and path.stat().st_size == size for path, size in files)
    return there and (out / _PARTS / f"{name}.parquet").is_file()


def _digests(name: str, folder: SeriesFolder, checksums: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of every shard.

    Raises:
        InputError: a checksum differs from that of the download.
    """
    digests = {shard.name: file_digest(shard) for shard in folder.shards}
    for shard in folder.shards:
        if checksums.get(f"{name}/{shard.name}", digests[shard.name]) != digests[shard.name]:
            raise InputError(shard, "wrong checksum: not what was downloaded", "run the download again")
    return digests


def _files(out: Path, values: Path, scan: Scan) -> list[dict[str, Any]]:
    entries = []
    for file in scan.files:
        path = file or values
        # Files inside the store move with it; those of a corpus elsewhere keep their absolute path.
        inside = path.is_relative_to(out)
        entries.append({"path": str(path.relative_to(out) if inside else path), "bytes": path.stat().st_size})
    return entries


def describe(name: str, folder: SeriesFolder, scan: Scan) -> dict[str, Any]:
    """Manifest entry of a sub-dataset, apart from its checksums."""
    unused = folder.unused_columns()
    return {
        "series": scan.series,
        "steps": scan.steps,
        "points": scan.points,
        "variates": list(scan.variates),
        "frequencies": scan.frequencies,
        "bytes": sum(shard.stat().st_size for shard in folder.shards),
        "licence": str(folder.info.get("license") or "not stated"),
        "source": str(folder.info.get("homepage") or "not stated"),
        "gift_eval_overlap": gift_eval_overlap(name),
        "skipped": dict(sorted(scan.skipped.items())),
        "missing_points": scan.missing,
        "infinite_points": scan.infinite,
        "negative_points": scan.negative,
        "copied_points": scan.copied,
        **({"past_features": {"variates": list(scan.past_variates), **scan.past}} if scan.past else {}),
        **({"unused_columns": unused} if unused else {}),
    }


def _finish(
    source: Path, out: Path, parts: dict[str, dict[str, Any]], excluded: list[str], settings: dict[str, Any]
) -> dict[str, Any]:
    total = {key: sum(part[key] for part in parts.values()) for key in ("series", "steps", "points", "bytes")}
    if not total["series"]:
        reasons = sorted({reason for part in parts.values() for reason in part["skipped"]})
        raise InputError(source, f"holds no usable series ({', '.join(reasons) or 'all excluded'})")
    files: list[dict[str, Any]] = []
    frequencies = sorted({alias for part in parts.values() for alias in part["frequencies"]})
    tables = []
    for number, (name, part) in enumerate(parts.items()):
        table = pq.read_table(out / _PARTS / f"{name}.parquet", schema=SCHEMA)
        code = np.array([frequencies.index(alias) for alias in part["frequencies"]], dtype=np.int32)
        columns = {column: table.column(column).to_numpy() for column in SCHEMA.names}
        columns["dataset"] = columns["dataset"] + number
        columns["file"] = columns["file"] + len(files)
        columns["past_file"] = columns["past_file"] + len(files) * (columns["past_variates"] > 0)
        columns["frequency"] = code[columns["frequency"]]
        tables.append(pa.table(columns, schema=SCHEMA))
        files += part["files"]
    (out / MANIFEST).unlink(missing_ok=True)
    index = pa.concat_tables(tables)
    if not any("past_features" in part for part in parts.values()):
        index = index.select(INDEX_SCHEMA.names)
    with atomic_path(out / INDEX) as path:
        pq.write_table(index, path, compression="zstd")
    manifest = {
        "format": FORMAT,
        "source": os.fspath(source),
        **settings,
        "excluded": excluded,
        **total,
        "skipped": sum(sum(part["skipped"].values()) for part in parts.values()),
        "frequencies": frequencies,
        "datasets": {
            name: {key: value for key, value in part.items() if key not in ("state", "files")}
            for name, part in parts.items()
        },
        "files": files,
        "index_sha256": file_digest(out / INDEX),
    }
    write_text(out / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    return manifest
