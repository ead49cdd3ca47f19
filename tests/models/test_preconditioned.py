"""Preconditioning around real and ideal forecasters."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter

from specseq.errors import Diverged, InputError
from specseq.filters import Filter, design, ideal_inverse
from specseq.models.chronos2 import Chronos2
from specseq.models.preconditioned import Preconditioned, median_forecast, precondition
from specseq.models.protocol import Query
from specseq.models.seasonal_naive import SeasonalNaive
from specseq.seeding import generator
from tests.models.test_chronos2 import folder, tiny  # noqa: F401

LEVELS = (0.1, 0.5, 0.9)
QUERY = Query(24, LEVELS, season_length=4)
LYAPUNOV = design({"family": "lyapunov", "degree": 4, "lam": 1})
STRIDED = design({"family": "literal", "taps": [-0.115, -0.039, -0.031, -0.001], "stride": 16})
UNSTABLE = design({"family": "literal", "taps": [0, 2.5, 0, -3.125, 0, 1.5625]})


class LastValue:
    """Repeats the last value of at most ``context_length`` points; remembers what it was shown."""

    name = "last"

    def __init__(self, context_length: int | None = None) -> None:
        self.context_length = context_length
        self.seen: list[NDArray[np.float32]] = []

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        self.seen = list(contexts)
        last = np.array([np.nan_to_num(context[-1]) for context in contexts], np.float32)
        spread = np.array(query.quantile_levels, np.float32) - 0.5
        return np.repeat((last[:, None] + spread)[..., None], query.horizon, axis=2)


def contexts(seed: int = 0, lengths: Sequence[int] = (1, 3, 30, 90, 400)) -> list[NDArray[np.float32]]:
    rng = generator(seed, "contexts")
    made = [(50 + rng.normal(size=length).cumsum()).astype(np.float32) for length in lengths]
    made[-1][::17] = np.nan
    return made


def filtered_truth(
    filter: Filter, history: NDArray[np.float32], truth: NDArray[np.float64], location: float
) -> NDArray[np.float64]:
    """z over the horizon, by the definition."""
    joined = np.concatenate([history.astype(np.float64), truth])
    return np.array(
        [
            joined[t]
            + sum(tap * (joined[t - i * filter.stride] - location) for i, tap in enumerate(filter.taps, 1))
            for t in range(len(history), len(joined))
        ]
    )


@pytest.mark.parametrize("reversal", ["self", "plug_in", "hybrid", "fir"])
def test_identity_is_the_forecaster_bit_for_bit(reversal: str) -> None:
    base = SeasonalNaive()
    other = LastValue() if reversal == "hybrid" else None
    wrapped = Preconditioned(base, design({"family": "identity", "degree": 4}), reversal, other=other)
    assert np.array_equal(wrapped.forecast(contexts(), QUERY), base.forecast(contexts(), QUERY))


@pytest.mark.parametrize("reversal", ["self", "plug_in", "fir"])
@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_an_infinity_counts_as_missing(reversal: str, bad: float) -> None:
    known, spoiled = contexts(), contexts()
    for place in (3, -2):
        known[-1][place], spoiled[-1][place] = np.nan, bad
    wrapped = Preconditioned(SeasonalNaive(), LYAPUNOV, reversal)  # type: ignore[arg-type]
    found = wrapped.forecast(spoiled, QUERY)
    assert np.isfinite(found).all()
    assert np.array_equal(found, wrapped.forecast(known, QUERY))
    filtered = precondition(spoiled, LYAPUNOV)
    truths = [np.full((len(spoiled), QUERY.horizon), 50.0) for _ in range(2)]
    truths[0][:, 3], truths[1][:, 3] = np.nan, bad
    oracles = [filtered.reverse(found, LEVELS, "oracle", path_BH=truth) for truth in truths]
    assert np.array_equal(*oracles)


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("filter", [LYAPUNOV, STRIDED], ids=["lyapunov", "strided"])
def test_reversals_and_their_errors(filter: Filter, centre: bool) -> None:
    """With filtered-space error E: the oracle leaves E, the recursion E/A, and both leave nothing of none."""
    rng = generator(0, "errors")
    histories = contexts(lengths=(90, 200, 90))
    histories[-1] = np.nan_to_num(histories[-1], nan=50.0)
    truth = 50 + rng.normal(size=(3, 24))
    filtered = precondition(histories, filter, centre=centre)
    errors = rng.normal(size=(3, 24))
    z = np.stack(
        [
            filtered_truth(filter, h, t, loc)
            for h, t, loc in zip(histories, truth, filtered.location_B, strict=True)
        ]
    )
    spread = np.zeros(filter.reach + 1)
    spread[:: filter.stride] = [1.0, *filter.taps]
    for size in (0.0, 1.0):
        quantiles = (z + size * errors)[:, None] + np.array([-1.0, 0.0, 1.0])[:, None]
        oracle = filtered.reverse(quantiles.astype(np.float32), LEVELS, "oracle", path_BH=truth)
        own = filtered.reverse(quantiles.astype(np.float32), LEVELS, "self")
        inverse = filtered.reverse(quantiles.astype(np.float32), LEVELS, "fir")
        np.testing.assert_allclose(oracle[:, 1] - truth, size * errors, atol=2e-5)
        left = lfilter([1.0], spread, size * errors)
        np.testing.assert_allclose(own[:, 1] - truth, left, atol=2e-5)
        for found in (oracle, own, inverse):
            np.testing.assert_allclose(np.diff(found, axis=1), 1.0, atol=2e-5)
        if filter is LYAPUNOV:
            np.testing.assert_allclose(inverse, own, atol=1e-3)


def test_plug_in_and_hybrid_take_their_lags_from_forecasts() -> None:
    base, other = SeasonalNaive(), LastValue()
    filtered = precondition(contexts(), LYAPUNOV)
    quantiles = base.forecast(filtered.series, QUERY)
    for reversal, source in (("plug_in", base), ("hybrid", other)):
        path = median_forecast(source, contexts(), QUERY)
        wanted = filtered.reverse(quantiles, LEVELS, reversal, path_BH=path)
        wrapped = Preconditioned(base, LYAPUNOV, reversal, other=other if reversal == "hybrid" else None)
        assert np.array_equal(wrapped.forecast(contexts(), QUERY), wanted)
    truth_known = filtered.reverse(quantiles, LEVELS, "oracle", path_BH=path)
    assert np.array_equal(truth_known, wanted), "the oracle differs by what it is given alone"


def test_context_too_short_for_the_filter_passes_through() -> None:
    short = contexts(lengths=(16, 40, 64))
    base = LastValue()
    found = Preconditioned(base, STRIDED).forecast(short, QUERY)
    assert np.array_equal(found, base.forecast(short, QUERY))
    longer = contexts(lengths=(66, 20))[:1]
    assert not np.array_equal(
        Preconditioned(base, STRIDED).forecast(longer, QUERY), base.forecast(longer, QUERY)
    )


def test_filter_sees_beyond_what_the_model_is_shown() -> None:
    """A model that takes L points gets L filtered points: the unfiltered head stays outside."""
    model = LastValue(context_length=50)
    wrapped = Preconditioned(model, STRIDED)
    assert wrapped.context_length == 50 + 64
    history = contexts(lengths=(114, 200))[0]
    wrapped.forecast([history], QUERY)
    whole = precondition([history], STRIDED)
    assert np.array_equal(model.seen[0], whole.series[0][-50:])
    assert np.array_equal(whole.series[0][:64], history[:64])
    assert not np.isclose(model.seen[0], history[-50:]).any()


def test_centred_filter_leaves_no_step_at_its_reach() -> None:
    level = np.full(200, 1000, np.float32)
    assert np.array_equal(precondition([level], STRIDED).series[0], level)
    raw = precondition([level], STRIDED, centre=False).series[0]
    assert raw[63] == 1000
    assert raw[64] == pytest.approx(1000 * (1 + sum(STRIDED.taps)), rel=1e-6)


def test_windows_do_not_touch_each_other() -> None:
    alone = [Preconditioned(SeasonalNaive(), LYAPUNOV).forecast([one], QUERY)[0] for one in contexts()]
    assert np.array_equal(Preconditioned(SeasonalNaive(), LYAPUNOV).forecast(contexts(), QUERY), alone)


def test_levels_without_the_median() -> None:
    wrapped = Preconditioned(SeasonalNaive(), LYAPUNOV)
    few = wrapped.forecast(contexts(), Query(24, (0.1, 0.9), season_length=4))
    assert np.array_equal(few, wrapped.forecast(contexts(), QUERY)[:, [0, 2]])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    reversal=st.sampled_from(["self", "plug_in", "fir"]),
    missing=st.sampled_from(["skip", "zero"]),
    share=st.sampled_from([0.0, 0.2, 0.9, 1.0]),
    scale=st.sampled_from([0.0, 1e-30, 1.0, 1e30]),
    stride=st.sampled_from([1, 5]),
)
def test_any_context_gives_finite_ordered_quantiles(
    seed: int, reversal: str, missing: str, share: float, scale: float, stride: int
) -> None:
    rng = np.random.default_rng(seed)
    wild = []
    for length in rng.integers(1, 60, size=4):
        series = (scale * rng.normal(size=length)).astype(np.float32)
        series[rng.random(length) < share] = np.nan
        wild.append(series)
    filter = Filter("literal", (-0.3, 0.1, -0.2), stride)
    filtered = precondition(wild, filter, missing=missing)
    for before, after in zip(wild, filtered.series, strict=True):
        assert np.array_equal(np.isnan(before), np.isnan(after))
    found = Preconditioned(SeasonalNaive(), filter, reversal, missing=missing).forecast(wild, QUERY)
    assert found.shape == (4, 3, 24)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=1) >= 0).all()


def test_truth_with_gaps_gives_no_gap() -> None:
    filtered = precondition(contexts(), LYAPUNOV)
    truth = np.full((5, 24), 50.0)
    truth[:, ::5] = np.nan
    quantiles = SeasonalNaive().forecast(filtered.series, QUERY)
    assert np.isfinite(filtered.reverse(quantiles, LEVELS, "oracle", path_BH=truth)).all()


def test_learned_inverse_taps_are_used() -> None:
    filtered = precondition(contexts(), LYAPUNOV)
    quantiles = SeasonalNaive().forecast(filtered.series, QUERY)
    untrained = filtered.reverse(quantiles, LEVELS, "fir", inverse_taps=np.zeros(64))
    assert np.array_equal(untrained, quantiles)
    ideal = ideal_inverse(LYAPUNOV, 32)
    wanted = filtered.reverse(quantiles, LEVELS, "fir", inverse_taps=ideal)
    spread = np.zeros(64)
    spread[1::2] = ideal
    strided = precondition(contexts(), replace(LYAPUNOV, stride=2))
    found = strided.reverse(quantiles, LEVELS, "fir", inverse_taps=spread, inverse_stride=1)
    assert not np.array_equal(found, wanted)
    np.testing.assert_allclose(
        found, strided.reverse(quantiles, LEVELS, "fir", inverse_taps=ideal), rtol=1e-5
    )
    with pytest.raises(InputError, match="at most 64"):
        filtered.reverse(quantiles, LEVELS, "fir", inverse_taps=np.zeros(65))
    with pytest.raises(InputError, match="filter's stride"):
        filtered.reverse(quantiles, LEVELS, "fir", inverse_stride=2)


@pytest.mark.parametrize("reversal", ["self", "plug_in", "fir"])
def test_around_chronos2(tiny: Chronos2, reversal: str) -> None:  # noqa: F811
    """A tiny model of random weights: the identity gives its forecast, a filter another finite one."""
    query = Query(16, LEVELS, season_length=4)
    base = tiny.forecast(contexts(), query)
    unchanged = Preconditioned(tiny, design({"family": "identity", "degree": 4}), reversal)
    assert np.array_equal(unchanged.forecast(contexts(), query), base)
    found = Preconditioned(tiny, LYAPUNOV, reversal).forecast(contexts(), query)
    assert np.isfinite(found).all()
    assert (np.diff(found, axis=1) >= 0).all()
    assert np.array_equal(found[:2], base[:2]), "too short for the filter"
    assert not np.array_equal(found[2:], base[2:])


def test_unstable_reversal_is_reported_as_diverged() -> None:
    with pytest.raises(Diverged, match=r"self reversal of literal_d6: \d of 5 windows overflow"):
        Preconditioned(SeasonalNaive(), UNSTABLE).forecast(contexts(), Query(900, LEVELS))
    assert np.isfinite(Preconditioned(SeasonalNaive(), UNSTABLE, "plug_in").forecast(contexts(), QUERY)).all()


def test_refusals() -> None:
    base = SeasonalNaive()
    with pytest.raises(InputError, match="the oracle uses the truth"):
        Preconditioned(base, LYAPUNOV, "oracle")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="hybrid"):
        Preconditioned(base, LYAPUNOV, "hybrid")
    with pytest.raises(InputError, match="hybrid"):
        Preconditioned(base, LYAPUNOV, "self", other=base)
    filtered = precondition(contexts(), LYAPUNOV)
    quantiles = base.forecast(filtered.series, QUERY)
    for mode in ("oracle", "plug_in", "hybrid"):
        with pytest.raises(InputError, match="needs the path"):
            filtered.reverse(quantiles, LEVELS, mode)
    with pytest.raises(InputError, match="takes no path"):
        filtered.reverse(quantiles, LEVELS, "self", path_BH=quantiles[:, 1])
    with pytest.raises(InputError, match="inverse taps"):
        filtered.reverse(quantiles, LEVELS, "self", inverse_taps=np.zeros(64))
    with pytest.raises(InputError, match=r"lack 0\.5"):
        filtered.reverse(quantiles[:, :2], (0.1, 0.9), "self")
    with pytest.raises(InputError, match="unknown mode"):
        filtered.reverse(quantiles, LEVELS, "magic")  # type: ignore[arg-type]
