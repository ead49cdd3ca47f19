"""Errors step by step of the horizon, and errors that a baseline makes before the test windows begin.

Shapes: B windows, N windows of earlier data, Q quantile levels, H horizon steps.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from specseq.models.protocol import Forecaster
from specseq.models.windows import Windows
from specseq.scoring.evaluation import Batch, Evaluation, batches_for
from specseq.scoring.forecasting import forecast
from specseq.scoring.metrics import MEDIAN

Values = NDArray[np.float64]

_DENSE, _PER_OCTAVE = 8, 8


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


def earlier_residuals(evaluation: Evaluation, forecaster: Forecaster, windows: int) -> Values:
    """Scaled errors of a forecaster on the windows just before the test windows, [N, H].

    Each series gives up to ``windows`` windows, one horizon apart. The last ends where the first test target
    begins, over all terms that are evaluated on the series, so that no test value of another term is seen. A
    window needs a context of a horizon; N is 0 where no series is long enough. Contexts are no longer than
    that of the series' first test window.

    Raises:
        InputError: a forecast is at fault, see :func:`specseq.scoring.forecasting.forecast`.
    """
    found = []
    for batch in _earlier(evaluation, forecaster, windows):
        quantiles = forecast(forecaster, batch.windows, evaluation.query, evaluation.name)
        found.append(scaled_errors(batch.windows.targets(), quantiles, evaluation.seasonal_errors(batch)))
    return np.concatenate(found) if found else np.zeros((0, evaluation.query.horizon))


def _earlier(evaluation: Evaluation, forecaster: Forecaster, windows: int) -> Iterator[Batch]:
    buffer, last = None, -1
    for batch in batches_for(evaluation, forecaster):
        given, begins = batch.windows, batch.begins
        first = np.ones(len(given), bool)
        first[1:] = begins[1:] != begins[:-1]
        # A block may begin in the middle of a series; its first windows were in the block before.
        first[0] = given.values is not buffer or begins[0] != last
        buffer, last = given.values, int(begins[-1])
        back = np.tile(np.arange(windows, 0, -1), int(first.sum())) * given.horizon
        cuts = np.repeat(given.cuts[first] - evaluation.ahead, windows) - back
        context = np.repeat((given.cuts - given.starts)[first], windows)
        begins = np.repeat(begins[first], windows)
        starts = np.maximum(begins, cuts - context)
        long = cuts - starts >= given.horizon
        if long.any():
            yield Batch(Windows(given.values, starts[long], cuts[long], given.horizon), begins[long])
