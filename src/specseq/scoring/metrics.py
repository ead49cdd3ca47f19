"""What both benchmarks compute from quantile forecasts: sums over the steps of each window.

Every metric of GIFT-Eval and FEV-Bench is a ratio of such sums; the benchmarks differ in how they pool the
windows (GIFT-Eval over everything at once, FEV-Bench per window and variate, then averaged).

Legend: B windows, Q quantile levels, H horizon.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MEDIAN = LEVELS.index(0.5)
_INTERVAL = 0.95
_TAIL_TOLERANCE = 1e-8
_CHUNK = 1 << 15


@dataclass(frozen=True)
class WindowSums:
    """Sums over the observed steps of each window; every field is float64 ``[B]``, ``pinball`` ``[B, Q]``.

    Attributes:
        observed: number of steps with a finite target.
        absolute_target: Σ |y|.
        squared_error: Σ (y - median)².
        pinball: Σ 2 |(y - q) ((q >= y) - level)| of each level; at the median it is Σ |y - median|.
        percentage_error: Σ |y - median| / |y| over steps with y ≠ 0, and ``percentage_steps`` their number.
        symmetric_error: Σ 2 |y - median| / (|y| + |median|) where that is defined, and ``symmetric_steps``.
        interval_score: Σ of the interval score at 95 %.
    """

    observed: Values
    absolute_target: Values
    squared_error: Values
    pinball: Values
    percentage_error: Values
    percentage_steps: Values
    symmetric_error: Values
    symmetric_steps: Values
    interval_score: Values

    @property
    def absolute_error(self) -> Values:
        """Σ |y - median|, ``[B]``."""
        return self.pinball[:, MEDIAN]


def window_sums(targets: Values, quantiles: NDArray[np.floating]) -> WindowSums:
    """Sum the losses of each window.

    Args:
        targets: ``[B, H]``; a step that is not finite is left out.
        quantiles: ``[B, Q, H]`` at :data:`LEVELS`, finite.
    """
    rows = max(_CHUNK // max(targets.shape[1], 1), 1)
    pieces = [
        _sums_of_chunk(targets[first : first + rows], quantiles[first : first + rows])
        for first in range(0, max(len(targets), 1), rows)
    ]
    return WindowSums(
        **{
            field.name: np.concatenate([getattr(piece, field.name) for piece in pieces])
            for field in fields(WindowSums)
        }
    )


def _sums_of_chunk(targets: Values, quantiles: NDArray[np.floating]) -> WindowSums:
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
    pinball[:, MEDIAN] = absolute_BH.sum(axis=1)
    weight_BH = target_BH + np.abs(q_BQH[:, MEDIAN])
    with_target, with_weight = seen & (y_BH != 0.0), seen & (weight_BH != 0.0)
    percentage = np.divide(absolute_BH, target_BH, out=np.zeros_like(y_BH), where=with_target)
    symmetric = np.divide(2.0 * absolute_BH, weight_BH, out=np.zeros_like(y_BH), where=with_weight)
    return WindowSums(
        observed=seen.sum(axis=1).astype(np.float64),
        absolute_target=target_BH.sum(axis=1),
        squared_error=np.square(error_BH).sum(axis=1),
        pinball=pinball,
        percentage_error=percentage.sum(axis=1),
        percentage_steps=with_target.sum(axis=1).astype(np.float64),
        symmetric_error=symmetric.sum(axis=1),
        symmetric_steps=with_weight.sum(axis=1).astype(np.float64),
        interval_score=(_interval_score(y_BH, q_BQH) * seen).sum(axis=1),
    )


def _interval_score(y_BH: Values, q_BQH: Values) -> Values:
    """Interval score at 95 % (Gneiting and Raftery 2007, eq. 43), bounds by :func:`tail_quantiles`."""
    outside = (1.0 - _INTERVAL) / 2.0
    low_BH, high_BH = tail_quantiles(q_BQH, outside)
    below, above = np.maximum(low_BH - y_BH, 0.0), np.maximum(y_BH - high_BH, 0.0)
    return high_BH - low_BH + (below + above) / outside


def tail_quantiles(q_BQH: Values, outside: float) -> tuple[Values, Values]:
    """Quantiles ``outside`` and ``1 - outside`` beyond the outermost levels, ``[B, H]`` each.

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
