"""Metrics of quantile forecasts, from sums over the steps of forecast windows.

A metric is a ratio of sums: :func:`window_sums` makes them for each window, :class:`Totals` pools them, and
the metric divides. GIFT-Eval pools all windows of a config at once; FEV-Bench pools each evaluation window
and target column and takes the mean of the metric over these pools.

Shapes: B windows, Q quantile levels, H horizon steps, P pools (none where everything is one pool).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.models.windows import Windows, seasonal_means

Values = NDArray[np.float64]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MEDIAN = LEVELS.index(0.5)
_INTERVAL = 0.95
_TAIL_TOLERANCE = 1e-8
_CHUNK = 1 << 15
# What is summed over the observed steps of a window, by name.
_SUMS = (
    "observed",  # number of steps with a finite target
    "absolute_target",  # Σ |y|
    "squared_error",  # Σ (y - median)²
    "absolute_error",  # Σ |y - median|
    "pinball",  # Σ 2 |(y - q) ((q >= y) - level)| of each level; at the median it is the absolute error
    "percentage_error",  # Σ |y - median| / |y| over the percentage_steps with y ≠ 0
    "percentage_steps",
    "symmetric_error",  # Σ 2 |y - median| / (|y| + |median|) over the symmetric_steps that define it
    "symmetric_steps",
    "interval_score",  # Σ of the interval score at 95 %
)
_DENSE, _PER_OCTAVE = 8, 8
_SCALED = ("scaled_steps", "scaled_error", "scaled_pinball", "scaled_interval")


def seasonal_error(windows: Windows, season_length: int, *, shorten: bool = False) -> Values:
    """Seasonal error of each context, [B]: the mean of |y_t - y_{t-m}| over its pairs of known values.

    NaN where no pair is known or the error is zero: such a window has no scaled error. Source: Hyndman and
    Koehler 2006, Another look at measures of forecast accuracy, eq. 4.

    Args:
        season_length: m, in steps.
        shorten: let m be 1 for a context shorter than a season, as GIFT-Eval does; it has no scale otherwise.
    """
    lags = np.full(len(windows), season_length, dtype=np.int64)
    if shorten:
        lags[windows.cuts - windows.starts < season_length] = 1
    scales, _ = seasonal_means(windows, lags, power=1)
    scales[scales == 0.0] = np.nan
    return scales


class Totals:
    """Window sums, pooled; beside them the sums of errors divided by the seasonal error of their window.

    Args:
        shape: P; empty for one pool.
    """

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.shape = shape
        levels = {"pinball": len(LEVELS), "scaled_pinball": len(LEVELS)}
        self._sums = {
            name: np.zeros((*shape, levels[name]) if name in levels else shape) for name in (*_SUMS, *_SCALED)
        }

    def __getitem__(self, name: str) -> Values:
        """A sum by name, [*P]; those of pinball losses are [*P, Q]."""
        return self._sums[name]

    def plain(self) -> dict[str, Any]:
        """The sums as plain numbers, to be kept in a file with every digit."""
        return {name: values.tolist() for name, values in self._sums.items()}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take over sums that :meth:`plain` gave, in place."""
        for name, values in plain.items():
            self._sums[name] = np.array(values).reshape(self._sums[name].shape)

    def add(
        self, sums: Mapping[str, Values], scales: Values, pool: tuple[NDArray[np.int64], ...] = ()
    ) -> None:
        """Add windows.

        Args:
            sums: of B windows, see :func:`window_sums`.
            scales: seasonal error of each, [B]; NaN leaves the window out of scaled metrics.
            pool: the pool of each window: an index [B] for every axis of P.
        """
        scaled = np.isfinite(scales)
        inverse = np.divide(1.0, scales, out=np.zeros_like(scales), where=scaled)
        terms = {
            **sums,
            "scaled_steps": sums["observed"] * scaled,
            "scaled_error": sums["absolute_error"] * inverse,
            "scaled_pinball": sums["pinball"] * inverse[:, None],
            "scaled_interval": sums["interval_score"] * inverse,
        }
        for name, values in terms.items():
            if self.shape:
                np.add.at(self._sums[name], pool, values)
            else:
                self._sums[name] += values.sum(axis=0)


def mase(totals: Totals) -> Values:
    """Mean absolute scaled error of the median (Hyndman and Koehler 2006), [*P]."""
    return totals["scaled_error"] / totals["scaled_steps"]


