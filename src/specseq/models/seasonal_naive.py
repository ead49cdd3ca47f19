"""Seasonal Naive, in the two forms with published scores.

The forecast is the last season, repeated. Its interval is normal with σ √(⌊h/m⌋ + 1) at step h = 0, 1, ...,
where σ² is the mean squared seasonal difference of the history (Hyndman and Athanasopoulos, Forecasting:
Principles and Practice, 5.5, residual degrees of freedom n - m).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from specseq.models.protocol import Query
from specseq.models.windows import Windows, carry_forward, seasonal_means
from specseq.series.frequency import parse_frequency

# Calendar seasons used by the published FEV-Bench row; other units have none.
_CALENDAR = {"T": 1440, "H": 24, "D": 7, "B": 5, "M": 12, "Q": 4}


def calendar_season(freq: str) -> int:
    """The calendar season of a frequency: a day for minutes or hours, a week for days, a year for months."""
    frequency = parse_frequency(freq)
    season, rest = divmod(_CALENDAR.get(frequency.unit, 1), frequency.multiple)
    return season if season and not rest else 1


@dataclass
class SeasonalNaive:
    """Repeats the last season.

    Attributes:
        season_length: a season that overrides the benchmark's.
        history: number of last values used; missing ones are filled before the cut.
        calendar: use the longer of the benchmark's and the calendar's season, or none if that exceeds
            ``history``.
        leading: fill for missing values before the first one: ``first`` or ``zero``.
        short: how to forecast a context shorter than a season: ``last`` repeats its last value as Naive does;
            ``partial`` repeats the incomplete season, aligned to its first step, and zero for the rest,
            without an interval.
        context_length: None, since the history is cut here, after filling.

    The defaults are GIFT-Eval's, where no context is shorter than a season; :meth:`fev` gives FEV-Bench's.
    A context without any value is forecast as zero.
    """

    season_length: int | None = None
    history: int | None = None
    calendar: bool = False
    leading: str = "first"
    short: str = "last"
    name: str = "seasonal_naive"
    context_length: int | None = field(default=None, init=False)

    @classmethod
    def fev(cls, season_length: int | None = None, name: str = "seasonal_naive") -> "SeasonalNaive":
        """The form behind the published FEV-Bench rows: the last 1000 values, leading gaps set to zero."""
        return cls(season_length, 1000, season_length is None, "zero", "partial", name)

    def season(self, query: Query) -> int:
        """The season used for a query."""
        season = self.season_length or query.season_length
        if self.calendar:
            season = max(season, calendar_season(query.freq))
        if self.history is not None and season > self.history:
            season = 1
        return season

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        """Quantiles ``[B, Q, H]`` of B contexts, see :class:`specseq.models.protocol.Forecaster`."""
        ends = np.cumsum([len(context) for context in contexts], dtype=np.int64)
        starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
        # The horizon only sizes the targets, which a forecast never reads.
        return self.forecast_windows(Windows(np.concatenate(contexts), starts, ends, 0), query)

    def forecast_windows(self, windows: Windows, query: Query) -> NDArray[np.floating]:
        """Quantiles ``[B, Q, H]`` of B windows in their own precision; shared histories are read once."""
        season = self.season(query)
        filled, empty = carry_forward(windows, self.leading)
        starts, cuts = filled.starts, filled.cuts
        if self.history is not None:
            starts = np.maximum(starts, cuts - self.history)
        lags = np.full(len(cuts), season, dtype=np.int64)
        too_short = cuts - starts < season
        lags[too_short] = 1
        used = Windows(filled.values, starts, cuts, filled.horizon)
        variance, _ = seasonal_means(used, lags, power=2)
        sigma = np.sqrt(np.nan_to_num(variance, nan=0.0))
        mean = _repeated(used, lags, query.horizon)
        if self.short == "partial" and too_short.any():
            mean[too_short] = _partial(used, too_short, season, query.horizon)
            sigma[too_short] = 0.0
        mean[empty], sigma[empty] = 0.0, 0.0
        spread = sigma[:, None] * np.sqrt(np.arange(query.horizon) // lags[:, None] + 1)
        quantiles = np.empty((len(cuts), len(query.quantile_levels), query.horizon), filled.values.dtype)
        for index, level in enumerate(query.quantile_levels):
            quantiles[:, index] = mean + NormalDist().inv_cdf(level) * spread
        return quantiles


def _repeated(windows: Windows, lags: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
    """The last ``lags`` values of each context, repeated, ``[B, H]``."""
    source = (windows.cuts - lags)[:, None] + np.arange(horizon) % lags[:, None]
    return windows.values[source].astype(np.float64)


def _partial(windows: Windows, rows: NDArray[np.bool_], season: int, horizon: int) -> NDArray[np.float64]:
    """Contexts shorter than a season, each repeated every ``season`` steps with zeros between."""
    starts, cuts = windows.starts[rows, None], windows.cuts[rows, None]
    source = starts + np.arange(horizon) % season
    return np.where(source < cuts, windows.values[np.minimum(source, cuts - 1)], 0.0)


def naive(benchmark: str = "gift_eval") -> SeasonalNaive:
    """The published Naive of a benchmark, ``gift_eval`` or ``fev``: Seasonal Naive with a season of one."""
    if benchmark == "fev":
        return SeasonalNaive.fev(season_length=1, name="naive")
    return SeasonalNaive(season_length=1, name="naive")
