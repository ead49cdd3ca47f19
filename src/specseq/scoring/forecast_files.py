"""Quantile forecasts that were made elsewhere, read from a folder and scored like those of a forecaster.

One Parquet file per config or task, ``<name>.parquet`` (``ett1/H/short.parquet``, ``ETT_1H.parquet``), or a
folder ``<name>`` of such files, with a row per forecast step:

* ``item_id``: the series; text, as the data have it.
* ``target``: the number of the variate from 0 (GIFT-Eval), or the target column (FEV-Bench); may be left out
  where there is one.
* ``window``: from 0, the earliest first.
* ``step`` from 1 to the horizon, or ``timestamp`` instead.
* ``0.1`` to ``0.9``: the quantiles.

In any order; other columns are not read. For FEV-Bench, fev's own predictions are read too, see
:mod:`specseq.scoring.fev_predictions`. Nothing is filled in: forecasts that are missing, duplicated or belong
to no window are counted and refused.

Shapes: N windows, Q quantile levels, H horizon steps, R rows.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.scoring.calendar import place_of
from specseq.scoring.evaluation import Evaluation, WindowKeys, content_digest
from specseq.scoring.fev_predictions import is_predictions, prediction_files, read_predictions
from specseq.scoring.forecasting import check_quantiles
from specseq.scoring.metrics import LEVELS
from specseq.series.frequency import parse_frequency
from specseq.settings import near

Quantiles = NDArray[np.float64]
_REMEDY = "forecast every step of every window once; see 'specseq windows'"


class ForecastFiles:
    """The forecasts in a folder, in the place of a forecaster.

    Args:
        folder: see the module; its name is that of the model in results.
    """

    context_length: int | None = None

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(folder, "no such folder", "give a folder of forecasts")
        self.folder, self.name = folder, folder.resolve().name
        self._held: tuple[str, Quantiles] = ("", np.zeros((0, len(LEVELS), 0)))

    def check_complete(self, evaluations: Sequence[Evaluation]) -> None:
        """Refuse a folder that lacks the forecasts of a whole config or task.

        Raises:
            InputError: counts them.
        """
        if lacking := [evaluation.name for evaluation in evaluations if not self._files(evaluation.name)]:
            fault = (
                f"no forecasts of {len(lacking)} of {len(evaluations)} configs or tasks, e.g. {lacking[0]}"
            )
            raise InputError(self.folder, fault, f"add {lacking[0]}.parquet, or choose others by --only")

    def digest(self, name: str) -> str:
        """A digest of the files of a config or task."""
        return content_digest(self._files(name), self.folder)

    def recorded(self, evaluation: Evaluation, rows: NDArray[np.int64]) -> Quantiles:
        """Quantiles ``[len(rows), Q, H]`` of windows by their numbers in the evaluation's order.

        Raises:
            InputError: forecasts are missing, duplicated, of no window, not finite, crossing or unreadable.
        """
        if self._held[0] != evaluation.name:
            read = self._read(evaluation)
            check_quantiles(read, self.name, evaluation.name)
            self._held = (evaluation.name, read)
        quantiles: Quantiles = self._held[1][rows]
        return quantiles

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        """Not possible: forecasts exist for the benchmark's windows alone."""
        raise InputError(self.folder, "forecasts that were made elsewhere are for these windows only")

    def _files(self, name: str) -> list[Path]:
        folder = self.folder / name
        if is_predictions(folder):
            return prediction_files(folder)
        single = folder.with_name(f"{folder.name}.parquet")
        inside = sorted(folder.rglob("*.parquet"))
        if single.is_file() and inside:
            raise InputError(
                single, f"lies beside the folder {folder.name}, which holds some too", "keep one"
            )
        return [single] if single.is_file() else inside

    def _read(self, evaluation: Evaluation) -> Quantiles:
        keys, horizon, folder = evaluation.keys(), evaluation.query.horizon, self.folder / evaluation.name
        if is_predictions(folder):
            return read_predictions(folder, keys, horizon)
        files = self._files(evaluation.name)
        if not files:
            raise InputError(
                self.folder, f"no forecasts of {evaluation.name}", f"add {evaluation.name}.parquet"
            )
        where = files[0] if len(files) == 1 else folder
        return _arrange(_read_rows(files), keys, horizon, str(where))


def _read_rows(files: Sequence[Path]) -> pa.Table:
    tables = []
    for file in files:
        try:
            names = pq.read_schema(file).names
            tables.append(pq.read_table(file, columns=_columns(file, names), partitioning=None))
        except (pa.ArrowException, OSError) as error:
            raise InputError(file, f"not a readable Parquet file ({error})", "write it again") from None
        levels = {_level(name): name for name in tables[-1].column_names}
        tables[-1] = tables[-1].rename_columns(
            [str(_level(name) or name) for name in tables[-1].column_names]
        )
        if absent := [level for level in LEVELS if level not in levels]:
            fault = f"no column of the quantile {', '.join(map(str, absent))}"
            raise InputError(file, fault, "expected are the columns 0.1 to 0.9")
    try:
        return pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    except pa.ArrowException as error:
        raise InputError(files[0].parent, f"its files have columns of other types ({error})") from None


