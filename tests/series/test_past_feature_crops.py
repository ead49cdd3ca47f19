"""Past features as further variates of MOIRAI's samples: how many, which, and what of them."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from specseq.series.arrow_writer import Item, write_folder
from specseq.series.collate import collate
from specseq.series.crops import Crops
from specseq.series.moirai import MoiraiCrops
from specseq.series.moirai2 import Moirai2Crops
from specseq.series.prepare import prepare_store
from specseq.series.store import PastFeatures, Store, open_store
from specseq.series.stream import PackedStream, moirai_stream
from tests.series.past_features import PAST, START, add_past_features, coded, coded_store

SHAPES = [(3, 5, 700), (1, 4, 1000), (2, 0, 500), (7, 1, 900)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return coded_store(tmp_path_factory.mktemp("past"), SHAPES)


def counts(crops: Crops) -> tuple[np.ndarray, np.ndarray]:
    """Targets and past features of each crop."""
    past = np.bincount(crops.crop, crops.past, len(crops)).astype(int)
    return crops.variates - past, past


def batches(stream: PackedStream, count: int) -> list[dict[str, np.ndarray]]:
    return [stream.arrays() for _ in range(count)]


def test_without_the_setting_or_without_past_features_nothing_changes(store: Store, tmp_path: Path) -> None:
    """Off reads a corpus as if it had no such column; on changes nothing where there is none."""
    items = [Item(str(n), START, "H", coded(n, v, steps)) for n, (v, _, steps) in enumerate(SHAPES)]
    write_folder(tmp_path / "corpus" / "wide", items)
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    plain = open_store(tmp_path / "store")
    assert plain.past is None
    expected = batches(moirai_stream(plain, 6, 1, 64, 20), 6)
    for other in (
        moirai_stream(store, 6, 1, 64, 20),
        moirai_stream(plain, 6, 1, 64, 20, past_features=True),
        moirai_stream(store.select(np.arange(4)), 6, 1, 64, 20, past_features=False),
    ):
        for one, two in zip(batches(other, 6), expected, strict=True):
            assert one.keys() == two.keys()
            for name, values in one.items():
                np.testing.assert_array_equal(values, two[name], err_msg=name)
    drawn = batches(moirai_stream(store, 6, 1, 64, 20, past_features=True), 6)
    assert any(not np.array_equal(a["target"], b["target"]) for a, b in zip(drawn, expected, strict=True))


@pytest.mark.parametrize(
    ("targets", "past", "most_targets", "most_past"),
    # 128 variates shared by 160: 128·100 // 160 and 128·60 // 160.
    [(3, 5, 3, 5), (100, 60, 80, 48), (1, 200, 1, 127), (128, 1, 127, 0)],
)
def test_each_field_has_a_uniform_number_of_its_share(
    tmp_path: Path, targets: int, past: int, most_targets: int, most_past: int
) -> None:
    series = coded_store(tmp_path, [(targets, past, 600)])
    crops = MoiraiCrops(series, past_features=True).draw(np.random.default_rng(0), 6000)
    drawn, drawn_past = counts(crops)
    for found, most in ((drawn, most_targets), (drawn_past, most_past)):
        assert (found.min(), found.max()) == (min(1, most), most)
        assert most < 2 or stats.chisquare(np.bincount(found)[1:]).pvalue > 1e-3
    if most_targets > 1 < most_past:
        assert abs(stats.spearmanr(drawn, drawn_past).statistic) < 0.05, "the two are drawn apart"
    # Which variates are drawn, and in what order, does not depend on their number.
    for field, width in ((~crops.past, targets), (crops.past, past)):
        if most_past and width > 1:
            assert stats.chisquare(np.bincount(crops.variate[field], minlength=width)).pvalue > 1e-3


def nominal(targets: list[int], past: list[int], steps: list[int]) -> Store:
    """A store of monthly series without values."""
    count, zero = len(steps), np.zeros(len(steps), np.int32)
    features = PastFeatures(zero, zero.astype(np.int64), np.array(past), zero == 0)
    wide = np.array(targets), np.array(steps)
    return Store(
        Path(),
        {},
        ("a",),
        ("M",),
        zero,
        np.arange(count),
        zero,
        zero.astype(np.int64),
        wide[1],
        wide[0],
        zero,
        zero == 0,
        features,
    )


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 140), st.integers(0, 140), st.integers(16, 300)), min_size=1, max_size=5
    ),
    sizes=st.tuples(st.integers(4, 80), st.integers(1, 40), st.integers(1, 4)),
    mask=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: (min(pair), max(pair))),
    stacked=st.booleans(),
)
def test_crops_of_any_series_keep_their_bounds(
    shapes: list[tuple[int, int, int]],
    sizes: tuple[int, int, int],
    mask: tuple[float, float],
    stacked: bool,
) -> None:
    store = nominal(*(list(column) for column in zip(*shapes, strict=True)))
    max_tokens, max_variates, min_patches = sizes
    if not (store.length // min_patches >= 8).any():
        return
    planner = MoiraiCrops(
        store, max_tokens, max_variates, min_patches, mask, stacked=("a",) * stacked, past_features=True
    )
    crops = planner.draw(np.random.default_rng(0), 60)
    drawn, past = counts(crops)
    assert (drawn >= 1).all()
    assert (drawn + past <= max_variates).all()
    assert not past[crops.predicted == crops.tokens].any()
    assert (crops.tokens >= min_patches).all()
    assert (crops.size <= max_tokens).all()
    assert (crops.size == drawn * crops.tokens + past * (crops.tokens - crops.predicted)).all()
    assert (crops.run_tokens >= 1).all()
    assert (np.bincount(crops.crop, crops.run_tokens) == crops.size).all()
    width = np.where(crops.past, store.past.variates[crops.source], store.variates[crops.source])
    assert (crops.variate < width).all()
    assert (crops.start + crops.tokens * crops.patch <= store.length[crops.series]).all()
    assert (store.length[crops.source] == store.length[crops.series][crops.crop]).all()
    for a, n in zip(crops.first_variate, crops.variates, strict=True):
        assert len(set(crops.variate_id[a : a + n])) == n
        columns = (crops.source, crops.variate, crops.past)
        assert len(set(zip(*(column[a : a + n] for column in columns), strict=True))) == n
        assert (np.diff(crops.past[a : a + n].astype(int)) >= 0).all(), "targets come first"
    order = np.random.default_rng(1).permutation(len(crops))
    taken = crops.take(order)
    assert (taken.size == crops.size[order]).all()
    assert taken.past.sum() == crops.past.sum()


def test_tokens_hold_what_their_ids_say_and_none_of_past_features_is_predicted(store: Store) -> None:
    stream, shorter = moirai_stream(store, 8, 0, 64, 24, past_features=True), 0
    for arrays in islice(iter(stream.arrays, None), 12):
        target, observed, mask = arrays["target"], arrays["observed"], arrays["prediction_mask"]
        is_past = target.max(-1) >= PAST
        assert not (is_past & mask).any()
        assert (arrays["loss_mask"] == (arrays["sample_id"] > 0)).all()
        assert is_past.any()
        for row, start, length in arrays["samples"]:
            tokens, seen = slice(start, start + length), []
            runs = [
                (begin, size)
                for r, begin, size in arrays["variates"]
                if r == row and start <= begin < start + length
            ]
            assert sum(size for _, size in runs) == length
            n = int((arrays["variate_id"][row, tokens] == arrays["variate_id"][row, start]).sum())
            predicted = int(mask[row, start : start + n].sum())
            assert 1 <= predicted <= n
            for begin, size in runs:
                here, patch = slice(begin, begin + size), arrays["patch_size"][row, begin]
                assert arrays["time_id"][row, here].tolist() == list(range(size))
                values = target[row, here, :patch].ravel()
                assert observed[row, here, :patch].all()
                assert (np.diff(values) == 1).all(), "consecutive steps of one variate"
                past = values[0] >= PAST
                assert (size, mask[row, here].sum()) == ((n - predicted, 0) if past else (n, predicted))
                seen.append((past, values[0] % 2**12, (values[0] % PAST) // 2**17))
                shorter += past
            assert len({step for _, step, _ in seen}) == 1, "one window for all"
            assert len({series for *_, series in seen}) == 1
            assert [past for past, *_ in seen] == sorted(past for past, *_ in seen)
            assert len(set(arrays["variate_id"][row, tokens])) == len(runs)
    assert shorter > 100


def test_a_sample_by_hand(store: Store) -> None:
    """Two targets of 3 tokens, the last predicted, and a past feature of the other two."""
    one = np.array([1])
    crops = Crops(
        series=0 * one,
        start=5 * one,
        patch=4 * one,
        tokens=3 * one,
        predicted=one,
        in_loss=one > 0,
        first_variate=0 * one,
        variates=3 * one,
        source=np.zeros(3, np.int64),
        variate=np.array([2, 0, 4]),
        variate_id=np.array([9, 70, 33]),
        past=np.array([False, False, True]),
    )
    assert crops.size.tolist() == [8]
    arrays = collate(store, crops, 0 * one, 1, 10, 6)
    first = np.array([2 * 4096, 0, PAST + 4 * 4096])
    steps = [
        *(first[0] + 5 + 4 * np.arange(3)),
        *(first[1] + 5 + 4 * np.arange(3)),
        *(first[2] + 5 + 4 * np.arange(2)),
    ]
    expected = np.zeros((10, 6))
    expected[:8, :4] = np.array(steps)[:, None] + np.arange(4)
    np.testing.assert_array_equal(arrays["target"][0], expected)
    assert arrays["time_id"][0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 0, 0]
    assert arrays["variate_id"][0].tolist() == [9] * 3 + [70] * 3 + [33] * 2 + [0] * 2
    assert arrays["prediction_mask"][0].tolist() == [False, False, True] * 2 + [False] * 4
    assert arrays["variates"].tolist() == [[0, 0, 3], [0, 3, 3], [0, 6, 2]]
    assert arrays["samples"].tolist() == [[0, 0, 8]]
    assert arrays["patch_size"][0].tolist() == [4] * 8 + [0] * 2


def test_stacked_series_bring_their_past_features(tmp_path: Path) -> None:
    """Both fields of all stacked series are joined; series with other numbers of them are not stacked."""
    store = coded_store(tmp_path, [(1, 2, 400)] * 5 + [(1, 1, 400)] * 2, "aligned")
    crops = MoiraiCrops(store, stacked=("aligned",), past_features=True).draw(np.random.default_rng(0), 2000)
    drawn, past = counts(crops)
    assert drawn.max() > 3
    assert past.max() > 4
    few = crops.series >= 5
    assert past[few].max() == 2
    for a, n, alone in zip(crops.first_variate, crops.variates, few, strict=True):
        assert set(crops.source[a : a + n] >= 5) == {alone}
    other = (crops.source != crops.series[crops.crop]) & crops.past
    assert other.any(), "past features of a stacked series, too"


def test_a_resumed_stream_goes_on_exactly(store: Store) -> None:
    stream = moirai_stream(store, 6, 2, 64, 20, past_features=True)
    batches(stream, 3)
    state, expected = stream.state_dict(), batches(stream, 3)
    fresh = moirai_stream(store, 6, 2, 64, 20, past_features=True)
    fresh.load_state_dict(state)
    for one, two in zip(batches(fresh, 3), expected, strict=True):
        assert all(np.array_equal(one[name], two[name]) for name in one)


def test_missing_values_of_past_features_are_unobserved(tmp_path: Path) -> None:
    write_folder(tmp_path / "corpus" / "a", [Item("0", START, "M", np.arange(200.0))])
    values = np.full((2, 200), 5.0)
    values[0, ::3], values[1] = np.nan, np.nan
    add_past_features(tmp_path / "corpus" / "a", [values])
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    stream = moirai_stream(open_store(tmp_path / "store"), 4, 0, 64, past_features=True)
    found = {0: False, 1: False}
    for arrays in batches(stream, 4):
        assert np.isfinite(arrays["target"]).all()
        for row, begin, size in arrays["variates"]:
            if arrays["prediction_mask"][row, begin : begin + size].any():
                continue
            patch = arrays["patch_size"][row, begin]
            seen = arrays["observed"][row, begin : begin + size, :patch].ravel()
            assert (arrays["target"][row, begin : begin + size, :patch].ravel() == 5.0 * seen).all()
            found[int(not seen.any())] = True
            assert not seen.any() or abs(seen.mean() - 2 / 3) < 0.1
    assert all(found.values())


def test_moirai2_leaves_past_features_alone(store: Store) -> None:
    crops = Moirai2Crops(store, anomaly_threshold=None).draw(np.random.default_rng(0), 50)
    assert not crops.past.any()
    assert (crops.variate < store.variates[crops.series]).all()
