"""Crops, packing, collate and the stream, on a corpus whose values say where they come from."""

import pickle
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.batch import PackedBatch, Segments
from specseq.series.moirai import PATCH_RANGE, MoiraiCrops
from specseq.series.moirai2 import Moirai2Crops
from specseq.series.prepare import prepare_store
from specseq.series.store import Store, open_store
from specseq.series.stream import PackedStream, first_fit_decreasing, moirai2_stream, moirai_stream

START = np.datetime64("2020-01-01T00:00:00")
VARIATE, SERIES = 0.25, 4096.0


def coded(number: int, variates: int, length: int) -> np.ndarray:
    """Values that name series, variate and time, exactly representable in float32."""
    return number * SERIES + np.arange(variates)[:, None] * VARIATE + np.arange(float(length))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("stream")
    many = [Item(f"{n}", START, "H", coded(n, 1, 30 + 150 * n)[0]) for n in range(8)]
    gaps = coded(8, 1, 400)[0]
    gaps[::7] = np.nan
    write_folder(root / "corpus" / "hourly", [*many, Item("gaps", START, "H", gaps)], shards=3)
    wide = [Item(f"{n}", START, "M", coded(n, 5, 300)) for n in (9, 10)]
    write_folder(root / "corpus" / "wide", wide)
    write_folder(root / "corpus" / "yearly", [Item("11", START, "A-DEC", coded(11, 1, 20)[0])])
    prepare_store(root / "corpus", root / "store")
    return open_store(root / "store")


def streams(store: Store, **sizes: int) -> Iterator[PackedStream]:
    yield moirai2_stream(store, rows=6, tokens=64, pool=20, anomaly_threshold=None, **sizes)
    yield moirai_stream(store, rows=6, tokens=64, pool=20, **sizes)


def runs(table: Segments) -> Iterator[tuple[int, int, int]]:
    return zip(table.rows.tolist(), table.starts.tolist(), table.lengths.tolist(), strict=True)


def equal(a: PackedBatch, b: PackedBatch) -> bool:
    def same(x: object, y: object) -> bool:
        if isinstance(x, torch.Tensor):
            return torch.equal(x, y)  # type: ignore[arg-type]
        if isinstance(x, Segments):
            return all(same(getattr(x, n), getattr(y, n)) for n in vars(x))
        return x == y

    return all(same(getattr(a, name), getattr(b, name)) for name in vars(a))


@pytest.mark.parametrize("kind", [0, 1])
def test_every_token_holds_what_its_ids_say(store: Store, kind: int) -> None:
    """Values, masks, ids and segment tables of whole batches agree with the series they were cut from."""
    stream = list(streams(store))[kind]
    seen_gap = seen_wide = seen_short = False
    for batch in islice(stream, 8):
        target, observed = batch.target.numpy(), batch.observed.numpy()
        assert target.dtype == np.float32
        assert not target[~observed].any()
        for row, start, length in runs(batch.samples):
            tokens = slice(start, start + length)
            assert len(set(batch.sample_id[row, tokens].tolist())) == 1
            patch = int(batch.patch_size[row, start])
            assert (batch.patch_size[row, tokens] == patch).all()
            assert not observed[row, tokens, patch:].any()
        for row, start, length in runs(batch.variates):
            assert batch.time_id[row, start : start + length].tolist() == list(range(length))
            assert len(set(batch.variate_id[row, start : start + length].tolist())) == 1
            patch = int(batch.patch_size[row, start])
            values = target[row, start : start + length, :patch].ravel()
            mask = observed[row, start : start + length, :patch].ravel()
            time = np.flatnonzero(mask)
            steps = values[mask] - time
            assert (steps == steps[0]).all(), "points of one variate are consecutive time steps"
            seen_gap |= bool((~mask[time[0] :]).any())
            seen_short |= bool(time[0] > 0 and mask[time[0] :].all())
            seen_wide |= steps[0] % 1 != 0
        covered = torch.zeros_like(batch.sample_id, dtype=torch.bool)
        for row, start, length in runs(batch.variates):
            assert not covered[row, start : start + length].any()
            covered[row, start : start + length] = True
        assert torch.equal(covered, batch.sample_id > 0)
        assert torch.equal(covered, batch.loss_mask)
        assert ((batch.patch_size == 0) == ~covered).all()
    assert seen_gap
    assert seen_wide
    assert seen_short is (kind == 0), "only causal crops begin before a short series"


