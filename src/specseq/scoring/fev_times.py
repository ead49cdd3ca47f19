"""Timestamps of a FEV-Bench data set: its frequency, whether all items keep it, where windows begin.

Legend: N items in the order of the files, W windows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.scoring.fev_tasks import Task
from specseq.series.frequency import parse_frequency

Counts = NDArray[np.int64]

_SECONDS = {"S": 1.0, "T": 60.0, "H": 3600.0, "D": 86400.0, "W": 604800.0}
_DAYS = {"B": 1.4, "M": 30.44, "Q": 91.31, "A": 365.25}
# Steps of the calendar vary in length: their mean over a few of them is near the long-run mean, no more.
_FEW, _CALENDAR_TOLERANCE = 7, 0.2


@dataclass(frozen=True)
class Stamps:
    """The timestamp column of a data set's files; nothing is kept in memory.

    Attributes:
        folder: of the data set, to name in errors.
        files: its Parquet files.
        column: name of the column.
    """

    folder: Path
    files: tuple[Path, ...]
    column: str

    def batches(self, rows: int) -> Iterator[pa.ListArray]:
        """The column in pieces of so many items.

        Raises:
            InputError: it is missing, unreadable or no list of timestamps an item.
        """
        for file in self.files:
            try:
                for batch in pq.ParquetFile(file).iter_batches(batch_size=rows, columns=[self.column]):
                    column = batch.column(0)
                    kind = column.type
                    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind)
                    if not (listed and pa.types.is_timestamp(kind.value_type)):
                        raise InputError(
                            file,
                            f"column {self.column!r} is {kind}",
                            "wanted is one list of timestamps an item",
                        )
                    yield column
            except (pa.ArrowInvalid, IndexError) as error:
                raise InputError(file, f"column {self.column!r} is missing or unreadable ({error})") from None

    def of_item(self, row: int) -> NDArray[np.datetime64]:
        """The timestamps of one item; what stands after it is not read."""
        first = 0
        for column in self.batches(64):
            if row < first + len(column):
                return column[row - first].values.to_numpy(zero_copy_only=False)
            first += len(column)
        raise InputError(self.folder, f"column {self.column!r} has fewer than {row + 1} rows")

    def spans(self) -> tuple[Counts, NDArray[np.float64]]:
        """Number of timestamps of each item and seconds from its first to its last, ``[N]`` each."""
        counts, seconds = [np.zeros(0, np.int64)], [np.zeros(0)]
        for column in self.batches(1024):
            edges = column.offsets.to_numpy().astype(np.int64)
            values = column.values.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
            count = np.diff(edges)
            span = np.zeros(len(count))
            known = count > 0
            last, first = values[edges[1:][known] - 1], values[edges[:-1][known]]
            span[known] = (last - first) / np.timedelta64(1, "s")
            counts.append(count)
            seconds.append(span)
        return np.concatenate(counts), np.concatenate(seconds)

    def counts_until(self, times: list[np.datetime64]) -> Counts:
        """Timestamps of each item at or before each of W times, ``[N, W]``."""
        found = [
            [int((stamps <= time).sum()) for time in times]
            for column in self.batches(1024)
            for stamps in (row.values.to_numpy(zero_copy_only=False) for row in column)
        ]
        return np.asarray(found, np.int64).reshape(-1, len(times))


def infer_frequency(stamps: Stamps, row: int) -> str:
    """The pandas alias of an item's frequency.

    Raises:
        InputError: it has none.
    """
    import pandas as pd  # imported here: what else is read and scored needs no pandas

    found = stamps.of_item(row)
    freq = pd.infer_freq(pd.DatetimeIndex(found)) if len(found) > 2 else None
    if freq is None:
        raise InputError(
            stamps.folder, "timestamps of the first item are irregular", "fill its gaps with NaN"
        )
    return str(freq)


def check_spacing(stamps: Stamps, lengths: Counts, freq: str, where: str) -> None:
    """Refuse a data set whose items are not all of one frequency.

    Args:
        stamps: the timestamps.
        lengths: values of each item, ``[N]``.
        freq: the frequency that all should have.
        where: task to name in an error.

    Raises:
        InputError: items have gaps or another frequency, or more or fewer timestamps than values; their
            number is given.
    """
    counts, seconds = stamps.spans()
    if uneven := int((counts != lengths).sum()):
        raise InputError(where, f"{uneven} of {len(counts)} items have not one timestamp a value")
    frequency, steps = parse_frequency(freq, where), np.maximum(counts - 1, 0)
    if frequency.unit in _SECONDS:
        odd = seconds != steps * frequency.multiple * _SECONDS[frequency.unit]
    else:
        usual = frequency.multiple * _DAYS[frequency.unit] * _SECONDS["D"]
        odd = (steps >= _FEW) & (np.abs(seconds - steps * usual) > _CALENDAR_TOLERANCE * steps * usual)
    if odd.any():
        raise InputError(
            where,
            f"mixed frequencies: {int(odd.sum())} of {len(odd)} items are not every {frequency.alias}",
            "keep one frequency a data set and fill gaps with NaN",
        )


def window_cuts(stamps: Stamps, task: Task, lengths: Counts, freq: str) -> Counts:
    """History of each item before each window, ``[N, W]``, as ``fev`` counts it.

    Raises:
        InputError: the first cutoff is an index and the distance of windows is not.
    """
    if isinstance(task.initial_cutoff, int):
        if not isinstance(task.step, int):
            raise InputError(
                task.name, f"window_step_size {task.step!r}", "an index cutoff wants whole steps"
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
