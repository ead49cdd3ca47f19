"""Several aligned series of one sub-dataset as the variates of one sample.

MOIRAI makes multivariate samples from sub-datasets whose series share start and end (Woo et al. 2024, section
3.2.1): the drawn series and others of its sub-dataset, in all 1 + Binomial(min(N, 128) - 1, p) series with
p ~ Beta(2, 5).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from specseq.series.store import Store

# The LOTSA sub-datasets that its authors stack.
STACKED = (
    *("oikolab_weather", "kaggle_web_traffic_weekly", "extended_web_traffic_with_missing", "m5"),
    *("nn5_daily_with_missing", "nn5_weekly", "traffic_hourly", "traffic_weekly", "rideshare_with_missing"),
    *("temperature_rain_with_missing", "car_parts_with_missing", "fred_md", "hospital", "covid_deaths"),
    *("godaddy", "hierarchical_sales", "beijing_air_quality", "bdg-2_panther"),
    *("gfc12_load", "gfc17_load", "bull", "hog", "subseasonal", "subseasonal_precip"),
    *("BEIJING_SUBWAY_30MIN", "HZMETRO", "LOOP_SEATTLE", "LOS_LOOP", "M_DENSE", "PEMS03", "PEMS04"),
    *("PEMS07", "PEMS08", "PEMS_BAY", "Q-TRAFFIC", "SHMETRO", "SZ_TAXI"),
)
_ALPHA, _BETA = 2.0, 5.0


class Stacks:
    """Groups of series that may be stacked: those of one sub-dataset with equal length and variates."""

    def __init__(
        self,
        store: Store,
        names: Sequence[str],
        eligible: NDArray[np.bool_],
        max_series: int,
        past: NDArray[np.int64],
    ) -> None:
        """
        Args:
            names: sub-datasets to stack; names missing from the store are ignored.
            eligible: ``bool [N]``, series that may be drawn.
            max_series: largest number of series in a stack.
            past: ``[N]``, number of past features of each series, which must also agree within a stack.
        """
        self._max_series = max_series
        stacked = np.array([name in names for name in store.datasets])[store.dataset] & eligible
        rows = np.flatnonzero(stacked)
        alike = (store.dataset, store.length, store.variates, past)
        keys = np.stack([values[rows] for values in alike], axis=1)
        _, group, size = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
        group = group.ravel()
        order = np.argsort(group, kind="stable")
        first = np.cumsum(size) - size
        # Series of one group are adjacent in `_sorted`; a series alone is a group of one.
        self._sorted: NDArray[np.int64] = rows[order]
        self._size: NDArray[np.int64] = np.ones(len(store), np.int64)
        self._first: NDArray[np.int64] = np.zeros(len(store), np.int64)
        self._place: NDArray[np.int64] = np.zeros(len(store), np.int64)
        self._size[rows], self._first[rows] = size[group], first[group]
        self._place[self._sorted] = np.arange(len(rows)) - first[group[order]]

    def sizes(self, generator: np.random.Generator, series: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of series stacked for each drawn series, including itself."""
        most = np.minimum(self._size[series], self._max_series)
        share = generator.beta(_ALPHA, _BETA, len(series))
        return 1 + generator.binomial(most - 1, share)

    def members(self, generator: np.random.Generator, series: int, size: int) -> NDArray[np.int64]:
        """The drawn series and ``size - 1`` distinct others of its group."""
        if size == 1:
            return np.array([series])
        others = generator.choice(self._size[series] - 1, size - 1, replace=False)
        others += others >= self._place[series]
        return np.concatenate([[series], self._sorted[self._first[series] + others]])
