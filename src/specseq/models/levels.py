"""Quantile forecasts at other levels than those they were made at.

Legend: B contexts, Q levels that there are, H horizon.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def at_levels(quantiles_BQH: Floats, have: Sequence[float], want: Sequence[float]) -> Floats:
    """Quantiles at the levels ``want``: linear between those at ``have``, the outermost one beyond them.

    Args:
        quantiles_BQH: non-decreasing along Q.
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
    # Where quantiles are equal, rounding would make them cross.
    ordered: Floats = np.maximum.accumulate(between, axis=1)
    return ordered
