import errno
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specseq.errors import InputError
from specseq.series import prepare
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.lotsa import gift_eval_overlap, leaked_keys
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store

MakeFolder = Callable[..., Path]
WAVE = np.sin(np.arange(40.0))


def test_store_gives_back_every_usable_series(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("a", [WAVE, WAVE + 1, WAVE[:20]], freq=["H", "h", "15min"], shards=2)
    make_folder("b", [np.stack([WAVE, -WAVE]), np.stack([WAVE, WAVE, WAVE])], freq="ME")
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert (len(store), manifest["series"], manifest["steps"]) == (5, 5, 180)
    assert manifest["points"] == 100 + 2 * 40 + 3 * 40
    assert store.datasets == ("a", "b")
    assert [store.frequencies[f] for f in store.frequency] == ["H", "H", "15T", "M", "M"]
    assert store.complete.all()
    np.testing.assert_array_equal(store.series(2), WAVE[None, :20].astype(np.float32))
    np.testing.assert_array_equal(store.series(3), np.stack([WAVE, -WAVE]).astype(np.float32))
    assert store.series(4).shape == (3, 40)
    record = manifest["datasets"]["b"]
    assert (record["variates"], record["frequencies"], record["licence"]) == ([2, 3], ["M"], "CC0")
    assert record["negative_points"] > 0
    assert record["copied_points"] == 0
    assert len(record["sha256"]["data-00000-of-00001.arrow"]) == 64


def test_values_are_mapped_and_not_copied(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("a", [WAVE])
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*.f32"))
    assert np.shares_memory(store.series(0), store.values[0])
    assert not store.series(0).flags.writeable


def test_unusable_series_are_skipped_and_counted(make_folder: MakeFolder, tmp_path: Path) -> None:
    nan = np.full(40, np.nan)
    targets = [WAVE, nan, np.full(40, 3.0), WAVE[:15], np.array([]), WAVE, np.where(WAVE > 0, 7.0, np.nan)]
    make_folder("a", targets, freq=["H", "H", "H", "H", "H", "fortnightly", "H"])
    make_folder("b", [WAVE, WAVE, WAVE], freq=["H", None, ""])
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert manifest["datasets"]["a"]["skipped"] == {
        "all values missing": 1,
        "constant": 2,
        "empty": 1,
        "shorter than 16 steps": 1,
        "unknown frequency 'fortnightly'": 1,
    }
    assert manifest["datasets"]["b"]["skipped"] == {"unknown frequency ''": 2}
    assert (manifest["series"], manifest["skipped"]) == (2, 8)


def test_a_variate_that_varies_saves_the_series(make_folder: MakeFolder, tmp_path: Path) -> None:
    flat = np.zeros(40)
    make_folder("a", [np.stack([flat, WAVE]), np.stack([flat, flat + 1])])
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert manifest["series"] == 1
    assert manifest["datasets"]["a"]["skipped"] == {"constant": 1}


def test_infinite_values_become_missing_and_are_counted(make_folder: MakeFolder, tmp_path: Path) -> None:
    bad = WAVE.copy()
    bad[[3, 5]] = np.inf, -np.inf
    bad[7] = np.nan
    make_folder("a", [WAVE, bad])
    record = prepare_store(tmp_path / "corpus", tmp_path / "store")["datasets"]["a"]
    assert (record["infinite_points"], record["missing_points"], record["copied_points"]) == (2, 3, 80)
    store = open_store(tmp_path / "store")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(store.series(1)[0])), [3, 5, 7])
    np.testing.assert_array_equal(store.series(0)[0], WAVE.astype(np.float32))
    assert store.complete.tolist() == [True, False]


def test_cleaned_values_are_found_behind_a_skipped_series(make_folder: MakeFolder, tmp_path: Path) -> None:
    bad = np.where(WAVE > 0.99, np.inf, WAVE)
    make_folder("a", [np.zeros(30), bad, np.zeros(20), WAVE])
    record = prepare_store(tmp_path / "corpus", tmp_path / "store")["datasets"]["a"]
    store = open_store(tmp_path / "store")
    assert (store.row.tolist(), record["copied_points"]) == ([1, 3], 100)
    np.testing.assert_array_equal(store.series(1)[0], WAVE.astype(np.float32))
    np.testing.assert_array_equal(np.isnan(store.series(0)[0]), WAVE > 0.99)


