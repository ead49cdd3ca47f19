"""MOIRAI as a forecaster."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.errors import InputError
from specseq.models.moirai.batch import Sample, pack
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.forecaster import MoiraiForecaster
from specseq.models.moirai.model import Moirai
from specseq.models.moirai.training import model_of
from specseq.models.protocol import Query
from specseq.settings import plain

LEVELS = (0.1, 0.5, 0.9)
TINY = MoiraiConfig(
    d_model=16,
    layers=2,
    heads=2,
    patch_sizes=(8, 16, 32),
    max_length=24,
    stu=StuConfig("alternating", filters=4),
)
FORECASTER = MoiraiForecaster(model_of({"model": plain(TINY), "seed": 0}))
wild = st.floats(-(2.0**99), 2.0**99, width=32) | st.sampled_from([0.0, np.nan, np.inf])


@given(context=st.lists(wild, min_size=1, max_size=60), horizon=st.sampled_from([1, 7, 40]))
@settings(max_examples=40, deadline=None)
def test_any_context_gives_finite_quantiles_in_order(context: list[float], horizon: int) -> None:
    query = Query(horizon, LEVELS, freq="H")
    forecast = FORECASTER.forecast([np.array(context, np.float32)], query)
    assert forecast.shape == (1, 3, horizon)
    assert forecast.dtype == np.float32
    assert np.isfinite(forecast).all()
    assert (np.diff(forecast, axis=1) >= 0).all()


@pytest.mark.parametrize("batch_size", [None, 2])
def test_a_batch_of_all_lengths_equals_one_at_a_time(batch_size: int | None) -> None:
    rng = np.random.default_rng(0)
    contexts = [rng.normal(size=n).cumsum().astype(np.float32) for n in (50, 3, 400, 120, 64, 1, 350, 7)]
    query = Query(20, LEVELS, freq="D")
    assert {FORECASTER.patch_of(len(context), query) for context in contexts} == {16, 32}
    together = MoiraiForecaster(FORECASTER.model, batch_size=batch_size).forecast(contexts, query)
    for context, expected in zip(contexts, together, strict=True):
        np.testing.assert_allclose(FORECASTER.forecast([context], query)[0], expected, rtol=1e-3, atol=1e-4)


def test_equals_the_model_on_the_window_packed_by_hand() -> None:
    context = np.sin(np.arange(32, dtype=np.float32))
    forecast = MoiraiForecaster(FORECASTER.model, patch_size=16).forecast([context], Query(20, LEVELS))
    values = np.concatenate([context, np.full(32, np.nan, np.float32)])[None]
    prediction = FORECASTER.model(pack([[Sample(values, 16, 2)]], 4, 32))
    np.testing.assert_allclose(forecast[0], prediction.quantile(LEVELS)[:, :20], rtol=1e-5)


@pytest.mark.parametrize(
    ("freq", "points", "patch"), [("H", 100, 32), ("A", 50, 8), ("M", 100, 8), ("M", 300, 16)]
)
def test_the_smallest_patch_of_the_frequency_that_fits_is_taken(freq: str, points: int, patch: int) -> None:
    assert FORECASTER.patch_of(points, Query(8, LEVELS, freq=freq)) == patch


def test_a_horizon_beyond_the_model_is_reached_in_parts() -> None:
    context = np.arange(40, dtype=np.float32)
    long = MoiraiForecaster(FORECASTER.model, patch_size=8).forecast([context], Query(200, LEVELS))
    short = MoiraiForecaster(FORECASTER.model, patch_size=8).forecast([context], Query(96, LEVELS))
    assert np.isfinite(long).all()
    np.testing.assert_array_equal(long[..., :96], short)
    part = MoiraiForecaster(FORECASTER.model, patch_size=8).forecast(
        [np.concatenate([context, short[0, 1]])], Query(8, LEVELS)
    )
    assert part.shape == (1, 3, 8)


def test_only_the_last_points_of_a_long_context_are_used(build: Callable[..., Moirai]) -> None:
    context = np.random.default_rng(0).normal(size=500).astype(np.float32)
    forecaster = MoiraiForecaster(FORECASTER.model, context_length=64, patch_size=16)
    query = Query(8, LEVELS)
    expected = forecaster.forecast([context[-64:]], query)
    np.testing.assert_array_equal(forecaster.forecast([context], query), expected)


def test_an_unknown_patch_size_is_refused() -> None:
    with pytest.raises(InputError, match=r"patch_size: 9 .*8, 16, 32"):
        MoiraiForecaster(FORECASTER.model, patch_size=9)


@pytest.mark.parametrize("size", [1e37, 1e38, 3e38])
def test_a_series_of_the_largest_floats_is_forecast_in_its_units(size: float) -> None:
    signs = np.where(np.random.default_rng(0).random(50) < 0.5, 1, -1).astype(np.float32)
    query = Query(4, LEVELS, freq="H")
    small = FORECASTER.forecast([signs * 1e30], query)
    large = FORECASTER.forecast([signs * np.float32(size)], query)
    limit = float(np.finfo(np.float32).max)
    expected = np.clip(small.astype(np.float64) / 1e30 * size, -limit, limit)
    np.testing.assert_allclose(large, expected, rtol=1e-3)


@pytest.mark.parametrize("level", [1e17, 1e37])
def test_gaps_in_a_huge_constant_series(level: float) -> None:
    context = np.full(60, level, np.float32)
    context[5:9] = np.nan
    assert np.isfinite(FORECASTER.forecast([context], Query(4, LEVELS, freq="H"))).all()
