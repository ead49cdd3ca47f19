"""Seasonal Naive and Naive against their definitions, written out one window at a time."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from specseq.models.protocol import Query
from specseq.models.seasonal_naive import SeasonalNaive, calendar_season, naive
from specseq.models.windows import Windows, range_sums

LEVELS = (0.1, 0.5, 0.8)


def filled(context: NDArray[np.floating], leading: str) -> NDArray[np.float64]:
    """Last value carried forward, step by step."""
    values = context.astype(np.float64)
    known = values[np.isfinite(values)]
    last = 0.0 if leading == "zero" or not len(known) else known[0]
    for place, value in enumerate(values):
        last = value if np.isfinite(value) else last
        values[place] = last
    return values


def by_definition(
    context: NDArray[np.floating],
    horizon: int,
    season: int,
    leading: str = "first",
    history: int | None = None,
) -> NDArray[np.float64]:
    """Quantiles ``[Q, H]`` of a context of at least a season."""
    values = filled(context, leading)[-(history or len(context)) :]
    differences = values[season:] - values[:-season]
    sigma = math.sqrt(np.mean(differences**2)) if len(differences) else 0.0
    mean = np.array([values[len(values) - season + step % season] for step in range(horizon)])
    width = np.array([sigma * math.sqrt(step // season + 1) for step in range(horizon)])
    return np.stack([mean + NormalDist().inv_cdf(level) * width for level in LEVELS])


def ragged(seed: int, lengths: list[int], gaps: float) -> list[NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    contexts = []
    for length in lengths:
        values = generator.normal(100.0, 10.0, length) * 10.0 ** generator.integers(-4, 5)
        values[generator.random(length) < gaps] = np.nan
        contexts.append(values.astype(np.float32))
    return contexts


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(7, 60), min_size=1, max_size=5),
    gaps=st.sampled_from([0.0, 0.3, 0.9]),
    horizon=st.integers(1, 20),
    season=st.sampled_from([1, 2, 7]),
)
def test_forecast_is_the_definition(
    seed: int, lengths: list[int], gaps: float, horizon: int, season: int
) -> None:
    contexts = ragged(seed, lengths, gaps)
    query = Query(horizon, LEVELS, season)
    for forecaster, leading in (
        (SeasonalNaive(), "first"),
        (SeasonalNaive(leading="zero", history=20), "zero"),
    ):
        answer = forecaster.forecast(contexts, query)
        assert answer.shape == (len(contexts), 3, horizon)
        assert answer.dtype == np.float32
        for context, quantiles in zip(contexts, answer, strict=True):
            wanted = by_definition(context, horizon, season, leading, forecaster.history)
            np.testing.assert_allclose(quantiles, wanted, rtol=3e-6, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(12, 60), min_size=1, max_size=4),
    gaps=st.sampled_from([0.0, 0.5]),
    fev=st.booleans(),
)
def test_windows_answer_as_their_contexts_do(seed: int, lengths: list[int], gaps: float, fev: bool) -> None:
    series = ragged(seed, lengths, gaps)
    horizon, count = 3, 3
    buffer = np.concatenate(series)
    ends = np.cumsum([len(values) for values in series])
    starts = np.repeat(ends - lengths, count)
    cuts = (ends[:, None] - horizon * np.arange(count, 0, -1)).ravel()
    windows = Windows(buffer, starts, cuts, horizon)
    forecaster = SeasonalNaive.fev() if fev else SeasonalNaive()
    query = Query(horizon, LEVELS, season_length=5)
    together = forecaster.forecast_windows(windows, query)
    np.testing.assert_allclose(together, forecaster.forecast(windows.contexts(), query), rtol=1e-6)
    small = [forecaster.forecast_windows(block, query) for block in windows.blocks(points=6, values=40)]
    np.testing.assert_allclose(together, np.concatenate(small), rtol=1e-6)


def test_naive_is_a_random_walk() -> None:
    context = np.array([1.0, 3.0, 2.0, 6.0], dtype=np.float32)
    (quantiles,) = naive().forecast([context], Query(4, LEVELS, season_length=12))
    sigma = math.sqrt((4 + 1 + 16) / 3)
    z = NormalDist().inv_cdf(0.8)
    np.testing.assert_allclose(quantiles[1], 6.0)
    np.testing.assert_allclose(quantiles[2], 6.0 + z * sigma * np.sqrt([1, 2, 3, 4]), rtol=1e-6)


def test_short_contexts() -> None:
    query = Query(6, LEVELS, season_length=4, freq="Q")
    context = np.array([5.0, 8.0], dtype=np.float32)
    (repeated,) = SeasonalNaive().forecast([context], query)
    np.testing.assert_array_equal(repeated[1], 8.0)
    (partial,) = SeasonalNaive.fev().forecast([context], query)
    np.testing.assert_array_equal(partial, np.tile([5.0, 8.0, 0.0, 0.0, 5.0, 8.0], (3, 1)))
    (single,) = naive().forecast([np.array([4.0], np.float32)], query)
    np.testing.assert_array_equal(single, 4.0)


@pytest.mark.parametrize("forecaster", [SeasonalNaive(), SeasonalNaive.fev(), naive(), naive("fev")])
def test_nothing_known_is_forecast_as_zero(forecaster: SeasonalNaive) -> None:
    contexts = [np.full(9, np.nan, np.float32), np.array([np.nan], np.float32), np.ones(9, np.float32)]
    answer = forecaster.forecast(contexts, Query(3, LEVELS, season_length=2))
    np.testing.assert_array_equal(answer[:2], 0.0)
    np.testing.assert_array_equal(answer[2], 1.0)


def test_season_of_fev() -> None:
    forecaster = SeasonalNaive.fev()
    assert forecaster.season(Query(1, LEVELS, season_length=1, freq="D")) == 7
    assert forecaster.season(Query(1, LEVELS, season_length=96, freq="15T")) == 96
    assert forecaster.season(Query(1, LEVELS, season_length=1440, freq="T")) == 1
    assert naive("fev").season(Query(1, LEVELS, season_length=24, freq="H")) == 1
    seasons = {"10T": 144, "30T": 48, "7T": 1, "B": 5, "W-SUN": 1, "MS": 12, "QS-OCT": 4, "YS-JAN": 1, "S": 1}
    assert {freq: calendar_season(freq) for freq in seasons} == seasons


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 34)), min_size=1, max_size=12),
    st.integers(0, 10**6),
)
def test_range_sums(ranges: list[tuple[int, int]], seed: int) -> None:
    generator = np.random.default_rng(seed)
    terms = generator.normal(size=32) * 10.0 ** generator.integers(-8, 8, 32)
    low, high = np.array(sorted(ranges), dtype=np.int64).T
    wanted = [math.fsum(terms[a:b]) for a, b in zip(low, high, strict=True)]
    scale = [math.fsum(np.abs(terms[a:b])) for a, b in zip(low, high, strict=True)]
    assert np.abs(range_sums(terms, low, high) - wanted).max() <= 1e-13 * (max(scale) + 1e-300)


def test_a_small_series_keeps_its_digits_beside_a_huge_one() -> None:
    terms = np.concatenate([np.full(1000, 1e15), np.full(10, 1e-6)])
    sums = range_sums(terms, np.array([0, 1000, 1000]), np.array([1000, 1005, 1010]))
    np.testing.assert_allclose(sums, [1e18, 5e-6, 1e-5], rtol=1e-12)
