"""The interface of forecasters, and interpolation of quantile forecasts to other levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Query:
    """What to forecast for a batch of windows from one config.

    Attributes:
        horizon: steps to forecast, H.
        quantile_levels: levels in (0, 1), increasing, Q of them.
        season_length: seasonality of the data as defined by the benchmark.
        freq: normalised frequency alias, e.g. ``H``, ``15T``, ``D``.
    """

    horizon: int
    quantile_levels: tuple[float, ...]
    season_length: int = 1
    freq: str = "D"


class Forecaster(Protocol):
    """A map from contexts to quantile forecasts.

    Implementations accept contexts of any length from one point, with NaN where a value is missing, and
    choose their own batches; the scorer passes contexts sorted by length.
    """

    name: str
    context_length: int | None

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        """Quantile forecasts.

        Args:
            contexts: B one-dimensional arrays, oldest value first.

        Returns:
            ``[B, Q, H]``; non-decreasing along Q, finite.
        """


def at_levels(
    quantiles_BQH: NDArray[np.float32], have: Sequence[float], want: Sequence[float]
) -> NDArray[np.float32]:
    """Quantiles at the levels ``want``, by linear interpolation, constant beyond the outermost of ``have``.

    Args:
        have, want: increasing.

    Returns:
        ``[B, len(want), H]``, non-decreasing along the levels.
    """
    if tuple(have) == tuple(want):
        return quantiles_BQH
    place = np.interp(want, have, np.arange(len(have)))
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(have) - 1)
    share = (place - low).astype(np.float32)[:, None]
    between = quantiles_BQH[:, low] * (1 - share) + quantiles_BQH[:, high] * share
    # Rounding could make equal quantiles cross.
    ordered: NDArray[np.float32] = np.maximum.accumulate(between, axis=1)
    return ordered