def msis(totals: Totals) -> Values:
    """Mean scaled interval score of the 95 % interval (Makridakis et al. 2020, the M4 competition), [*P]."""
    return totals["scaled_interval"] / totals["scaled_steps"]


def scaled_quantile_loss(totals: Totals) -> Values:
    """Mean quantile loss over all levels, scaled as in MASE (SQL of fev-bench, arXiv:2509.26468), [*P]."""
    return totals["scaled_pinball"].mean(axis=-1) / totals["scaled_steps"]


def weighted_quantile_loss(totals: Totals, floor: float = 0.0) -> Values:
    """Sum of quantile losses over the sum of |y|, mean over all levels, [*P]; an estimate of CRPS.

    Source: Park et al. 2022, arXiv:2111.06581; ``MeanWeightedSumQuantileLoss`` of GluonTS.

    Args:
        floor: smallest mean |y| to divide by (fev's epsilon).
    """
    return totals["pinball"].mean(axis=-1) / np.maximum(totals["absolute_target"], floor * totals["observed"])


def wape(totals: Totals, floor: float = 0.0) -> Values:
    """Sum of |y - median| over the sum of |y|, [*P]; GluonTS calls it normalised deviation (ND)."""
    return totals["absolute_error"] / np.maximum(totals["absolute_target"], floor * totals["observed"])


def mean_squared_error(totals: Totals) -> Values:
    """Mean of (y - median)², [*P]."""
    return totals["squared_error"] / totals["observed"]


def nrmse(totals: Totals) -> Values:
    """Root mean squared error over the mean of |y|, [*P]."""
    return np.sqrt(mean_squared_error(totals)) / (totals["absolute_target"] / totals["observed"])


def mean_absolute_error(totals: Totals) -> Values:
    """Mean of |y - median|, [*P]."""
    return totals["absolute_error"] / totals["observed"]


def mape(totals: Totals) -> Values:
    """Mean of |y - median| / |y| over steps with y ≠ 0, [*P]."""
    return totals["percentage_error"] / totals["percentage_steps"]


def smape(totals: Totals) -> Values:
    """Mean of 2 |y - median| / (|y| + |median|) over the steps that define it, [*P]."""
    return totals["symmetric_error"] / totals["symmetric_steps"]


def window_sums(targets: Values, quantiles: NDArray[np.floating]) -> dict[str, Values]:
    """Sums of each window by name, [B]; those of pinball losses are [B, Q].

    Args:
        targets: [B, H]; steps that are not finite are left out.
        quantiles: [B, Q, H] at :data:`LEVELS`, finite.
    """
    rows = max(_CHUNK // max(targets.shape[1], 1), 1)
    pieces = [
        _sums_of_chunk(targets[first : first + rows], quantiles[first : first + rows])
        for first in range(0, max(len(targets), 1), rows)
    ]
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in _SUMS}


def _sums_of_chunk(targets: Values, quantiles: NDArray[np.floating]) -> dict[str, Values]:
    seen = np.isfinite(targets)
    complete = bool(seen.all())
    y_BH = targets if complete else np.where(seen, targets, 0.0)
    q_BQH = quantiles.astype(np.float64)
    error_BQH = y_BH[:, None] - q_BQH
    if not complete:
        error_BQH *= seen[:, None]
    levels = np.asarray(LEVELS)
    # 2 |e ((q >= y) - level)| = 2 (max(e, 0) - (1 - level) e)
    total_BQ = error_BQH.sum(axis=2)
    pinball = 2.0 * (np.maximum(error_BQH, 0.0).sum(axis=2) - (1.0 - levels) * total_BQ)
    error_BH = error_BQH[:, MEDIAN]
    absolute_BH, target_BH = np.abs(error_BH), np.abs(y_BH)
    # The same sum without the cancellation above: the median's loss is used on its own.
    pinball[:, MEDIAN] = absolute_error = absolute_BH.sum(axis=1)
    weight_BH = target_BH + np.abs(q_BQH[:, MEDIAN])
    with_target, with_weight = seen & (y_BH != 0.0), seen & (weight_BH != 0.0)
    percentage = np.divide(absolute_BH, target_BH, out=np.zeros_like(y_BH), where=with_target)
    symmetric = np.divide(2.0 * absolute_BH, weight_BH, out=np.zeros_like(y_BH), where=with_weight)
    return {
        "observed": seen.sum(axis=1).astype(np.float64),
        "absolute_target": target_BH.sum(axis=1),
        "squared_error": np.square(error_BH).sum(axis=1),
        "absolute_error": absolute_error,
        "pinball": pinball,
        "percentage_error": percentage.sum(axis=1),
        "percentage_steps": with_target.sum(axis=1).astype(np.float64),
        "symmetric_error": symmetric.sum(axis=1),
        "symmetric_steps": with_weight.sum(axis=1).astype(np.float64),
        "interval_score": (_interval_score(y_BH, q_BQH) * seen).sum(axis=1),
    }


