"""Write folders in the layout of ``datasets.save_to_disk`` using only pyarrow.

Shapes: V variates, T time steps.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_ROWS_PER_BATCH = 1000


@dataclass(frozen=True)
class Item:
    """One series.

    Attributes:
        item_id: its name within the data set.
        start: time of the first step.
        freq: frequency alias.
        target: ``[T]`` or ``[V, T]``, NaN where a value is missing; stored as float32.
    """

    item_id: str
    start: np.datetime64
    freq: str
    target: NDArray[np.floating[Any]]


def write_folder(
    folder: str | Path, items: Sequence[Item], shards: int = 1, licence: str = "", source: str = ""
) -> None:
    """Write a data set folder atomically, replacing an existing one.

    Args:
        items: the series, all one-dimensional or all two-dimensional.
        shards: number of Arrow files.
        licence: stated in ``dataset_info.json`` under ``license``.
        source: stated under ``homepage``.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    ranks = {item.target.ndim for item in items}
    if len(ranks) != 1 or not ranks <= {1, 2}:
        raise ValueError(f"series of one data set share one dimension, 1 or 2; found {sorted(ranks)}")
    depth = ranks.pop()
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        names = [f"data-{number:05d}-of-{shards:05d}.arrow" for number in range(shards)]
        for number, name in enumerate(names):
            first, last = (len(items) * (number + edge) // shards for edge in (0, 1))
            _write_shard(temporary / name, items[first:last], depth)
        info = {"citation": "", "description": "", "features": _features(depth)}
        _write_json(temporary / "dataset_info.json", {**info, "homepage": source, "license": licence})
        _write_json(temporary / "state.json", _state(names, _fingerprint(temporary, names)))
        temporary.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _nested(kind: Any, depth: int, wrap: Any) -> Any:
    for _ in range(depth):
        kind = wrap(kind)
    return kind


def _features(depth: int) -> dict[str, Any]:
    def value(dtype: str) -> dict[str, Any]:
        return {"dtype": dtype, "_type": "Value"}

    # Every version of datasets understands "Sequence", but only version 4 and later "List".
    target = _nested(value("float32"), depth, lambda inner: {"feature": inner, "_type": "Sequence"})
    return {
        "item_id": value("string"),
        "start": value("timestamp[s]"),
        "freq": value("string"),
        "target": target,
    }


def _fingerprint(folder: Path, names: list[str]) -> str:
    """The key of ``datasets`` caches, so it must depend on the content."""
    total = hashlib.sha256()
    for name in names:
        total.update((folder / name).read_bytes())
    return total.hexdigest()[:16]


def _state(names: list[str], fingerprint: str) -> dict[str, Any]:
    return {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _target(items: Sequence[Item], depth: int) -> pa.Array:
    flat = [np.asarray(item.target, dtype=np.float32).ravel() for item in items]
    array = pa.array(np.concatenate(flat)) if flat else pa.array([], pa.float32())
    lengths = [item.target.shape[-1] for item in items]
    if depth == 2:
        variates = [item.target.shape[0] for item in items]
        array = _lists(array, np.repeat(lengths, variates))
        return _lists(array, variates)
    return _lists(array, lengths)


def _lists(children: pa.Array, sizes: Sequence[int] | NDArray[np.int64]) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.cumsum([0, *sizes]), pa.int32()), children)


def _write_shard(path: Path, items: Sequence[Item], depth: int) -> None:
    schema = pa.schema(
        {
            "item_id": pa.string(),
            "start": pa.timestamp("s"),
            "freq": pa.string(),
            "target": _nested(pa.float32(), depth, pa.list_),
        },
        metadata={"huggingface": json.dumps({"info": {"features": _features(depth)}})},
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for first in range(0, len(items), _ROWS_PER_BATCH):
            part = items[first : first + _ROWS_PER_BATCH]
            columns = [
                pa.array([item.item_id for item in part], pa.string()),
                pa.array(np.array([item.start for item in part], dtype="datetime64[s]")),
                pa.array([item.freq for item in part], pa.string()),
                _target(part, depth),
            ]
            arrays = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
