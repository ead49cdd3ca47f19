"""Read one sub-dataset once: usable series, the location of their values, and statistics.

Shapes: R rows of a block, C variates of all rows of a block.
"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.series.arrow import PAST_FEATURES, Block, SeriesFolder
from specseq.series.frequency import parse_frequency
from specseq.series.lists import Rectangles
from specseq.series.store import INDEX_SCHEMA, PAST_SCHEMA

SCHEMA = pa.schema([*INDEX_SCHEMA, *PAST_SCHEMA])
_USABLE = ""
_PAST_KINDS = {field.name: field.type.to_pandas_dtype() for field in PAST_SCHEMA}


@dataclass
class Scan:
    """The result of scanning a sub-dataset.

    Attributes:
        index: rows of the store's index; ``file`` counts within ``files`` and ``frequency`` within
            ``frequencies`` of this scan, ``dataset`` is 0.
        files: shards whose values are used in place, then None for the store's own cleaned values.
        frequencies: normalised aliases of the usable series.
        series, steps, points: usable series, their time steps, and steps times variates.
        variates: smallest and largest number of variates of a usable series; (0, 0) if there is none.
        skipped: reason -> number of series.
        missing, infinite, negative: numbers of points; infinite ones count as missing from here on.
        copied: points that had to be written to the store because the shard's bytes could not be used,
            including those of past features.
        past: for past features, the number of ``series`` that have them, of their ``points``, and of
            ``missing_points`` and ``infinite_points`` among these.
        past_variates: smallest and largest number of past features of a series that has any; else (0, 0).
    """

    index: pa.Table = field(default_factory=lambda: SCHEMA.empty_table())
    files: list[Path | None] = field(default_factory=list)
    frequencies: list[str] = field(default_factory=list)
    series: int = 0
    steps: int = 0
    points: int = 0
    variates: tuple[int, int] = (0, 0)
    skipped: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    infinite: int = 0
    negative: int = 0
    copied: int = 0
    past: Counter[str] = field(default_factory=Counter)
    past_variates: tuple[int, int] = (0, 0)


def _number(known: list[Any], one: Any) -> int:
    """The place of one among those known; it is added if it is new."""
    if one not in known:
        known.append(one)
    return known.index(one)


def scan_folder(
    folder: SeriesFolder, min_length: int, cleaned: BinaryIO | None = None, past_features: bool = False
) -> Scan:
    """Read a sub-dataset.

    Args:
        min_length: series with fewer time steps are skipped.
        cleaned: receives the values of blocks that cannot be mapped in place (missing values stored as Arrow
            nulls, other float types, infinities, compressed shards), as float32 with NaN for missing; None
            discards them.
        past_features: also read ``past_feat_dynamic_real``.

    Raises:
        InputError: a shard is truncated or has columns of the wrong type, or the past features of a usable
            series differ in length from its target.
    """
    scan, tables, row = Scan(), [], 0
    for block in folder.blocks(past_features):
        if len(block):
            tables.append(_scan_block(block, row, min_length, cleaned, scan))
            row += len(block)
    if tables:
        scan.index = pa.concat_tables(tables)
    if scan.index.num_rows:
        scan.variates = _range(scan.index.column("variates").to_numpy())
        past = scan.index.column("past_variates").to_numpy()
        if past.any():
            scan.past_variates = _range(past[past > 0])
    return scan


def _range(counts: NDArray[np.int32]) -> tuple[int, int]:
    return int(counts.min()), int(counts.max())


def _frequencies(block: Block, reasons: NDArray[Any], scan: Scan) -> NDArray[np.int32]:
    """Number of each row's frequency; rows whose alias is unknown get a reason."""
    number: dict[str, int] = {}
    for alias in sorted(set(block.freq)):
        here = np.array([f == alias for f in block.freq])
        try:
            number[alias] = _number(scan.frequencies, parse_frequency(alias).alias)
        except InputError:
            number[alias] = -1
            reasons[here & (reasons == _USABLE)] = f"unknown frequency {alias!r}"
    return np.array([number[alias] for alias in block.freq], dtype=np.int32)


@dataclass(frozen=True)
class _Facts:
    """Facts of each row of a block, ``[R]``."""

    missing: NDArray[np.int64]
    infinite: NDArray[np.int64]
    negative: NDArray[np.int64]
    constant: NDArray[np.bool_]