def _interval_score(y_BH: Values, q_BQH: Values) -> Values:
    """Interval score at 95 % (Gneiting and Raftery 2007, eq. 43), bounds by :func:`tail_quantiles`."""
    outside = (1.0 - _INTERVAL) / 2.0
    low_BH, high_BH = tail_quantiles(q_BQH, outside)
    below, above = np.maximum(low_BH - y_BH, 0.0), np.maximum(y_BH - high_BH, 0.0)
    return high_BH - low_BH + (below + above) / outside


def tail_quantiles(q_BQH: Values, outside: float) -> tuple[Values, Values]:
    """Quantiles ``outside`` and ``1 - outside`` beyond the outermost levels, [B, H] each.

    An exponential tail is laid through the two outermost levels, as GluonTS does
    (``ExponentialTailApproximation``, tolerance 1e-8).
    """
    tolerance = _TAIL_TOLERANCE

    def stretch(outer: float, inner: float) -> float:
        step = np.log((inner + tolerance) / (outer + tolerance) + tolerance)
        reach = np.log((outside + tolerance) / (inner + tolerance) + tolerance)
        return float(reach / step)

    low = stretch(LEVELS[0], LEVELS[1])
    # On the right GluonTS writes log(inner / outside): the same ratio upside down, with its own tolerance.
    inner, outer = 1.0 - LEVELS[-2], 1.0 - LEVELS[-1]
    high = float(
        np.log((inner + tolerance) / (outside + tolerance) + tolerance)
        / np.log((inner + tolerance) / (outer + tolerance) + tolerance)
    )
    return (
        q_BQH[:, 1] + low * (q_BQH[:, 1] - q_BQH[:, 0]),
        q_BQH[:, -2] + high * (q_BQH[:, -1] - q_BQH[:, -2]),
    )


def step_grid(horizon: int) -> list[int]:
    """Horizon steps from 1 that are reported: the first eight, then eight an octave, and the last."""
    octaves = int(np.ceil(np.log2(max(horizon / _DENSE, 1))))
    later = _DENSE * 2 ** (np.arange(octaves * _PER_OCTAVE + 1) / _PER_OCTAVE)
    steps = {*range(1, _DENSE + 1), *np.round(later).astype(int).tolist(), horizon}
    return sorted(step for step in steps if step <= horizon)


class StepErrors:
    """Pools the absolute error of the median at each horizon step, scaled as MASE scales it."""

    def __init__(self, horizon: int) -> None:
        self._errors, self._counts = np.zeros(horizon), np.zeros(horizon)

    def add(self, targets: Values, quantiles: NDArray[np.floating], scales: Values) -> None:
        """Add windows.

        Args:
            targets: [B, H]; NaN is left out.
            quantiles: [B, Q, H] at the benchmarks' levels.
            scales: seasonal errors [B]; a window without one is left out.
        """
        errors_BH = scaled_errors(targets, quantiles, scales)
        seen_BH = np.isfinite(errors_BH)
        self._errors += np.where(seen_BH, np.abs(errors_BH), 0.0).sum(axis=0)
        self._counts += seen_BH.sum(axis=0)

    def values(self) -> Values:
        """Mean scaled absolute error of each step, [H]; NaN where nothing was seen."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self._errors / self._counts


def scaled_errors(targets: Values, quantiles: NDArray[np.floating], scales: Values) -> Values:
    """(y - median) / scale, [B, H]; NaN where the target or the scale is missing."""
    with np.errstate(over="ignore", invalid="ignore"):
        errors: Values = (targets - quantiles[:, MEDIAN].astype(np.float64)) / scales[:, None]
    return errors
