"""Long tables are streamed: what is written is what whole frames in memory would give."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.report import tidy
from specseq.stages.table import TableRequest
from specseq.stages.table import main as make_table
from specseq.tables import Provenance, long_table, parquet, read_parquet, read_provenance, write_parquet

RUNS = ["zeta/a/b_seed0", "zeta/a/b_seed1", "zeta/a/c/seed0", "zeta/references/ar", "stu/x_seed10", ""]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
KEYS = {
    "context": st.integers(-1, 2**40),
    "known": st.none() | st.integers(0, 9),
    "radius": st.none() | st.floats(),
    "reversal": st.none() | TEXTS,
    "stable": st.booleans(),
}
ROWS = {
    "study": st.just("zeta"),
    "run": st.sampled_from(RUNS),
    "seed": st.integers(-1, 3),
    "benchmark": st.sampled_from(["pretrain", "rollout"]) | st.none(),
    "task": TEXTS,
    "step": st.integers(-1, 5),
    "metric": TEXTS,
    "value": st.none() | st.floats(),
}


@st.composite
def long_files(draw: st.DrawFn) -> list[pa.Table]:
    """Long results of one to three stages, each with key columns of its own."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        keys = draw(st.lists(st.sampled_from(sorted(KEYS)), unique=True))
        row = st.fixed_dictionaries({**ROWS, **{key: KEYS[key] for key in keys}})
        rows = draw(st.lists(row, min_size=1, max_size=6))
        for key in keys:  # a key column without any value has no type
            rows[0][key] = draw(KEYS[key].filter(lambda value: value is not None and value == value))
        made.append(long_table(rows, tuple(keys)))
    return made


def whole(paths: list[Path]) -> pd.DataFrame:
    """The long table as frames that are concatenated in memory."""
    frames = []
    for path in paths:
        frame = read_parquet(path)
        steps = frame["step"].where(frame["step"] >= 0)
        last = steps.groupby(frame["run"]).transform("max")
        progress = (steps / last.where(last > 0)).astype(float)
        frames.append(frame.assign(group=tidy.group_of(frame["run"]), progress=progress))
    return pd.concat(frames, ignore_index=True)


def plain_schema(path: Path) -> dict[str, pa.DataType]:
    schema = pq.read_schema(path)
    return dict(zip(schema.names, schema.types, strict=True))


@settings(deadline=None, max_examples=60)  # it writes some files
@given(long_files(), st.sampled_from([1, 3, 2**17]))
def test_a_streamed_table_is_the_whole_one(tables: list[pa.Table], size: int) -> None:
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet, "ROW_GROUP", size)
        patch.setattr(tidy, "ROW_GROUP", size)
        folder = Path(name)
        paths = [folder / f"{number}.parquet" for number in range(len(tables))]
        for path, table in zip(paths, tables, strict=True):
            write_parquet(path, table, Provenance("pretrain"))
        expected = whole(paths)
        write_parquet(folder / "whole.parquet", expected, Provenance("table"))
        write_parquet(folder / "long.parquet", tidy.make({"training": paths}, {}), Provenance("table"))
        assert plain_schema(folder / "long.parquet") == plain_schema(folder / "whole.parquet")
        pd.testing.assert_frame_equal(
            read_parquet(folder / "long.parquet"), read_parquet(folder / "whole.parquet")
        )
        parquet.write_csv(folder / "long.csv", parquet.read_parts(folder / "long.parquet"))
        written = io.BytesIO()
        expected.to_csv(written, index=False, lineterminator="\n")
        assert (folder / "long.csv").read_bytes() == written.getvalue()


def a_run(seed: int, **more: Any) -> dict[str, Any]:
    return {
        "study": "stu",
        "run": f"stu/a/b_seed{seed}",
        "seed": seed,
        "metric": "loss",
        "value": 0.1,
        **more,
    }


def test_the_stage_streams_both_files(tmp_path: Path) -> None:
    for seed in range(2):
        rows = [a_run(seed, step=step) for step in range(5)]
        write_parquet(tmp_path / f"{seed}.parquet", long_table(rows), Provenance("pretrain"))
    paths = (tmp_path / "0.parquet", tmp_path / "1.parquet")
    parquet_file, csv_file = tmp_path / "out" / "long.parquet", tmp_path / "out" / "long.csv"
    make_table(TableRequest(name="stu_long", inputs={"training": paths}, parquet=parquet_file, csv=csv_file))
    assert len(read_parquet(parquet_file)) == 10
    assert len(csv_file.read_text().splitlines()) == 11
    record = read_provenance(parquet_file)
    assert record["parameters"] == {"name": "stu_long"}
    assert record["wall_seconds"] > 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["long.csv", "long.parquet"]


def test_a_table_of_no_rows_has_its_columns(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", long_table([]), Provenance("pretrain"))
    write_parquet(
        tmp_path / "long.parquet", tidy.make({"a": [tmp_path / "a.parquet"]}, {}), Provenance("table")
    )
    parquet.write_csv(tmp_path / "long.csv", parquet.read_parts(tmp_path / "long.parquet"))
    assert (tmp_path / "long.csv").read_text().startswith("study,run,seed,")
    assert read_parquet(tmp_path / "long.parquet").empty


def test_a_file_of_other_types_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", long_table([a_run(0, at=1)], ("at",)), Provenance("pretrain"))
    write_parquet(tmp_path / "b.parquet", long_table([a_run(1, at="x")], ("at",)), Provenance("pretrain"))
    with pytest.raises(InputError, match=r"b\.parquet: a column is of another type"):
        tidy.make({"a": [tmp_path / "a.parquet", tmp_path / "b.parquet"]}, {})
    with pytest.raises(InputError, match=r"gone\.parquet: no such result"):
        tidy.make({"a": [tmp_path / "gone.parquet"]}, {})