def test_arrow_nulls_become_missing(make_folder: MakeFolder, tmp_path: Path) -> None:
    folder = make_folder("a", [WAVE, WAVE])
    shard = next(folder.glob("*.arrow"))
    with pa.ipc.open_stream(shard.read_bytes()) as reader:
        schema, rows = reader.schema, reader.read_all().to_pydict()
    rows["target"][1][4] = None
    with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(pa.table(rows, schema=schema))
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    store = open_store(tmp_path / "store")
    assert np.flatnonzero(np.isnan(store.series(1)[0])).tolist() == [4]
    np.testing.assert_array_equal(store.series(0)[0], WAVE.astype(np.float32))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        hnp.arrays(
            np.float32, st.tuples(st.integers(1, 3), st.integers(0, 12)), elements=st.floats(width=32)
        ),
        min_size=1,
        max_size=10,
    )
)
def test_any_values_are_stored_or_counted(
    tmp_path_factory: pytest.TempPathFactory, targets: list[np.ndarray]
) -> None:
    """Each series is either skipped with the reason that fits it or given back, infinities as missing."""
    tmp_path = tmp_path_factory.mktemp("any")
    start = np.datetime64("2020-01-01T00:00:00")
    write_folder(tmp_path / "corpus" / "a", [Item(str(i), start, "H", t) for i, t in enumerate(targets)])
    cleaned = [np.where(np.isinf(t), np.float32(np.nan), t) for t in targets]
    kept = [
        i
        for i, t in enumerate(cleaned)
        if t.shape[1] >= 2 and any(len(np.unique(v[~np.isnan(v)])) > 1 for v in t)
    ]
    if not kept:
        with pytest.raises(InputError, match="no usable series"):
            prepare_store(tmp_path / "corpus", tmp_path / "store", min_length=2)
        return
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store", min_length=2)
    store = open_store(tmp_path / "store")
    assert store.row.tolist() == kept
    assert manifest["skipped"] == len(targets) - len(kept)
    for number, row in enumerate(kept):
        np.testing.assert_array_equal(store.series(number), cleaned[row])
        assert store.complete[number] == (not np.isnan(cleaned[row]).any())