def _columns(file: Path, names: list[str]) -> list[str]:
    for name in ("item_id", "window"):
        if name not in names:
            raise InputError(file, f"column {name!r} is missing", near(name, names))
    if len(given := {"step", "timestamp"} & set(names)) != 1:
        found = "both step and timestamp" if given else "neither step nor timestamp"
        raise InputError(file, f"has {found}", "give one of these columns")
    wanted = {"item_id", "window", "target", *given}
    columns = [name for name in names if name in wanted or _level(name) in LEVELS]
    counts = Counter(_level(name) or name for name in columns)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(file, f"column {str(twice[0])!r} appears twice", "keep one")
    return columns


def _level(name: str) -> float | None:
    try:
        return float(name)
    except ValueError:
        return None


def _arrange(table: pa.Table, keys: WindowKeys, horizon: int, where: str) -> Quantiles:
    """Quantiles ``[N, Q, H]`` of rows in any order."""
    item = _codes(table, "item_id", keys.items, where)
    if "target" in table.column_names:
        target = _codes(table, "target", keys.targets, where)
    elif len(keys.targets) == 1:
        target = np.zeros_like(item)
    else:
        fault = f"column 'target' is missing, and there are {len(keys.targets)} targets"
        raise InputError(where, fault, f"say of each row which: {', '.join(keys.targets[:3])} ...")
    row = keys.rows(item, target, _whole(table, "window", where))
    _refuse(row < 0, where, "rows belong to no window", lambda at: _row(table, at))
    if "step" in table.column_names:
        step = _whole(table, "step", where) - 1
        reason = f"rows have a step beyond 1 to {horizon}"
    else:
        times = _times(table, where)
        frequency = parse_frequency(keys.freq, where)
        step = place_of(keys.starts[item], times, frequency) - keys.places[row]
        reason = "rows have a timestamp that is not a step of their window"
    _refuse((step < 0) | (step >= horizon), where, reason, lambda at: _row(table, at))
    cell = row * horizon + step
    counts = np.bincount(cell, minlength=len(keys) * horizon)
    _refuse(counts > 1, where, "steps appear twice", lambda at: keys.label(at // horizon, at % horizon))
    _refuse(counts < 1, where, "steps are missing", lambda at: keys.label(at // horizon, at % horizon))
    quantiles = np.empty((len(keys), len(LEVELS), horizon))
    for index, level in enumerate(LEVELS):
        quantiles[row, index, step] = _floats(table, str(level), where)
    return quantiles


def _codes(table: pa.Table, column: str, names: Sequence[str], where: str) -> NDArray[np.int64]:
    """The place of each row's name among those known."""
    try:
        texts = pc.cast(table.column(column), pa.string())
    except pa.ArrowException as error:
        kind = table.column(column).type
        raise InputError(where, f"column {column!r} is {kind} ({error})", "give text") from None
    codes = pc.index_in(texts, value_set=pa.array(names, pa.string()))
    unknown = codes.is_null().to_numpy()
    _refuse(unknown, where, f"rows have an unknown {column}", lambda at: _row(table, at), near_to=names[:3])
    return codes.to_numpy().astype(np.int64)


def _whole(table: pa.Table, column: str, where: str) -> NDArray[np.int64]:
    values = table.column(column)
    if not pa.types.is_integer(values.type) or values.null_count:
        fault = f"column {column!r} is {values.type} with {values.null_count} nulls"
        raise InputError(where, fault, "give whole numbers")
    try:
        return values.cast(pa.int64()).to_numpy()
    except pa.ArrowException as error:
        raise InputError(where, f"column {column!r} holds no such number ({error})", _REMEDY) from None


def _floats(table: pa.Table, column: str, where: str) -> NDArray[np.float64]:
    values = table.column(column)
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise InputError(where, f"column {column!r} is {values.type}", "give numbers")
    return values.cast(pa.float64()).to_numpy()


def _times(table: pa.Table, where: str) -> NDArray[np.datetime64]:
    values = table.column("timestamp")
    if not (pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)) or values.null_count:
        fault = f"column 'timestamp' is {values.type} with {values.null_count} nulls"
        raise InputError(where, fault, "give timestamps")
    return values.cast(pa.timestamp("us"), safe=False).to_numpy()


def _row(table: pa.Table, at: int) -> str:
    names = [
        name for name in ("item_id", "target", "window", "step", "timestamp") if name in table.column_names
    ]
    return ", ".join(f"{name} {table.column(name)[at].as_py()}" for name in names)


def _refuse(
    bad: NDArray[np.bool_],
    where: str,
    what: str,
    label: Callable[[int], str],
    near_to: Sequence[Any] = (),
) -> None:
    if bad.any():
        example = label(int(np.argmax(bad)))
        known = f"known are {', '.join(map(str, near_to))} ..." if near_to else _REMEDY
        raise InputError(where, f"{int(bad.sum())} of {len(bad)} {what}, e.g. {example}", known)