@pytest.mark.parametrize("kind", [0, 1])
def test_sample_ids_count_from_one_without_gaps_and_padding_is_on_the_right(store: Store, kind: int) -> None:
    for batch in islice(list(streams(store))[kind], 5):
        for ids in batch.sample_id.tolist():
            used = [i for i in ids if i]
            assert ids == used + [0] * (len(ids) - len(used))
            assert sorted(used) == used
            assert set(used) == set(range(1, used[-1] + 1))


@pytest.mark.parametrize("kind", [0, 1])
def test_resuming_is_exact_at_any_batch_and_in_another_process(store: Store, kind: int) -> None:
    whole = list(islice(list(streams(store, seed=5))[kind], 9))
    for cut in (0, 1, 4, 8):
        stream = list(streams(store, seed=5))[kind]
        for _ in range(cut):
            next(stream)
        state = pickle.loads(pickle.dumps(stream.state_dict()))
        next(stream)
        fresh = list(streams(store, seed=5))[kind]
        fresh.load_state_dict(state)
        for expected in whole[cut:]:
            assert equal(next(fresh), expected)


def test_a_state_is_not_changed_by_going_on(store: Store) -> None:
    stream = moirai_stream(store, rows=4, tokens=64, pool=6)
    next(stream)
    state = stream.state_dict()
    copy = pickle.loads(pickle.dumps(state))
    for _ in range(5):
        next(stream)
    assert state == copy


def test_seeds_differ_and_a_foreign_state_is_refused(store: Store) -> None:
    one, two = (moirai2_stream(store, rows=4, tokens=64, seed=seed) for seed in (1, 2))
    assert not equal(next(one), next(two))
    with pytest.raises(ValueError, match="seed"):
        two.load_state_dict(one.state_dict())


def test_every_batch_has_a_seed_of_its_own(store: Store) -> None:
    stream = moirai2_stream(store, rows=2, tokens=64)
    assert len({next(stream).seed for _ in range(20)}) == 20


def test_shards_are_the_rows_of_the_whole(store: Store) -> None:
    batch = next(moirai_stream(store, rows=7, tokens=64))
    parts = [batch.shard(rank, 3) for rank in range(3)]
    assert [len(part) for part in parts] == [2, 2, 3]
    assert torch.equal(torch.cat([part.target for part in parts]), batch.target)
    for part in parts:
        for table in (part.samples, part.variates):
            assert int(table.lengths.sum()) == int((part.sample_id > 0).sum())
            first = part.time_id[table.rows, table.starts]
            assert not first.any() or table is part.samples


