"""Timestamps of a FEV-Bench data set: its frequency, whether all items keep it, where windows begin.

Timestamps with a time zone are read in UTC, as ``fev`` reads them.

Shapes: N items in the order of the files, T timestamps of some items end to end, W windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.scoring.calendar import MONTHS, SECONDS
from specseq.scoring.fev_tasks import Task
from specseq.series.frequency import Frequency, parse_frequency, stated_frequency
from specseq.tables.arrays import is_list

Counts = NDArray[np.int64]
Times = NDArray[np.datetime64]

_FEWEST = 3  # timestamps that tell a frequency
_NEAR_THE_EDGE = 3  # days within which the first and last business day of a month lie
_REMEDY = "keep one frequency per data set, sort its timestamps and fill gaps with NaN"


@dataclass(frozen=True)
class Stamps:
    """The timestamp column of a data set's files; nothing is kept in memory."""

    folder: Path
    files: tuple[Path, ...]
    column: str

    def batches(self, rows: int) -> Iterator[tuple[Counts, Times]]:
        """The column in pieces of ``rows`` items: their edges [N+1] in the timestamps [T] they hold.

        Raises:
            InputError: it is missing, unreadable or not a list of timestamps per item.
        """
        for file in self.files:
            try:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=rows, columns=[self.column]):
                    yield self._read(file, batch.column(0))
            except (pa.ArrowException, IndexError, OSError, UnicodeDecodeError) as error:
                raise InputError(file, f"column {self.column!r} is missing or unreadable ({error})") from None

    def _read(self, file: Path, column: pa.Array) -> tuple[Counts, Times]:
        kind = column.type
        if not (is_list(kind) and pa.types.is_timestamp(kind.value_type)):
            raise InputError(file, f"column {self.column!r} is {kind}", "give a list of timestamps per item")
        column = column.cast(pa.large_list(kind.value_type))
        lengths = pa.compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        values = column.flatten().cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
        return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]), values

    def firsts(self) -> Times:
        """The first timestamp of each item that has any, [N]."""
        return np.concatenate([values[edges[:-1]] for edges, values in self.batches(1024)])

    def of_item(self, row: int) -> Times:
        """The timestamps of one item; later ones are not read.

        Raises:
            InputError: there is no such item, or as for :meth:`batches`.
        """
        first = 0
        for edges, values in self.batches(64):
            if row < first + len(edges) - 1:
                return values[edges[row - first] : edges[row - first + 1]]
            first += len(edges) - 1
        raise InputError(self.folder, f"column {self.column!r} has fewer than {row + 1} rows")

    def counts_until(self, times: list[np.datetime64]) -> Counts:
        """Timestamps of each item at or before each of W times, [N, W]."""
        pieces = [np.zeros((0, len(times)), np.int64)]
        for edges, values in self.batches(1024):
            before = np.stack([values <= time for time in times], axis=1)
            running = np.concatenate([np.zeros((1, len(times)), np.int64), before.cumsum(axis=0)])
            pieces.append(running[edges[1:]] - running[edges[:-1]])
        return np.concatenate(pieces)


def infer_frequency(folder: Path, times: Times, name: str) -> str:
    """The pandas alias of an item's frequency.

    Raises:
        InputError: it has no frequency, too few timestamps to tell, or the frequency of business hours.
    """
    import pandas as pd  # imported here: what else is read and scored needs no pandas

    if len(times) < _FEWEST:
        raise InputError(folder, *_too_few(1, name, len(times)))
    odd = np.diff(times) <= np.timedelta64(0)
    freq = None if np.isnat(times).any() or odd.any() else pd.infer_freq(pd.DatetimeIndex(times))
    if freq is None:
        fault = f"timestamps of item {name!r} have no frequency: {_irregularity(times)}"
        raise InputError(folder, fault, _REMEDY)
    frequency = stated_frequency(str(freq), str(folder))
    if frequency.unit == "H" and frequency.business:
        fault = f"timestamps of item {name!r} are business hours, which are not supported"
        raise InputError(folder, fault, "fill the other hours with NaN")
    return str(freq)


def _too_few(count: int, name: str, length: int) -> tuple[str, str]:
    fault = f"item {name!r} has {length} timestamps; fewer than {_FEWEST} do not determine a frequency"
    return fault, f"leave out {count} such" if count > 1 else "leave it out"


def _irregularity(times: Times) -> str:
    """Fault in the timestamps of an item, in words."""
    steps = np.diff(times)
    if np.isnat(times).any():
        return "some are missing"
    if (steps < np.timedelta64(0)).any():
        return f"they are not sorted at number {int(np.argmax(steps < np.timedelta64(0))) + 1}"
    if (steps == np.timedelta64(0)).any():
        return f"number {int(np.argmax(steps == np.timedelta64(0))) + 1} appears twice"
    return "another frequency" if len(np.unique(steps)) == 1 else "gaps or uneven steps"