def _facts(block: Rectangles, usable: NDArray[np.bool_]) -> _Facts:
    rows = np.flatnonzero(usable)
    zero = np.zeros(len(block), dtype=np.int64)
    facts = _Facts(zero, zero.copy(), zero.copy(), np.ones(len(block), dtype=bool))
    if not len(rows):
        return facts
    variates, length = block.variates[rows], block.length[rows]
    owner_C = np.repeat(np.arange(len(rows)), variates)
    within_C = np.arange(len(owner_C)) - np.repeat(np.cumsum(variates) - variates, variates)
    first_C = block.offset[rows][owner_C] + within_C * length[owner_C]
    # Pairs (begin, end), so that gaps between series become the odd segments, which are dropped.
    edges = np.stack([first_C, first_C + length[owner_C]], axis=1).ravel()
    if edges[-1] == len(block.values):
        edges = edges[:-1]
    infinite = np.isinf(block.values)
    values = np.where(infinite, np.float32(np.nan), block.values) if infinite.any() else block.values

    def count(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        each_C = np.add.reduceat(mask.view(np.uint8), edges, dtype=np.int64)[::2]
        return np.bincount(owner_C, each_C, len(rows)).astype(np.int64)

    low_C, high_C = np.fmin.reduceat(values, edges)[::2], np.fmax.reduceat(values, edges)[::2]
    facts.missing[rows] = count(np.isnan(values))
    facts.infinite[rows] = count(infinite)
    facts.negative[rows] = count(values < 0)
    facts.constant[rows] = ~(np.bincount(owner_C, low_C < high_C, len(rows)) > 0)
    return facts


def _scan_block(
    block: Block, first_row: int, min_length: int, cleaned: BinaryIO | None, scan: Scan
) -> pa.Table:
    reasons = np.full(len(block), _USABLE, dtype=object)
    reasons[(block.length == 0) | (block.variates == 0)] = "empty"
    reasons[block.length < 0] = "variates of different lengths"
    frequency = _frequencies(block, reasons, scan)
    reasons[(block.length < min_length) & (reasons == _USABLE)] = f"shorter than {min_length} steps"
    facts = _facts(block, reasons == _USABLE)
    size = block.length * block.variates
    reasons[(facts.missing == size) & (reasons == _USABLE)] = "all values missing"
    reasons[facts.constant & (reasons == _USABLE)] = "constant"
    usable = reasons == _USABLE
    scan.skipped.update(reason for reason in reasons.tolist() if reason != _USABLE)
    rows = np.flatnonzero(usable)
    if not len(rows):
        return SCHEMA.empty_table()
    scan.series += len(rows)
    scan.steps += int(block.length[rows].sum())
    scan.points += int(size[rows].sum())
    scan.missing += int(facts.missing[rows].sum())
    scan.infinite += int(facts.infinite[rows].sum())
    scan.negative += int(facts.negative[rows].sum())
    file, offset = _place(block, block.shard, rows, bool(facts.infinite[rows].any()), cleaned, scan)
    columns = {
        "dataset": np.zeros(len(rows), np.int32),
        "row": first_row + rows,
        "file": file,
        "offset": offset,
        "length": block.length[rows],
        "variates": block.variates[rows].astype(np.int32),
        "frequency": frequency[rows],
        "complete": facts.missing[rows] == 0,
    }
    return pa.table({**columns, **_past(block, rows, first_row, cleaned, scan)}, schema=SCHEMA)


def _place(
    column: Rectangles,
    shard: Path,
    rows: NDArray[np.int64],
    infinite: bool,
    cleaned: BinaryIO | None,
    scan: Scan,
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """File and offset of each of some rows; values that cannot be mapped in place are copied."""
    if column.position is not None and not infinite:
        file, begin = _number(scan.files, shard), column.position
    else:
        size = column.length[rows] * column.variates[rows]
        first, last = int(column.offset[rows].min()), int((column.offset[rows] + size).max())
        file, begin = _number(scan.files, None), scan.copied - first
        if cleaned is not None:
            values = column.values[first:last]
            cleaned.write(np.where(np.isinf(values), np.float32(np.nan), values).astype("<f4").tobytes())
        scan.copied += last - first
    return np.full(len(rows), file, np.int32), begin + column.offset[rows]


def _past(
    block: Block, rows: NDArray[np.int64], first_row: int, cleaned: BinaryIO | None, scan: Scan
) -> dict[str, NDArray[Any]]:
    """Index columns for the past features of the usable ``rows`` of a block.

    Raises:
        InputError: a row's past features differ in length from its target.
    """
    columns = {name: np.zeros(len(rows), kind) for name, kind in _PAST_KINDS.items()}
    past = block.past
    # A row without a value has no past features.
    some = np.zeros(len(rows), np.bool_) if past is None else (past.length * past.variates)[rows] != 0
    if past is None or not some.any():
        return columns
    holders = rows[some]
    if len(wrong := holders[past.length[holders] != block.length[holders]]):
        row, length = int(wrong[0]), int(past.length[wrong[0]])
        steps = f"{length} steps" if length >= 0 else "variates of different lengths"
        raise InputError(
            block.shard,
            f"row {first_row + row} of the data set ({block.item_id[row]!r}) has "
            f"{int(block.length[row])} steps, its {PAST_FEATURES} {steps}",
            "cut them to one length, or leave the sub-dataset out by data.exclude",
        )
    held = np.zeros(len(block), np.bool_)
    held[holders] = True
    facts = _facts(past, held)
    infinite = int(facts.infinite[holders].sum())
    scan.past["series"] += len(holders)
    scan.past["points"] += int((past.length * past.variates)[holders].sum())
    scan.past["missing_points"] += int(facts.missing[holders].sum())
    scan.past["infinite_points"] += infinite
    file, offset = _place(past, block.shard, holders, infinite > 0, cleaned, scan)
    columns["past_file"][some], columns["past_offset"][some] = file, offset
    columns["past_variates"][some] = past.variates[holders]
    columns["past_complete"][some] = facts.missing[holders] == 0
    return columns
