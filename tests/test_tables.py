"""Result tables are whole or absent, and say where they come from."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.seeding import generator, stream_seed
from specseq.tables import (
    LONG_COLUMNS,
    Provenance,
    digest,
    long_table,
    read_parquet,
    read_provenance,
    write_parquet,
)
from specseq.tables.files import atomic_path, write_text


def test_round_trip_with_provenance(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "x.parquet"
    frame = pd.DataFrame({"a": [1, 2], "b": [0.1, float("nan")]})
    write_parquet(target, frame, Provenance("stage", {"lr": 0.1}, run="s/w/p", seed=3))
    pd.testing.assert_frame_equal(read_parquet(target), frame)
    record = read_provenance(target)
    assert record["run"] == "s/w/p"
    assert record["seed"] == 3
    assert record["parameters_digest"] == digest({"lr": 0.1})
    assert [path.name for path in target.parent.iterdir()] == ["x.parquet"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "x.txt"
    target.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(target) as path:
        path.write_text(f"half {1 / 0}")
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link, there = tmp_path / "x.txt", tmp_path / "other" / "y.txt"
    link.symlink_to(there)
    for text in ("new", "again"):
        write_text(link, text)
        assert link.is_symlink()
        assert there.read_text() == text


def test_bad_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.parquet: no such result"):
        read_parquet(tmp_path / "gone.parquet")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 cut")
    with pytest.raises(InputError, match=r"cut\.parquet: not a readable"):
        read_parquet(tmp_path / "cut.parquet")
    write_parquet(tmp_path / "a.parquet", pa.table({"a": [1]}), Provenance("stage"))
    with pytest.raises(InputError):
        read_parquet(tmp_path / "a.parquet", columns=["b"])


def test_long_shape() -> None:
    row = {"study": "zeta", "run": "r", "benchmark": "b", "task": 3, "metric": "m", "value": 1}
    frame = long_table([row]).to_pandas()
    assert list(frame["seed"]) == [-1]
    assert frame["value"].dtype == "float64"
    assert list(frame["task"]) == ["3"]
    assert frame["task"].dtype == "string"
    empty = long_table([], keys=("context",))
    assert empty.schema.names == [*LONG_COLUMNS[:6], "context", *LONG_COLUMNS[6:]]
    assert empty.to_pandas()["run"].dtype == "string"
    with pytest.raises(ValueError, match="reversal"):
        long_table([{"reversal": "self"}])


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.floats(allow_nan=False), max_size=5))
def test_digest_ignores_order(parameters: dict) -> None:
    assert digest(parameters) == digest(dict(reversed(list(parameters.items()))))


def test_streams_are_apart_and_repeatable() -> None:
    assert stream_seed(0, "a") == stream_seed(0, "a")
    assert len({stream_seed(s, n) for s in range(9) for n in ("a", "b", "ab")}) == 27
    assert generator(1, "x").random() == generator(1, "x").random()
