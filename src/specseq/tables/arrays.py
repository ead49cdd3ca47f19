"""Arrow arrays to and from plain values without pandas, which pyarrow's own conversions import.

Shapes: N values.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}
_KINDS: dict[type, tuple[pa.DataType, Any]] = {
    bool: (pa.bool_(), np.bool_),
    int: (pa.int64(), np.int64),
    float: (pa.float64(), np.float64),
}


def numpy_values(array: pa.Array) -> NDArray[Any]:
    """The values of an array of numbers or times, [N]: a view where it has no nulls, NaN or NaT for those."""
    kind = array.type
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind)
    if array.null_count or not plain or len(array) == 0:
        return array.to_numpy(zero_copy_only=False)
    name = f"datetime64[{kind.unit}]" if pa.types.is_timestamp(kind) else _NAMES.get(str(kind), str(kind))
    # Only these entries: a buffer may be padded to a length that is not a multiple of theirs.
    kept = np.dtype(name)
    return np.frombuffer(array.buffers()[1], kept, len(array), array.offset * kept.itemsize)


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is that of lists, of any length or of a fixed one."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def arrow_array(values: Sequence[Any]) -> pa.Array:
    """An array of texts, numbers or flags, all of one type; None for null.

    Integers mixed with floats become floats. An array of nulls alone is of integers.
    """
    known = [value for value in values if value is not None]
    kinds = {type(value) for value in known}
    if kinds == {int, float}:
        kinds = {float}
    valid = None
    if len(known) < len(values):
        seen = np.array([value is not None for value in values])
        valid = pa.py_buffer(np.packbits(seen, bitorder="little").tobytes())
    if kinds == {str}:
        texts = [b"" if value is None else value.encode() for value in values]
        offsets = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [valid, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(texts))]
        return pa.Array.from_buffers(pa.string(), len(values), buffers)
    if len(kinds) > 1 or kinds - set(_KINDS):
        return pa.array(values)
    arrow, dtype = _KINDS[kinds.pop() if kinds else int]
    filled = np.array([0 if value is None else value for value in values], dtype)
    data = np.packbits(filled, bitorder="little") if dtype is np.bool_ else filled
    return pa.Array.from_buffers(arrow, len(values), [valid, pa.py_buffer(data.tobytes())])
