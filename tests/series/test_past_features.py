"""The column ``past_feat_dynamic_real`` through the preparation into the store."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specseq.errors import InputError
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.evaluation import evaluation_manifest
from specseq.series.prepare import prepare_store
from specseq.series.store import INDEX_SCHEMA, open_store
from specseq.series.stretches import Stretches, window_hashes
from tests.series.past_features import START, add_past_features

MakeFolder = Callable[..., Path]
WAVE = np.sin(np.arange(40.0))
NESTED, PLAIN = pa.list_(pa.list_(pa.float32())), pa.list_(pa.float32())


def test_the_store_gives_back_past_features(make_folder: MakeFolder, tmp_path: Path) -> None:
    """Lists of lists, lists of a fixed number, plain lists; rows without; values as they lie, not copied."""
    make_folder("a_plain", [WAVE])
    two, three = np.stack([WAVE, WAVE + 1]), np.arange(60.0).reshape(3, 20)
    add_past_features(make_folder("b", [WAVE, WAVE, WAVE[:20], WAVE]), [two, None, three, []])
    wide = make_folder("c", [np.stack([WAVE, -WAVE]), np.stack([WAVE, WAVE])])
    add_past_features(wide, [two + 5, None], pa.list_(pa.list_(pa.float32()), 2))
    add_past_features(make_folder("d", [WAVE, WAVE]), [None, 2 * WAVE], PLAIN)
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    store = open_store(tmp_path / "store")
    expected = [[], two, [], three, [], two + 5, [], [], [2 * WAVE]]
    assert store.past.variates.tolist() == [0, 2, 0, 3, 0, 2, 0, 0, 1]
    for number, values in enumerate(expected):
        found = store.past_features(number)
        assert found.shape == (len(values), store.length[number])
        np.testing.assert_array_equal(found, np.reshape(values, found.shape).astype(np.float32))
    np.testing.assert_array_equal(store.series(5)[1], -WAVE.astype(np.float32))
    assert store.past.complete.tolist() == [bool(len(values)) for values in expected]
    records = {name: record.get("past_features") for name, record in manifest["datasets"].items()}
    none = {"missing_points": 0, "infinite_points": 0}
    assert records == {
        "a_plain": None,
        "b": {"variates": [2, 3], "series": 2, "points": 140, **none},
        "c": {"variates": [2, 2], "series": 1, "points": 80, **none},
        "d": {"variates": [1, 1], "series": 1, "points": 40, **none},
    }
    assert manifest["points"] == 4 * 40 + 20 + 4 * 40 + 2 * 40, "points are those of targets"
    assert not list((tmp_path / "store").rglob("*.f32"))
    assert np.shares_memory(store.past_features(1), store.values[store.past.file[1]])
    chosen = store.select(np.array([3, 0]))
    np.testing.assert_array_equal(chosen.past_features(0), three.astype(np.float32))
    assert len(chosen.past_features(1)) == 0


def test_values_that_cannot_be_mapped_are_cleaned(make_folder: MakeFolder, tmp_path: Path) -> None:
    bad = np.stack([WAVE, WAVE])
    bad[0, 3], bad[1, 5] = np.inf, np.nan
    target = np.where(WAVE > 0.99, -np.inf, WAVE)
    add_past_features(make_folder("inf", [WAVE, target]), [np.stack([WAVE, 7 + WAVE]), bad])
    nulls = [[[1.0, None, *WAVE[2:].tolist()]], None]
    add_past_features(make_folder("null", [WAVE, WAVE]), nulls, NESTED)
    add_past_features(make_folder("wide", [WAVE, WAVE]), [None, bad], pa.list_(pa.list_(pa.float64())))
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    store = open_store(tmp_path / "store")
    for number in (1, 5):
        np.testing.assert_array_equal(np.argwhere(np.isnan(store.past_features(number))), [[0, 3], [1, 5]])
    np.testing.assert_array_equal(store.past_features(0)[1], (7 + WAVE).astype(np.float32))
    np.testing.assert_array_equal(np.isnan(store.series(1)[0]), WAVE > 0.99)
    assert np.flatnonzero(np.isnan(store.past_features(2)[0])).tolist() == [1]
    np.testing.assert_array_equal(store.series(2)[0], WAVE.astype(np.float32))
    assert store.past.complete.tolist() == [True, False, False, False, False, False]
    assert manifest["datasets"]["inf"]["past_features"]["infinite_points"] == 1
    assert manifest["datasets"]["wide"]["past_features"]["missing_points"] == 2


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_past_features_are_given_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root, floats = tmp_path_factory.mktemp("any"), st.floats(width=32)
    lengths = data.draw(st.lists(st.integers(2, 9), min_size=1, max_size=6))
    features = [
        data.draw(st.none() | hnp.arrays(np.float32, (data.draw(st.integers(1, 3)), steps), elements=floats))
        for steps in lengths
    ]
    items = [Item(str(n), START, "H", np.arange(float(steps))) for n, steps in enumerate(lengths)]
    write_folder(root / "corpus" / "a", items)
    add_past_features(root / "corpus" / "a", features)
    manifest = prepare_store(root / "corpus", root / "store", min_length=2)
    store = open_store(root / "store")
    assert (store.past is None) == all(values is None for values in features)
    assert ("past_features" in manifest["datasets"]["a"]) == (store.past is not None)
    for number, values in enumerate(features):
        np.testing.assert_array_equal(store.series(number)[0], np.arange(lengths[number], dtype=np.float32))
        found = store.past_features(number)
        if values is None:
            assert found.shape == (0, lengths[number])
        else:
            np.testing.assert_array_equal(found, np.where(np.isinf(values), np.nan, values))


@pytest.mark.parametrize("kind", [NESTED, PLAIN, pa.null()])
def test_a_column_without_a_value_is_as_none(
    make_folder: MakeFolder, tmp_path: Path, kind: pa.DataType
) -> None:
    """Manifest and index have nothing that those of a corpus without the column lack."""
    make_folder("a", [WAVE, WAVE[:9]])
    plain = prepare_store(tmp_path / "corpus", tmp_path / "plain")
    # The second series is too short for the corpus, and so are its features.
    values = None if kind == pa.null() else np.ones((1, 9) if kind == NESTED else 9)
    add_past_features(tmp_path / "corpus" / "a", [None, values], kind)
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert manifest["datasets"]["a"].keys() == plain["datasets"]["a"].keys()
    columns = [pq.read_schema(tmp_path / name / "index.parquet").names for name in ("plain", "store")]
    assert columns[0] == columns[1] == INDEX_SCHEMA.names
    store = open_store(tmp_path / "store")
    assert store.past is None
    assert store.past_features(0).shape == (0, 40)


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (
            np.ones((2, 39)),
            "row 2 of the data set ('item2') has 40 steps, its past_feat_dynamic_real 39 steps",
        ),
        ([[1.0] * 40, [1.0] * 39], "its past_feat_dynamic_real variates of different lengths"),
    ],
)
def test_other_lengths_than_the_targets_are_refused(
    make_folder: MakeFolder, tmp_path: Path, features: object, words: str
) -> None:
    folder = make_folder("a", [WAVE, WAVE, WAVE])
    add_past_features(folder, [None, WAVE[None], features])
    with pytest.raises(InputError) as caught:
        prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert words in str(caught.value)
    assert str(next(folder.glob("*.arrow"))) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_those_of_skipped_series_and_of_evaluation_sets_are_not_looked_at(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    add_past_features(make_folder("a", [WAVE, WAVE[:9], 0 * WAVE]), [WAVE[None], WAVE[None], [[1.0], []]])
    manifest = prepare_store(tmp_path / "corpus", tmp_path / "store")
    assert (manifest["series"], manifest["skipped"]) == (1, 2)
    add_past_features(make_folder("a", [WAVE]), [["text"]], pa.list_(pa.string()))
    assert evaluation_manifest(tmp_path / "corpus", tmp_path / "m.json")["datasets"]["a"]["series"] == 1
    with pytest.raises(InputError, match=r"column past_feat_dynamic_real is list<.*string>.*expected list"):
        prepare_store(tmp_path / "corpus", tmp_path / "store")


def test_past_features_leak_too(make_folder: MakeFolder, tmp_path: Path) -> None:
    secret = np.cos(np.arange(40.0) ** 1.5)
    add_past_features(make_folder("a", [WAVE]), [np.stack([WAVE, secret])])
    make_folder("b", [WAVE])
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    hashes = window_hashes(secret.astype(np.float32)[:20])
    stretches = Stretches([hashes])
    stretches.look_through(open_store(tmp_path / "store"))
    assert stretches.holders(hashes).tolist() == [0] * len(hashes)


@pytest.mark.data
def test_real_past_features(tmp_path: Path) -> None:
    """Data sets of GIFT-Eval that have the column, read as a corpus."""
    if "SPECSEQ_DATA" not in os.environ:
        pytest.skip("SPECSEQ_DATA names no folder")
    (tmp_path / "corpus").mkdir()
    data = Path(os.environ["SPECSEQ_DATA"]) / "gift_eval"
    (tmp_path / "corpus" / "application").symlink_to(data / "bizitobs_application")
    (tmp_path / "corpus" / "l2c").symlink_to(data / "bizitobs_l2c" / "H")
    datasets = prepare_store(tmp_path / "corpus", tmp_path / "store")["datasets"]
    store = open_store(tmp_path / "store")
    for number, name in enumerate(datasets):
        here = store.dataset == number
        record = datasets[name]["past_features"]
        assert record["points"] == int((store.past.variates * store.length)[here].sum()) > 0
    assert np.isfinite(store.past_features(0)).any()