def test_moirai_samples_follow_the_ten_transforms(store: Store) -> None:
    planner = MoiraiCrops(store, max_tokens=64)
    crops = planner.draw(np.random.default_rng(0), 4000)
    length, units = store.length[crops.series], np.array(store.frequencies)[store.frequency[crops.series]]
    for unit in np.unique(units):
        low, high = PATCH_RANGE[unit]
        here = units == unit
        assert set(crops.patch[here]) <= {p for p in (8, 16, 32, 64, 128) if low <= p <= high}
    assert (crops.tokens >= 2).all()
    assert (crops.size <= 64).all()
    assert (crops.start >= 0).all()
    assert (crops.start + crops.tokens * crops.patch <= length).all()
    assert (crops.patch <= length // 2).all()
    remainder = (crops.start % crops.patch)[crops.series == 7]
    assert 0 < len(set(remainder)) - 1 <= (length % crops.patch)[crops.series == 7].max(), "offsets vary"
    wide = store.variates[crops.series] > 1
    assert set(crops.variates[wide]) == {1, 2, 3, 4, 5}
    assert set(crops.variates[~wide]) == {1}
    ratio = crops.predicted / crops.tokens
    assert (crops.predicted >= 1).all()
    long = crops.tokens >= 20
    assert 0.12 < ratio[long].min() < 0.2
    assert 0.45 < ratio[long].max() < 0.53
    for a, n in zip(crops.first_variate, crops.variates, strict=True):
        assert len(set(crops.variate[a : a + n])) == n == len(set(crops.variate_id[a : a + n]))
    assert crops.variate_id.max() <= 127
    assert crops.variate[crops.first_variate[wide & (crops.variates == 5)]].min() == 0
    # Every patch size that suits a long hourly series is as likely as the others.
    longest = crops.patch[crops.series == 7]
    assert set(longest) == {32, 64}
    assert abs(np.mean(longest == 32) - 0.5) < 0.12


def test_only_the_patch_sizes_given_are_drawn(store: Store) -> None:
    planner = MoiraiCrops(store, max_tokens=64, patch_sizes=(16, 64))
    assert planner.patch_slot == 64
    crops = planner.draw(np.random.default_rng(0), 2000)
    units = np.array(store.frequencies)[store.frequency]
    assert set(crops.patch[units[crops.series] == "M"]) == {16}
    assert set(crops.patch[units[crops.series] == "H"]) == {64}
    assert not planner.eligible[units == "A"].any(), "no size suits a year"
    stream = moirai_stream(store, rows=4, tokens=64, patch_sizes=(16, 64))
    assert next(stream).target.shape[-1] == 64
    assert stream.facts["series_too_short"] == int((~planner.eligible).sum())


def test_rows_too_short_for_the_fewest_tokens_are_refused(store: Store) -> None:
    with pytest.raises(InputError, match=r"data\.min_tokens: 64 exceeds the 32 tokens of a row; lower it"):
        Moirai2Crops(store, min_tokens=64, max_tokens=32)
    with pytest.raises(InputError, match=r"data\.min_patches: 64 exceeds the 32 tokens of a row; lower it"):
        MoiraiCrops(store, min_patches=64, max_tokens=32)
    assert (
        Moirai2Crops(store, min_tokens=32, max_tokens=32).draw(np.random.default_rng(0), 9).tokens.max() == 32
    )
    assert MoiraiCrops(store, min_patches=8, max_tokens=8).draw(np.random.default_rng(0), 9).tokens.max() == 8


def test_aligned_series_of_a_sub_dataset_are_stacked(tmp_path: Path) -> None:
    same = [Item(f"{n}", START, "H", coded(n, 1, 300)[0]) for n in range(12)]
    other = [Item("12", START, "H", coded(12, 1, 310)[0])]
    write_folder(tmp_path / "corpus" / "aligned", [*same, *other])
    write_folder(tmp_path / "corpus" / "loose", [Item("13", START, "H", coded(13, 1, 300)[0])])
    prepare_store(tmp_path / "corpus", tmp_path / "store")
    store = open_store(tmp_path / "store")
    crops = MoiraiCrops(store, stacked=("aligned", "elsewhere")).draw(np.random.default_rng(0), 3000)
    alone = crops.series >= 12
    assert set(crops.variates[alone]) == {1}
    assert crops.variates[~alone].max() > 6
    used: set[int] = set()
    for a, n in zip(crops.first_variate[~alone], crops.variates[~alone], strict=True):
        sources = crops.source[a : a + n].tolist()
        assert len(set(sources)) == n
        assert max(sources) < 12, "only series of the same length"
        used |= set(sources)
    assert used == set(range(12))
    # 1 + Binomial(11, Beta(2, 5)) series on average, of which U{1..} are taken.
    assert crops.variates[~alone].mean() == pytest.approx((1 + (1 + 11 * 2 / 7)) / 2, rel=0.05)
    unstacked = MoiraiCrops(store, stacked=()).draw(np.random.default_rng(0), 500)
    assert set(unstacked.variates) == {1}
    stream = moirai_stream(store, rows=8, tokens=128, stacked=("aligned",))
    found = 0
    for batch in islice(stream, 4):
        for row, start, length in runs(batch.samples):
            ids = batch.sample_id[row] == batch.sample_id[row, start]
            here = [run for run in runs(batch.variates) if run[0] == row and ids[run[1]]]
            levels = {int(batch.target[r, s, 0] // SERIES) for r, s, _ in here}
            assert len(levels) == len(here)
            assert len({float(batch.target[r, s, 0] % SERIES) for r, s, _ in here}) == 1, "one window for all"
            found += length > here[0][2]
    assert found > 5


def test_predicted_tokens_are_the_last_of_every_variate(store: Store) -> None:
    batch = next(moirai_stream(store, rows=8, tokens=64))
    for row, start, length in runs(batch.variates):
        mask = batch.prediction_mask[row, start : start + length].tolist()
        count = sum(mask)
        assert 1 <= count <= max(1, round(length / 2))
        assert mask == [False] * (length - count) + [True] * count
    assert not batch.prediction_mask[batch.sample_id == 0].any()


def test_series_too_short_are_never_drawn_and_can_be_counted(store: Store) -> None:
    moirai, moirai2 = MoiraiCrops(store), Moirai2Crops(store)
    assert np.flatnonzero(~moirai.eligible).tolist() == [0], "30 hours hold no two patches of 32"
    assert moirai2.eligible.all()
    assert 0 not in moirai.draw(np.random.default_rng(0), 2000).series
    short = store.select(np.array([0]))
    with pytest.raises(InputError, match="long enough"):
        MoiraiCrops(short)


def test_a_series_of_less_than_two_patches_begins_with_missing_points(store: Store) -> None:
    yearly = store.select(np.array([len(store) - 1]))
    batch = next(moirai2_stream(yearly, rows=1, tokens=2, pool=1, anomaly_threshold=None))
    assert batch.observed[0].ravel().tolist() == [False] * 12 + [True] * 20
    assert batch.target[0].ravel()[12:].tolist() == coded(11, 1, 20)[0].tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_packing_loses_nothing_and_is_first_fit_decreasing(sizes: list[int]) -> None:
    array = np.array(sizes, dtype=np.int64)
    bins = first_fit_decreasing(array, 40)
    assert sorted(i for members in bins for i in members) == list(range(len(sizes)))
    totals = [int(array[members].sum()) for members in bins]
    assert all(total <= 40 for total in totals)
    space = [40 - total for total in totals]
    for later, members in enumerate(bins):
        smallest = int(array[members].min())
        assert all(space[earlier] < smallest for earlier in range(later)), "it would have fit further left"
        assert (np.diff(array[members]) <= 0).all()


@pytest.mark.parametrize("size", [0, 41])
def test_packing_refuses_what_fits_no_bin(size: int) -> None:
    with pytest.raises(ValueError, match="sizes"):
        first_fit_decreasing(np.array([3, size]), 40)


def test_rows_are_not_sorted_by_length(store: Store) -> None:
    fill = (next(moirai2_stream(store, rows=60, tokens=64, pool=200)).sample_id > 0).sum(1).tolist()
    samples = next(moirai2_stream(store, rows=60, tokens=64, pool=200)).sample_id.amax(1).tolist()
    assert fill != sorted(fill, reverse=True)
    assert samples != sorted(samples)


def test_loading_touches_no_global_generator(store: Store) -> None:
    np.random.seed(0)  # noqa: NPY002
    before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    next(moirai2_stream(store, rows=4, tokens=64))
    next(moirai_stream(store, rows=4, tokens=64))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)
