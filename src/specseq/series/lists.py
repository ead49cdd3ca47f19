"""Arrow columns of type ``list<float>`` or ``list<list<float>>`` as flat values and row offsets.

Shapes: R rows, V variates, T time steps.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.tables.arrays import is_list, numpy_values


@dataclass(frozen=True)
class Rectangles:
    """A column whose rows are arrays ``[V, T]``; ``values`` is a view of the mapped file where possible.

    Attributes:
        values: ``float32``, the values of all rows one after another; NaN where a value is missing.
        offset: ``int64 [R]``, index in ``values`` at which each row begins.
        length: ``int64 [R]``, T of each row; -1 if the variates of a row differ in length.
        variates: ``int64 [R]``, V of each row.
        position: offset of ``values`` in the file, in float32 elements from its first byte; None if the
            values had to be converted and are not a view of the file.
    """

    values: NDArray[np.float32]
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    variates: NDArray[np.int64]
    position: int | None

    def __len__(self) -> int:
        return len(self.offset)


def check_lists(shard: Path, name: str, kind: pa.DataType) -> None:
    """Refuse a column of any other type.

    Raises:
        InputError: it is neither a list of floats nor a list of such lists.
    """
    inner = kind
    for _ in range(2):
        inner = inner.value_type if is_list(inner) else inner
    if not (is_list(kind) and pa.types.is_floating(inner)):
        raise InputError(shard, f"column {name} is {kind}", "expected list<float32> or list<list<float32>>")


def read_rectangles(shard: Path, column: pa.Array, whole: pa.Buffer) -> Rectangles:
    """The arrays of a column.

    Args:
        column: column of a type that :func:`check_lists` accepts; a missing row has no variates, or in a
            plain list one without steps.
        whole: the mapped bytes of the file.

    Raises:
        InputError: values lie beyond the range of float32.
    """
    first, last = _edges(column)
    if is_list(column.type.value_type):
        variates, values = last - first, column.values.values
        length, offset = _rectangles(first, last, *_edges(column.values))
    else:
        variates, length, offset, values = np.ones_like(first), last - first, first, column.values
    flat = numpy_values(values)
    position = None
    if flat.dtype == np.float32 and values.null_count == 0 and len(flat):
        address = flat.__array_interface__["data"][0] - whole.address
        position = address // 4 if 0 <= address < whole.size and address % 4 == 0 else None
    return Rectangles(_as_float32(shard, flat), offset, length, variates, position)


def _edges(column: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Index of each list's first child and of the one after its last; a missing list is empty."""
    if pa.types.is_fixed_size_list(column.type):
        size = column.type.list_size
        offsets = size * np.arange(column.offset, column.offset + len(column) + 1, dtype=np.int64)
    else:
        offsets = numpy_values(column.offsets).astype(np.int64)
    first, last = offsets[:-1], offsets[1:]
    if column.null_count:
        last = np.where(column.is_valid().to_numpy(zero_copy_only=False), last, first)
    return first, last


def _rectangles(
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    inner_first: NDArray[np.int64],
    inner_last: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Length of each row's variates, -1 if they differ, and the start of the first one."""
    length, offset = np.zeros_like(first), np.zeros_like(first)
    for row, (a, b) in enumerate(zip(first, last, strict=True)):
        if b > a:
            lengths = inner_last[a:b] - inner_first[a:b]
            length[row] = lengths[0] if (lengths == lengths[0]).all() else -1
            offset[row] = inner_first[a]
    return length, offset


def _as_float32(shard: Path, flat: NDArray[np.floating]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        values = flat.astype(np.float32, copy=False)
    if values is not flat and (beyond := int((np.isinf(values) & np.isfinite(flat)).sum())):
        fault = f"{beyond} values lie beyond the range of float32, 3.4e38"
        raise InputError(shard, fault, "rescale the series")
    return values
