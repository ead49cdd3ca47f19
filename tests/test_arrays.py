"""Arrow arrays to and from plain values, as pyarrow's own conversions have them."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specseq.tables.arrays import arrow_array, numpy_values

KINDS = (st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats())


@given(st.one_of([st.lists(st.one_of(st.none(), kind), min_size=1) for kind in KINDS]))
def test_arrays_are_those_of_pyarrow(values: list[object]) -> None:
    made = arrow_array(values)
    made.validate(full=True)
    wanted = pa.array(values)
    assert made.type == (pa.int64() if pa.types.is_null(wanted.type) else wanted.type)
    assert str(made.to_pylist()) == str(values)


@pytest.mark.parametrize(
    "kind",
    [pa.int32(), pa.int64(), pa.float16(), pa.float32(), pa.float64(), pa.timestamp("s"), pa.timestamp("us")],
)
def test_values_are_those_of_pyarrow(kind: pa.DataType) -> None:
    for array in (pa.array([1, 2, 3], kind), pa.array([1, None, 3], kind), pa.array([], kind)):
        for part in (array, array[1:]):
            theirs, ours = part.to_numpy(zero_copy_only=False), numpy_values(part)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


def test_scoring_from_cold_imports_neither_pandas_nor_torch(tmp_path) -> None:
    code = """
import sys
from pathlib import Path
import numpy as np
from specseq import cli
from specseq.series.arrow_writer import Item, write_folder
root = Path(sys.argv[1])
script = ["score", "gift_eval", "--forecaster", "seasonal_naive", "--data", str(root / "data")]
if not (root / "data").exists():
    items = [Item(f"i{n}", np.datetime64("2020-01-01", "s"), "H", np.arange(300.0)) for n in range(2)]
    write_folder(root / "data" / "x", items)
else:
    assert cli.main([*script, "--out", str(root / "out.parquet")]) == 0
    assert not {"pandas", "torch", "scipy"} & set(sys.modules)
"""
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_a_buffer_may_be_longer_than_its_values_by_a_part_of_one() -> None:
    longer = pa.py_buffer(np.arange(3).tobytes() + b"abc")
    array = pa.Array.from_buffers(pa.int64(), 2, [None, longer], offset=1)
    assert numpy_values(array).tolist() == array.to_pylist() == [1, 2]
