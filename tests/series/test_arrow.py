import contextlib
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specseq.errors import InputError
from specseq.series.arrow import find_folders, open_folder
from specseq.series.arrow_writer import Item, write_folder
from tests.series.rows import rows, target_of

MakeFolder = Callable[..., Path]
START = np.datetime64("2020-01-01T00:00:00")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        hnp.arrays(
            np.float32, st.tuples(st.integers(1, 3), st.integers(0, 20)), elements=st.floats(width=32)
        ),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
    st.integers(1, 3),
)
def test_what_was_written_is_read_back(
    tmp_path: Path, targets: list[np.ndarray], flat: bool, shards: int
) -> None:
    items = [Item(f"s{i}", START + i, "15T", t[0] if flat else t) for i, t in enumerate(targets)]
    write_folder(tmp_path / "set", items, shards=shards)
    folder = open_folder(tmp_path / "set")
    assert len(rows(folder)) == len(items)
    for row, item in enumerate(items):
        block, place = rows(folder)[row]
        np.testing.assert_array_equal(target_of(folder, row), np.atleast_2d(item.target))
        assert (block.item_id[place], block.freq[place]) == (item.item_id, "15T")
        assert block.start[place] == item.start


@pytest.mark.parametrize("rank", [1, 2])
def test_datasets_reads_the_folder(make_folder: MakeFolder, rank: int) -> None:
    datasets = pytest.importorskip("datasets")
    targets = [
        np.arange(5.0).reshape((1, 5) if rank == 2 else 5),
        np.ones((2, 3)) if rank == 2 else np.ones(3),
    ]
    folder = make_folder("set", targets, shards=2)
    loaded = datasets.load_from_disk(str(folder))
    assert loaded.column_names == ["item_id", "start", "freq", "target"]
    assert loaded.features["start"].dtype == "timestamp[s]"
    for row, target in zip(loaded, targets, strict=True):
        np.testing.assert_array_equal(np.array(row["target"]), target)


def test_reads_what_datasets_writes_missing_values_included(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    value = datasets.Value
    features = datasets.Features(
        item_id=value("string"),
        start=value("timestamp[s]"),
        freq=value("string"),
        target=datasets.Sequence(value("float32")),
    )
    table = {"item_id": ["a", "b", "c"], "start": [0, 60, 120], "freq": ["min"] * 3}
    table["target"] = [[1.0, None, 3.0], [4.0], [5.0, 6.0]]
    datasets.Dataset.from_dict(table, features=features).save_to_disk(str(tmp_path / "set"), num_shards=2)
    folder = open_folder(tmp_path / "set")
    np.testing.assert_array_equal(target_of(folder, 0), [[1.0, np.nan, 3.0]])
    np.testing.assert_array_equal(target_of(folder, 2), [[5.0, 6.0]])
    block, place = rows(folder)[1]
    assert block.start[place] == np.datetime64("1970-01-01T00:01:00")


@pytest.mark.parametrize(
    "fixed", [pa.list_(pa.list_(pa.float32()), 2), pa.large_list(pa.list_(pa.float32()))]
)
def test_other_kinds_of_lists_are_read_too(make_folder: MakeFolder, fixed: pa.DataType) -> None:
    """Climate sub-datasets of LOTSA have a fixed number of variates, which Arrow stores without offsets."""
    folder = make_folder("set", [np.ones((2, 3)), np.arange(8.0).reshape(2, 4)])
    shard = next(folder.glob("*.arrow"))
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all()
    schema = table.schema.set(3, pa.field("target", fixed))
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table(table.to_pydict(), schema=schema))
    opened = open_folder(folder)
    np.testing.assert_array_equal(target_of(opened, 0), np.ones((2, 3)))
    np.testing.assert_array_equal(target_of(opened, 1), np.arange(8.0).reshape(2, 4))
    assert next(opened.blocks()).position is not None