def test_a_damaged_shard_stops_the_preparation_and_leaves_no_store(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    make_folder("a", [WAVE])
    shard = next(make_folder("b", [WAVE]).glob("*.arrow"))
    content = shard.read_bytes()
    shard.write_bytes(content[:-20])
    with pytest.raises(InputError, match="truncated") as caught:
        prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert str(shard) in str(caught.value)
    with pytest.raises(InputError, match="not a finished store"):
        open_store(tmp_path / "store")
    shard.write_bytes(content)
    assert prepare_store(tmp_path / "corpus", tmp_path / "store")["series"] == 2


def test_columns_that_are_not_used_are_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    make_folder("plain", [WAVE])
    folder = make_folder("covariates", [WAVE, WAVE], shards=2)
    for shard in folder.glob("*.arrow"):
        with pa.ipc.open_stream(shard.read_bytes()) as reader:
            table = reader.read_all()
        column = pa.array([[[0.0] * 40]], pa.list_(pa.list_(pa.float32())))
        table = table.append_column("feat_dynamic_real", column)
        with pa.OSFile(str(shard), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    datasets = prepare_store(tmp_path / "corpus", tmp_path / "store")["datasets"]
    assert datasets["covariates"]["unused_columns"] == ["feat_dynamic_real"]
    assert datasets["covariates"]["variates"] == [1, 1]
    # A corpus without such columns keeps its manifest as it was, so that nothing is trained again.
    assert "unused_columns" not in datasets["plain"]


def test_a_shard_that_is_not_what_was_downloaded_is_named(make_folder: MakeFolder, tmp_path: Path) -> None:
    shard = next(make_folder("a", [WAVE]).glob("*.arrow"))
    content = shard.read_bytes()
    files = {"a/state.json": "0" * 40, f"a/{shard.name}": hashlib.sha256(content).hexdigest()}
    (tmp_path / "corpus" / "download.json").write_text(json.dumps({"files": files}))
    place = content.index(WAVE.astype(np.float32).tobytes())
    shard.write_bytes(content[:place] + b"\1" + content[place + 1 :])
    with pytest.raises(InputError, match="wrong checksum") as caught:
        prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert str(shard) in str(caught.value)
    with pytest.raises(InputError, match="not a finished store"):
        open_store(tmp_path / "store")
    shard.write_bytes(content)
    assert prepare_store(tmp_path / "corpus", tmp_path / "store")["series"] == 1
    (tmp_path / "corpus" / "download.json").write_text("[]")
    with pytest.raises(InputError, match=r"download\.json.*not the record of a download"):
        prepare_store(tmp_path / "corpus", tmp_path / "store")


@pytest.mark.parametrize("lost", ["a.f32", "a.parquet", "a.json"])
def test_a_lost_part_is_made_again(make_folder: MakeFolder, tmp_path: Path, lost: str) -> None:
    make_folder("a", [np.where(WAVE > 0.99, np.inf, WAVE)])
    first = prepare_store(tmp_path / "corpus", tmp_path / "store")
    (tmp_path / "store" / "parts" / lost).unlink()
    assert prepare_store(tmp_path / "corpus", tmp_path / "store") == first
    assert len(open_store(tmp_path / "store")) == 1


def test_a_full_disk_is_said_and_resumed_from(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b", "c"):
        make_folder(name, [WAVE])
    scanned: list[str] = []
    scan = prepare.scan_folder

    def counting(folder: Any, *rest: Any, **named: Any) -> Any:
        scanned.append(folder.folder.name)
        if folder.folder.name == "b" and len(scanned) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return scan(folder, *rest, **named)

    monkeypatch.setattr(prepare, "scan_folder", counting)
    with pytest.raises(InputError, match="disk is full"):
        prepare_store(tmp_path / "corpus", tmp_path / "store")
    with pytest.raises(InputError, match="not a finished store"):
        open_store(tmp_path / "store")
    (tmp_path / "store" / "parts" / ".c.f32.killed.part").write_bytes(b"half")
    assert prepare_store(tmp_path / "corpus", tmp_path / "store")["series"] == 3
    assert scanned == ["a", "b", "b", "c"]
    assert not list((tmp_path / "store").rglob("*.part"))


def test_preparing_again_redoes_only_what_changed(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder("a", [WAVE])
    make_folder("b", [WAVE])
    first = prepare_store(tmp_path / "corpus", tmp_path / "store")
    scanned: list[str] = []
    scan = prepare.scan_folder
    monkeypatch.setattr(
        prepare,
        "scan_folder",
        lambda folder, *rest, **named: scanned.append(folder.folder.name) or scan(folder, *rest, **named),
    )
    assert prepare_store(tmp_path / "corpus", tmp_path / "store") == first
    assert scanned == []
    make_folder("b", [WAVE, 2 * WAVE])
    assert prepare_store(tmp_path / "corpus", tmp_path / "store")["series"] == 3
    assert scanned == ["b"]


def test_a_corpus_that_moved_or_changed_is_noticed(make_folder: MakeFolder, tmp_path: Path) -> None:
    shard = next(make_folder("a", [WAVE]).glob("*.arrow"))
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    content = shard.read_bytes()
    shard.write_bytes(content + b"....")
    with pytest.raises(InputError, match="changed"):
        open_store(tmp_path / "store")
    shard.unlink()
    with pytest.raises(InputError, match="gone"):
        open_store(tmp_path / "store")
    shard.write_bytes(content)
    (tmp_path / "store" / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"index\.parquet"):
        open_store(tmp_path / "store")


def test_exclusions(make_folder: MakeFolder, tmp_path: Path) -> None:
    for name in ("m4_hourly", "hospital", "etth", "wind"):
        make_folder(name, [WAVE])
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store", exclude=["overlap", "w*"])
    assert manifest["excluded"] == ["hospital", "m4_hourly", "wind"]
    assert list(manifest["datasets"]) == ["etth"]
    with pytest.raises(InputError, match="matches no sub-dataset"):
        prepare_store(tmp_path / "corpus", tmp_path / "store", exclude=["nothing"])


@pytest.mark.parametrize(
    ("name", "benchmark"),
    [
        ("m4_hourly", "m4_hourly"),
        ("saugeenday", "saugeen"),
        ("hospital", "hospital"),
        ("temperature_rain_with_missing", "temperature_rain"),
        ("LOOP_SEATTLE", "loop_seattle"),
        ("car_parts_with_missing", "car_parts"),
        ("buildings_900k", None),
        ("m1_monthly", None),
    ],
)
def test_overlap_with_the_benchmark(name: str, benchmark: str | None) -> None:
    assert gift_eval_overlap(name) == benchmark


def test_keys_that_leak_are_those_of_the_store(make_folder: MakeFolder, tmp_path: Path) -> None:
    for name in ("m4_hourly", "saugeenday", "etth"):
        make_folder(name, [WAVE])
    make_folder("hospital", [np.zeros(40)])
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert leaked_keys(manifest) == {"m4_hourly", "saugeen"}, "nothing of hospital was usable"
    assert leaked_keys(prepare_store(tmp_path / "corpus", tmp_path / "store", exclude=["overlap"])) == set()


@pytest.mark.data
def test_the_real_corpus_is_counted_in_full(tmp_path: Path) -> None:
    import os

    if "SPECSEQ_DATA" not in os.environ:
        pytest.skip("SPECSEQ_DATA names no folder")
    manifest = prepare_store(Path(os.environ["SPECSEQ_DATA"]) / "lotsa_v1", tmp_path / "store")
    assert (manifest["series"], manifest["steps"]) == (5269, 1_379_091)
    assert manifest["datasets"]["nn5_daily_with_missing"]["missing_points"] == 1673
    assert json.loads((tmp_path / "store" / "manifest.json").read_text()) == manifest
    store = open_store(tmp_path / "store")
    assert np.isfinite(store.series(0)).all()