def common_frequency(stamps: Stamps, lengths: Counts, row: int, names: Sequence[str], where: str) -> str:
    """The pandas alias of the frequency that all items have at every step.

    Args:
        lengths: values of each item, [N].
        row: of the item that tells the frequency.

    Raises:
        InputError: items have duplicated, unsorted or missing timestamps, gaps or another frequency, or more
            or fewer timestamps than values; their number is given, and an example.
    """
    pieces = stamps.batches(1024)
    edges, times = head = next(pieces)
    here = row < len(edges) - 1
    first = times[edges[row] : edges[row + 1]] if here else stamps.of_item(row)
    freq = infer_frequency(stamps.folder, first, names[row])
    frequency = parse_frequency(freq, where)
    counts, odd = [], []
    for edges, times in chain([head], pieces):
        counts.append(np.diff(edges))
        odd.append(~_regular(edges, times, frequency))
    count_N, odd_N = np.concatenate(counts), np.concatenate(odd)
    if len(uneven := np.flatnonzero(count_N != lengths)):
        example = f"such as {names[uneven[0]]!r} with {count_N[uneven[0]]} for {lengths[uneven[0]]} values"
        raise InputError(
            where, f"{len(uneven)} of {len(names)} items have not one timestamp per value, {example}"
        )
    if len(short := np.flatnonzero(count_N < _FEWEST)):
        raise InputError(where, *_too_few(len(short), names[short[0]], count_N[short[0]]))
    if len(rows := np.flatnonzero(odd_N)):
        reason = _irregularity(stamps.of_item(int(rows[0])))
        fault = (
            f"{len(rows)} of {len(names)} items are not every {frequency.alias}, such as {names[rows[0]]!r}"
        )
        raise InputError(where, f"{fault}: {reason}", _REMEDY)
    return freq


def _regular(edges: Counts, times: Times, frequency: Frequency) -> NDArray[np.bool_]:
    """Whether every step of each item is one of the frequency, [N]."""
    days = times.astype("datetime64[D]")
    if frequency.unit in SECONDS:
        place, step = times.astype(np.int64), 10**6 * SECONDS[frequency.unit]
    elif frequency.unit == "B":
        number = days.astype(np.int64) + 3  # days since a Monday
        place, step = number // 7 * 5 + np.minimum(number % 7, 5), 1
    else:
        place, step = times.astype("datetime64[M]").astype(np.int64), MONTHS[frequency.unit]
    odd = np.flatnonzero(np.diff(place) != step * frequency.multiple)
    item = np.searchsorted(edges, odd, side="right") - 1
    inside = odd + 1 < edges[item + 1]  # a step between two items is none
    regular = np.ones(len(edges) - 1, bool)
    regular[item[inside]] = False
    if frequency.unit in MONTHS or frequency.unit == "B":
        regular &= _same_place(edges, times, days, frequency.unit)
    return regular


def _same_place(edges: Counts, times: Times, days: Times, unit: str) -> NDArray[np.bool_]:
    """Whether the timestamps of each item are at the same place of a calendar step, [N]."""
    months = times.astype("datetime64[M]")
    day, last = days - months.astype("datetime64[D]"), (months + 1).astype("datetime64[D]") - days
    first = np.repeat(edges[:-1], np.diff(edges))
    near = np.timedelta64(_NEAR_THE_EDGE, "D")
    holds = [times - days == (times - days)[first]]
    if unit == "B":
        holds.append((days.astype(np.int64) + 3) % 7 < 5)
        ways = [np.logical_and(*holds)]
    else:
        ways = [holds[0] & way for way in (day == day[first], day < near, last <= near)]
    running = [np.concatenate([[0], np.cumsum(way)]) for way in ways]
    return np.any([total[edges[1:]] - total[edges[:-1]] == np.diff(edges) for total in running], axis=0)


def window_cuts(stamps: Stamps, task: Task, lengths: Counts, freq: str) -> Counts:
    """History of each item before each window, [N, W], as ``fev`` counts it.

    Raises:
        InputError: the first cutoff is an index and the distance of windows is not.
    """
    if isinstance(task.initial_cutoff, int):
        if not isinstance(task.step, int):
            raise InputError(
                task.name, f"window_step_size {task.step!r}", "give whole steps for an index cutoff"
            )
        offsets = task.initial_cutoff + np.arange(task.windows) * task.step
        cuts = np.where(offsets >= 0, offsets, lengths[:, None] + offsets)
        return np.clip(cuts, 0, lengths[:, None])
    import pandas as pd

    step = pd.tseries.frequencies.to_offset(freq if isinstance(task.step, int) else task.step)
    every = task.step if isinstance(task.step, int) else 1
    begin = pd.Timestamp(task.initial_cutoff)
    # The first cutoff stands as given: adding zero anchored offsets would move it to an anchor.
    times = [begin] + [begin + window * every * step for window in range(1, task.windows)]
    return stamps.counts_until([time.to_datetime64() for time in times])
