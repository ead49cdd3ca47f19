"""The one protocol every forecaster speaks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Query:
    """What is asked about a batch of windows that belong to one config.

    Attributes:
        horizon: steps to forecast, H.
        quantile_levels: levels in (0, 1), increasing, Q of them.
        season_length: the benchmark's seasonality of the data.
        freq: normalised frequency alias, e.g. ``H``, ``15T``, ``D``.
    """

    horizon: int
    quantile_levels: tuple[float, ...]
    season_length: int = 1
    freq: str = "D"


class Forecaster(Protocol):
    """Turns contexts into quantiles.

    Implementations take contexts of any length of at least one point, with NaN where a value is missing, and
    batch them as suits them; the harness hands over contexts sorted by length.
    """

    name: str
    context_length: int | None

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        """Quantile forecasts.

        Args:
            contexts: B one-dimensional arrays, oldest value first.
            query: horizon, levels, seasonality, frequency.

        Returns:
            ``[B, Q, H]``; non-decreasing along Q, finite.
        """
