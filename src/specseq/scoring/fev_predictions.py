"""fev's own predictions of a task, as it takes them in ``Task.evaluation_summary``.

For every window a table with a row per item, in the order of fev's past data: columns ``0.1`` to ``0.9``,
each a list of a value per step. A task's folder holds, for each window from 0, ``<window>/<target>`` as
``DatasetDict.save_to_disk`` writes it, or ``<window>/<target>.parquet``; for a task with one target also
``<window>`` as ``Dataset.save_to_disk`` writes it, or ``<window>.parquet``.

Shapes: N windows, Q quantile levels, H horizon steps.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.scoring.evaluation import WindowKeys
from specseq.scoring.metrics import LEVELS


def is_predictions(folder: Path) -> bool:
    """Whether a task's folder holds fev's predictions."""
    return (folder / "0").is_dir() or (folder / "0.parquet").is_file()


def prediction_files(folder: Path) -> list[Path]:
    """The data files below a task's folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix in (".parquet", ".arrow"))


def read_predictions(folder: Path, keys: WindowKeys, horizon: int) -> NDArray[np.float64]:
    """Quantiles ``[N, Q, H]``.

    Raises:
        InputError: a window or target is missing or unreadable, or has another number of items.
    """
    quantiles = np.empty((len(keys), len(LEVELS), horizon))
    windows = int(keys.window.max()) + 1
    known = {str(window) for window in range(windows)}
    places = {path.stem if path.suffix == ".parquet" else path.name: path for path in folder.iterdir()}
    if beyond := sorted(name for name in places if name.isdigit() and name not in known):
        fault = f"predictions of window {beyond[0]}, and the task has 0 to {windows - 1}"
        raise InputError(places[beyond[0]], fault, "give those of the task")
    for window in range(windows):
        for number, target in enumerate(keys.targets):
            rows = np.flatnonzero((keys.window == window) & (keys.target == number))
            # Windows of one target stand in the order of items.
            place, table = _table(folder, window, target, alone=len(keys.targets) == 1)
            if len(table) != len(rows):
                fault = f"{len(table)} predictions where the task has {len(rows)} items in window {window}"
                raise InputError(place, fault, "predict every item that fev gives, in its order")
            for index, level in enumerate(LEVELS):
                quantiles[rows, index] = _values(table, str(level), horizon, place)
    return quantiles


def _table(folder: Path, window: int, target: str, alone: bool) -> tuple[Path, pa.Table]:
    places = [folder / str(window) / target, *([folder / str(window)] if alone else [])]
    for place in places:
        file = place.with_name(f"{place.name}.parquet")
        shards = sorted(place.glob("*.arrow"))
        if file.is_file() and shards:
            raise InputError(file, f"lies beside the folder {place.name}, which holds some too", "keep one")
        try:
            if file.is_file():
                return file, pq.read_table(file, partitioning=None)
            if shards:
                return place, pa.concat_tables([pa.ipc.open_stream(shard).read_all() for shard in shards])
        except (pa.ArrowException, OSError) as error:
            raise InputError(place, f"unreadable predictions ({error})", "write them again") from None
    raise InputError(places[0], "no predictions", "give a .parquet file or a folder saved by datasets")


def _values(table: pa.Table, column: str, horizon: int, place: Path) -> NDArray[np.float64]:
    """A column of lists, ``[items, H]``."""
    if column not in table.column_names:
        raise InputError(place, f"column {column!r} is missing", "expected are the columns 0.1 to 0.9")
    lists = table.column(column)
    try:
        lengths = pa.compute.list_value_length(lists).fill_null(0).to_numpy()
        values = pa.compute.list_flatten(lists).cast(pa.float64())
    except pa.ArrowException:
        raise InputError(
            place, f"column {column!r} is {lists.type}", "give a list of numbers per item"
        ) from None
    if (wrong := lengths != horizon).any():
        fault = f"{int(wrong.sum())} of {len(lengths)} lists of {column!r} do not have {horizon} steps"
        raise InputError(place, fault, "predict the whole horizon")
    flat: NDArray[np.float64] = values.to_numpy().reshape(-1, horizon)
    return flat
