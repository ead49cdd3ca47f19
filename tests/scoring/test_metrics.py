"""Metrics by name, on numbers that can be checked by hand."""

import numpy as np
import pytest

from specseq.models.preconditioned import Mode as ReversalMode
from specseq.models.windows import Windows
from specseq.scoring import metrics
from specseq.scoring.config import Mode
from specseq.scoring.metrics import LEVELS, Totals, seasonal_error, window_sums

# One window: a history of period 2, two observed steps, forecasts of 1 wide levels around the median.
HISTORY = np.array([1.0, 10.0, 2.0, 12.0, 3.0, 14.0])
TARGETS = np.array([[4.0, 20.0, np.nan]])
QUANTILES = np.array([[np.full(3, 5.0) + 10 * (level - 0.5) for level in LEVELS]])


def windows() -> Windows:
    return Windows(np.append(HISTORY, [4.0, 20.0, np.nan]), np.array([0]), np.array([6]), 3)


@pytest.fixture
def totals() -> Totals:
    pooled = Totals()
    pooled.add(window_sums(TARGETS, QUANTILES), seasonal_error(windows(), 2))
    return pooled


def test_seasonal_error() -> None:
    assert seasonal_error(windows(), 2) == pytest.approx([(1 + 2 + 1 + 2) / 4])
    assert seasonal_error(windows(), 1, shorten=True) == pytest.approx([(9 + 8 + 10 + 9 + 11) / 5])
    assert np.isnan(seasonal_error(windows(), 7)).all()
    assert seasonal_error(windows(), 7, shorten=True) == pytest.approx(seasonal_error(windows(), 1))
    constant = Windows(np.ones(9), np.array([0]), np.array([6]), 3)
    assert np.isnan(seasonal_error(constant, 1)).all()


def test_every_metric(totals: Totals) -> None:
    """Errors of the median 5 are 1 and 15, targets 4 and 20, the scale 1.5."""
    assert metrics.mase(totals) == pytest.approx((1 + 15) / 2 / 1.5)
    assert metrics.mean_absolute_error(totals) == pytest.approx(8)
    assert metrics.mean_squared_error(totals) == pytest.approx((1 + 225) / 2)
    assert metrics.wape(totals) == pytest.approx(16 / 24)
    assert metrics.wape(totals, floor=100) == pytest.approx(16 / 200)
    assert metrics.nrmse(totals) == pytest.approx(np.sqrt(113) / 12)
    assert metrics.mape(totals) == pytest.approx((1 / 4 + 15 / 20) / 2)
    assert metrics.smape(totals) == pytest.approx((2 / 9 + 30 / 25) / 2)
    losses = [
        2 * abs((y - q) * ((q >= y) - level))
        for y in (4.0, 20.0)
        for level, q in zip(LEVELS, QUANTILES[0, :, 0], strict=True)
    ]
    assert metrics.weighted_quantile_loss(totals) == pytest.approx(sum(losses) / 9 / 24)
    assert metrics.scaled_quantile_loss(totals) == pytest.approx(sum(losses) / 9 / 2 / 1.5)
    low, high = (float(bound[0, 0]) for bound in metrics.tail_quantiles(QUANTILES, 0.025))
    score = 2 * (high - low) + (20 - high) / 0.025 + max(low - 4, 0) / 0.025
    assert metrics.msis(totals) == pytest.approx(score / 2 / 1.5)


def test_pools_are_kept_apart() -> None:
    pooled, whole = Totals((2, 3)), Totals()
    sums, scales = (
        window_sums(np.repeat(TARGETS, 3, 0), np.repeat(QUANTILES, 3, 0)),
        np.array([1.5, 3, np.nan]),
    )
    pooled.add(sums, scales, (np.array([0, 1, 1]), np.array([2, 0, 0])))
    whole.add(sums, scales)
    with np.errstate(invalid="ignore", divide="ignore"):
        mase = metrics.mase(pooled)
    assert mase[0, 2] == pytest.approx(16 / 2 / 1.5)
    assert mase[1, 0] == pytest.approx(16 / 2 / 3)
    assert np.isnan(mase).sum() == 4
    assert metrics.mase(whole) == pytest.approx((16 / 1.5 + 16 / 3) / 4)


def test_the_modes_of_the_settings_are_those_of_the_reversal() -> None:
    assert Mode == ReversalMode
