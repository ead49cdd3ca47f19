"""Corpora whose series have past features, for the tests of several rooms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from specseq.series.arrow_writer import Item, write_folder
from specseq.series.prepare import prepare_store
from specseq.series.store import Store, open_store

START = np.datetime64("2020-01-01T00:00:00")
# Values of `coded` at or above it are those of past features.
PAST = 2.0**22


def add_past_features(folder: Path, rows: Sequence[Any], kind: pa.DataType | None = None) -> None:
    """Give the only shard of a folder the column ``past_feat_dynamic_real``; None is a row without."""
    (shard,) = folder.glob("*.arrow")
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all()
    lists = [row.tolist() if isinstance(row, np.ndarray) else row for row in rows]
    column = pa.array(lists, kind or pa.list_(pa.list_(pa.float32())))
    table = table.append_column("past_feat_dynamic_real", column)
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def coded(series: int, variates: int, steps: int, past: bool = False) -> np.ndarray:
    """Values that name field, series, variate and time: exact in float32."""
    rows = 2.0**12 * (32 * series + np.arange(variates))
    return PAST * past + rows[:, None] + np.arange(float(steps))


def coded_store(root: Path, shapes: Sequence[tuple[int, int, int]], name: str = "wide") -> Store:
    """A prepared corpus of one hourly sub-dataset: targets, past features and steps of each series."""
    items = [Item(str(n), START, "H", coded(n, v, steps)) for n, (v, _, steps) in enumerate(shapes)]
    write_folder(root / "corpus" / name, items)
    past = [coded(n, p, steps, past=True) if p else None for n, (_, p, steps) in enumerate(shapes)]
    add_past_features(root / "corpus" / name, past)
    prepare_store(root / "corpus", root / "store")
    return open_store(root / "store")
