import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from specseq.series.anomaly import context_tokens, largest_z_scores
from specseq.series.arrow_writer import Item, write_folder
from specseq.series.moirai2 import Moirai2Crops
from specseq.series.prepare import prepare_store
from specseq.series.store import Store, open_store
from specseq.series.stream import moirai2_stream


@pytest.mark.parametrize(("tokens", "context"), [(1, 1), (2, 1), (3, 1), (6, 1), (7, 2), (10, 3), (512, 153)])
def test_context_is_the_first_thirty_percent(tokens: int, context: int) -> None:
    assert context_tokens(np.array([tokens])) == [context]


points = st.one_of(st.just(np.float32(np.nan)), st.floats(-1e6, 1e6, width=32))
crops = hnp.arrays(np.float32, st.integers(0, 20), elements=points)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(crops, crops), min_size=1, max_size=6))
def test_z_scores_are_those_of_the_definition(pairs: list[tuple[np.ndarray, np.ndarray]]) -> None:
    found = largest_z_scores([head for head, _ in pairs], [rest for _, rest in pairs])
    for z, pair in zip(found, pairs, strict=True):
        head, rest = (part[~np.isnan(part)].astype(float) for part in pair)
        if len(head) < 2 or not len(rest):
            assert z == math.inf
            continue
        expected = np.abs((rest - head.mean()) / np.sqrt(head.var(ddof=1) + 1e-5)).max()
        assert z == pytest.approx(expected, rel=1e-9, abs=1e-6)


def test_a_straight_line_exceeds_the_published_threshold() -> None:
    line = np.arange(1000, dtype=np.float32)
    assert largest_z_scores([line[:300]], [line[300:]])[0] == pytest.approx(9.8, abs=0.05)


def make_store(root: Path, *targets: np.ndarray) -> Store:
    start = np.datetime64("2020-01-01T00:00:00")
    write_folder(root / "corpus" / "a", [Item(str(n), start, "H", t) for n, t in enumerate(targets)])
    prepare_store(root / "corpus", root / "store")
    return open_store(root / "store")


def test_anomalous_crops_are_drawn_again(tmp_path: Path) -> None:
    calm = np.random.default_rng(0).standard_normal(640)
    spike = calm.copy()
    spike[600:] += 1000.0
    planner = Moirai2Crops(make_store(tmp_path, calm, spike), min_tokens=20)
    crops = planner.draw(np.random.default_rng(0), 200)
    assert crops.in_loss.all()
    assert planner.counts["drawn_again"] > 10
    ends = crops.start + crops.tokens * 16
    assert (ends[crops.series == 1] <= 600).all(), "what is kept does not reach the spike"
    assert (crops.series == 0).sum() > (crops.series == 1).sum()
    unruled = Moirai2Crops(planner.store, min_tokens=20, anomaly_threshold=None)
    free = unruled.draw(np.random.default_rng(0), 200)
    assert (free.start + free.tokens * 16)[free.series == 1].max() > 600
    assert unruled.counts == {"drawn_again": 0, "kept_from_loss": 0}


def test_a_context_that_lies_before_the_series_is_never_learned_from(tmp_path: Path) -> None:
    short = np.random.default_rng(0).standard_normal(30)
    batch = next(moirai2_stream(make_store(tmp_path, short), rows=2, tokens=20, min_tokens=20, pool=4))
    assert int(batch.observed[0].sum()) == 30
    assert not batch.loss_mask.any()


def test_crops_that_stay_anomalous_are_kept_from_the_loss(tmp_path: Path) -> None:
    line = np.arange(160.0)
    store = make_store(tmp_path, line)
    stream = moirai2_stream(store, rows=4, tokens=10, min_tokens=10, pool=8)
    batch = next(stream)
    assert (batch.sample_id == 1).all()
    assert not batch.loss_mask.any()
    counts = stream.planner.counts  # type: ignore[attr-defined]
    assert counts == {"drawn_again": 40, "kept_from_loss": 8}


def test_a_crop_without_observations_is_never_learned_from(tmp_path: Path) -> None:
    hollow = np.full(640, np.nan)
    hollow[:40] = np.random.default_rng(0).standard_normal(40)
    stream = moirai2_stream(make_store(tmp_path, hollow), rows=8, tokens=40, pool=64)
    for _ in range(3):
        batch = next(stream)
        for row in range(8):
            for sample in range(1, int(batch.sample_id[row].max()) + 1):
                here = batch.sample_id[row] == sample
                if batch.loss_mask[row][here].any():
                    assert int(batch.observed[row][here].sum()) >= 2
