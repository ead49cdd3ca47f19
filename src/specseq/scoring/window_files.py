"""Write a benchmark's windows as files, so that a forecaster in any language can forecast exactly these.

One Parquet file per config or task, ``<name>.parquet``, with a row per series:

* ``item_id`` and ``target``: as forecasts name them, see :mod:`specseq.scoring.forecast_files`.
* ``start``: time of the first value; ``freq``: the frequency's alias; ``seasonality``; ``horizon``.
* ``values``: the series up to the last cut-off; null where a value is missing. No value after it is written.
* ``window``, ``first``, ``cutoff``, ``forecast_start``: lists with an entry per window: its number; its
  context is ``values[first:cutoff]``, counted from 0; the time of the first step to forecast.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from specseq.errors import InputError
from specseq.scoring.calendar import time_at
from specseq.scoring.evaluation import Evaluation
from specseq.series.frequency import parse_frequency
from specseq.tables.files import atomic_path

Row = dict[str, Any]
_POINTS, _ROWS, _VALUES = 2_000_000, 1024, 20_000_000
_TIME = pa.timestamp("us")


def write_windows(evaluation: Evaluation, folder: Path) -> Path:
    """Write the windows of one config or task and return the file.

    Args:
        folder: where ``<name>.parquet`` is written; folders of the name are made.
    """
    target = folder / f"{evaluation.name}.parquet"
    rows = _rows(evaluation)
    with atomic_path(target) as path:
        writer: pq.ParquetWriter | None = None
        while group := list(_group(rows)):
            table = _table(group)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        if writer is not None:
            writer.close()
    return target


def _group(rows: Iterator[Row]) -> Iterator[Row]:
    """The next rows, few enough to fit into memory."""
    held = 0
    for row in islice(rows, _ROWS):
        yield row
        held += len(row["values"])
        if held > _VALUES:
            return


def _table(rows: list[Row]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    edges = np.cumsum([0, *map(len, columns["values"])])
    flat = np.concatenate(columns["values"])
    values = pa.LargeListArray.from_arrays(edges, pa.array(flat, mask=np.isnan(flat)))
    kinds = {"start": _TIME, "forecast_start": pa.list_(_TIME)}
    made = {name: pa.array(column, kinds.get(name)) for name, column in columns.items() if name != "values"}
    return pa.table({**made, "values": values})


def _rows(evaluation: Evaluation) -> Iterator[Row]:
    """A row per series, in the evaluation's order."""
    keys, query = evaluation.keys(), evaluation.query
    if unstated := int(np.isnat(keys.starts).sum()):
        raise InputError(
            evaluation.name, f"{unstated} of {len(keys.starts)} items without start", "give each one"
        )
    frequency = parse_frequency(keys.freq, evaluation.name)
    begun = time_at(keys.starts[keys.item], keys.places, frequency)
    row: Row = {}
    series = None
    for batch in evaluation.batches(_POINTS):
        windows = batch.windows
        for place, number in enumerate(batch.rows.tolist()):
            item, target = int(keys.item[number]), int(keys.target[number])
            begin, cut = int(batch.begins[place]), int(windows.cuts[place])
            if series != (item, target):
                if row:
                    yield row
                series = (item, target)
                row = {
                    "item_id": keys.items[item],
                    "target": keys.targets[target],
                    "start": keys.starts[item].astype("datetime64[us]"),
                    "freq": keys.freq,
                    "seasonality": query.season_length,
                    "horizon": query.horizon,
                    "window": [],
                    "first": [],
                    "cutoff": [],
                    "forecast_start": [],
                }
            row["values"] = windows.values[begin:cut]
            row["window"].append(int(keys.window[number]))
            row["first"].append(int(windows.starts[place]) - begin)
            row["cutoff"].append(cut - begin)
            row["forecast_start"].append(begun[number])
    if row:
        yield row