def test_values_are_views_of_the_mapped_file(make_folder: MakeFolder) -> None:
    folder = make_folder("set", [np.arange(50.0), np.arange(50.0, 90.0)], shards=1)
    (block,) = open_folder(folder).blocks()
    assert block.position is not None
    raw = np.memmap(block.shard, np.float32, mode="r", offset=0, shape=block.shard.stat().st_size // 4)
    begin = block.position + block.offset[1]
    np.testing.assert_array_equal(raw[begin : begin + 40], np.arange(50.0, 90.0))
    assert not block.target(0).flags.writeable


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_a_start_within_a_second_is_cut_to_it(make_folder: MakeFolder, unit: str) -> None:
    folder = make_folder("set", [np.arange(9.0)])
    shard = next(folder.glob("*.arrow"))
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all()
    start = pa.array([START.astype("datetime64[ms]") + 500]).cast(pa.timestamp(unit))
    table = table.set_column(table.schema.get_field_index("start"), "start", start)
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    (block,) = open_folder(folder).blocks()
    assert block.start.tolist() == [START.item()]


@pytest.mark.parametrize("keep", [0, 3, 200, 0.5, -8, -1])
def test_truncated_shard_is_named(make_folder: MakeFolder, keep: float) -> None:
    folder = make_folder("set", [np.arange(100.0)] * 5)
    shard = next(folder.glob("*.arrow"))
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * keep) if keep == 0.5 else int(keep)])
    with pytest.raises(InputError, match="truncated") as caught:
        list(open_folder(folder).blocks())
    assert str(shard) in str(caught.value)


def test_missing_pieces_are_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such data set folder"):
        open_folder(tmp_path / "nowhere")
    folder = make_folder("set", [np.arange(9.0)])
    shard = next(folder.glob("*.arrow"))
    shard.rename(tmp_path / "aside")
    with pytest.raises(InputError, match="shard is missing"):
        open_folder(folder)
    (folder / "state.json").write_text(json.dumps({"_data_files": []}))
    with pytest.raises(InputError, match="_data_files"):
        open_folder(folder)
    (folder / "state.json").write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        open_folder(folder)
    (folder / "state.json").unlink()
    with pytest.raises(InputError, match=r"state\.json"):
        open_folder(folder)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("target", pa.array([["a"]]), "target is list"),
        ("target", pa.array([1.0]), "target is double"),
        ("target", pa.array([[1]]), "target is list"),
        ("start", pa.array(["2020"]), "start is string"),
        ("freq", pa.array([3]), "freq is int64"),
        ("freq", None, "freq is missing"),
    ],
)
def test_wrong_types_are_named(
    make_folder: MakeFolder, column: str, value: pa.Array | None, message: str
) -> None:
    folder = make_folder("set", [np.arange(9.0)])
    shard = next(folder.glob("*.arrow"))
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all()
    table = table.drop_columns([column])
    if value is not None:
        table = table.append_column(column, value)
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(InputError, match=message):
        list(open_folder(folder).blocks())


def test_variates_of_different_lengths_are_marked(make_folder: MakeFolder) -> None:
    folder = make_folder("set", [np.ones((2, 3)), np.ones((1, 4))])
    shard = next(folder.glob("*.arrow"))
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        schema = reader.schema
        batch = reader.read_all().to_pydict()
    batch["target"][0] = [[1.0, 2.0], [3.0]]
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table(batch, schema=schema))
    opened = open_folder(folder)
    (block,) = opened.blocks()
    assert block.length.tolist() == [-1, 4]
    np.testing.assert_array_equal(target_of(opened, 1), np.ones((1, 4)))


def test_compressed_shards_are_read_without_a_mapping(make_folder: MakeFolder) -> None:
    folder = make_folder("set", [np.arange(500.0)])
    shard = next(folder.glob("*.arrow"))
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with (
        pa.OSFile(str(shard), "wb") as sink,
        pa.ipc.new_stream(sink, table.schema, options=options) as writer,
    ):
        writer.write_table(table)
    (block,) = open_folder(folder).blocks()
    assert block.position is None
    np.testing.assert_array_equal(block.target(0)[0], np.arange(500.0))


