"""A nominal corpus for estimates: lengths, frequencies and variates of series, and no values."""

from functools import cache
from pathlib import Path

import numpy as np

from specseq.series.store import Store

SERIES = 2000
_FREQUENCIES = ("5T", "15T", "H", "D", "W", "M")
# Shares of the first thousand sub-series of LOTSA by count of draws: mostly sub-hourly and hourly.
_SHARES = (0.2, 0.2, 0.35, 0.15, 0.05, 0.05)


@cache
def nominal_store(shortest: int, longest: int) -> Store:
    """A store whose series have log-uniform lengths in the bounds and a single variate; every value is 0."""
    random = np.random.default_rng(0)
    length = np.exp(random.uniform(np.log(shortest), np.log(longest), SERIES)).astype(np.int64)
    none = np.zeros(SERIES, np.int64)
    store = Store(
        Path(),
        {},
        ("nominal",),
        _FREQUENCIES,
        none.astype(np.int32),
        np.arange(SERIES),
        none.astype(np.int32),
        none,
        length,
        none + 1,
        random.choice(len(_FREQUENCIES), SERIES, p=_SHARES).astype(np.int32),
        np.ones(SERIES, np.bool_),
    )
    store.__dict__["values"] = [np.zeros(longest, np.float32)]
    return store