def test_find_folders(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("b", [np.ones(3)])
    make_folder("a/H", [np.ones(3)])
    make_folder(".unfinished", [np.ones(3)])
    root = tmp_path / "corpus"
    assert list(find_folders(root, depth=2)) == ["a/H", "b"]
    with pytest.raises(InputError, match="1 data sets lie deeper than 1 of its folders, such as a/H"):
        find_folders(root)
    (root / "a" / "H" / "state.json").unlink()
    with pytest.raises(InputError, match="a/H: holds shards but no state"):
        find_folders(root, depth=2)
    with pytest.raises(InputError, match="no such folder"):
        find_folders(root / "c")
    with pytest.raises(InputError, match="holds no data set"):
        find_folders(root / "b")


def test_folders_of_parquet_files_are_named(
    make_folder: MakeFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_folder("b", [np.ones(3)])
    (tmp_path / "corpus" / "c").mkdir()
    (tmp_path / "corpus" / "c" / "part-0.parquet").touch()
    assert list(find_folders(tmp_path / "corpus")) == ["b"]
    told = capsys.readouterr().err
    assert "left out: 1 folders of" in told
    assert told.endswith("such as c\n")


def test_splits_are_no_data_sets(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("a/train", [np.ones(3)])
    make_folder("a/test", [np.ones(3)])
    (tmp_path / "corpus" / "a" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(InputError, match="a: is a DatasetDict of test, train; move a split up"):
        find_folders(tmp_path / "corpus", depth=2)


def test_shards_that_the_state_does_not_name(make_folder: MakeFolder) -> None:
    folder = make_folder("x", [np.ones(3)])
    (folder / "data-00001-of-00002.arrow").write_bytes(b"")
    with pytest.raises(InputError, match="does not name 1 of its shards, such as data-00001-of-00002"):
        open_folder(folder)
    (folder / "data-00001-of-00002.arrow").unlink()
    state = json.loads((folder / "state.json").read_text())
    (folder / "state.json").write_text(
        json.dumps({**state, "_indices_data_files": [{"filename": "i.arrow"}]})
    )
    with pytest.raises(InputError, match="its rows are chosen by indices"):
        open_folder(folder)


def _rewritten(folder: Path, table: pa.Table, form: str) -> None:
    """The folder's one shard in another format."""
    (shard,) = folder.glob("*.arrow")
    if form == "parquet":
        pq.write_table(table, shard)
        return
    if form == "gzip":
        shard.write_bytes(gzip.compress(shard.read_bytes()))
        return
    legacy = pa.ipc.IpcWriteOptions(use_legacy_format=form == "legacy")
    new = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
    with pa.OSFile(str(shard), "wb") as sink, new(sink, table.schema, options=legacy) as writer:
        writer.write_table(table)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("file", "is in the Arrow file format; expected an Arrow stream; save it again"),
        ("legacy", "is a legacy stream, as before Arrow 0.15"),
        ("parquet", "is a Parquet file; expected"),
        ("gzip", "is compressed by gzip; expected an Arrow stream; unpack it"),
    ],
)
def test_another_format_is_named(make_folder: MakeFolder, form: str, message: str) -> None:
    folder = make_folder("x", [np.ones(40)])
    (shard,) = folder.glob("*.arrow")
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        _rewritten(folder, reader.read_all(), form)
    with pytest.raises(InputError, match=message):
        list(open_folder(folder).blocks())


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_damage_of_a_shard_is_named(make_folder: MakeFolder, data: st.DataObject) -> None:
    """Bytes changed, cut or replaced: the shard is read or refused."""
    folder = make_folder("x", [np.arange(40.0), np.ones(7)])
    (shard,) = folder.glob("*.arrow")
    content = bytearray(shard.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    whole = data.draw(st.sampled_from([bytes(content), bytes(content[:-9]), data.draw(st.binary())]))
    shard.write_bytes(whole)
    with contextlib.suppress(InputError):
        for block in open_folder(folder).blocks():
            assert len(block.freq) == len(block)


def test_values_beyond_float32_are_said(make_folder: MakeFolder) -> None:
    folder = make_folder("x", [np.ones(3)])
    (shard,) = folder.glob("*.arrow")
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        table = reader.read_all()
    target = pa.array([[1.0, 1e300, -1e39, np.inf]], pa.list_(pa.float64()))
    place = table.schema.get_field_index("target")
    _rewritten(folder, table.set_column(place, "target", target), "stream")
    with pytest.raises(InputError, match="2 values lie beyond the range of float32"):
        list(open_folder(folder).blocks())
