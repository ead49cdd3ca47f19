"""Run a forecaster over windows: many at a time, sorted by length, its answer checked.

Shapes: B windows, Q quantile levels, H horizon.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Forecaster, Query
from specseq.models.windows import WindowForecaster, Windows


def forecast(forecaster: Forecaster, windows: Windows, query: Query, where: str) -> NDArray[np.floating]:
    """Quantiles ``[B, Q, H]`` of all windows.

    A forecaster that reads windows by itself (:class:`WindowForecaster`) gets them as they are; any other one
    gets the contexts, cut to its context length and sorted by length.

    Args:
        where: config or task to name in an error.

    Raises:
        InputError: the answer has the wrong shape, holds values that are not finite, or its quantiles cross.
    """
    if not isinstance(forecaster, WindowForecaster):
        return forecast_contexts(forecaster, windows.contexts(forecaster.context_length), query, where)
    quantiles: NDArray[np.floating] = forecaster.forecast_windows(windows, query)
    _check_shape(quantiles, len(windows), query, forecaster.name, where)
    check_quantiles(quantiles, forecaster.name, where)
    return quantiles


def forecast_contexts(
    forecaster: Forecaster, contexts: Sequence[NDArray[np.float32]], query: Query, where: str
) -> NDArray[np.floating]:
    """Quantiles ``[B, Q, H]`` of B contexts, handed over sorted by length.

    Raises:
        InputError: as :func:`forecast`.
    """
    order = np.argsort([len(context) for context in contexts], kind="stable")
    answer = np.asarray(forecaster.forecast([contexts[place] for place in order], query))
    _check_shape(answer, len(contexts), query, forecaster.name, where)
    check_quantiles(answer, forecaster.name, where)
    return in_rows(answer, order)


def in_rows(answer: NDArray[np.floating], order: NDArray[np.int64]) -> NDArray[np.floating]:
    """An answer of which row ``i`` belongs to row ``order[i]``, put into the order of the rows."""
    rows = np.empty_like(answer)
    rows[order] = answer
    return rows


def _check_shape(answer: NDArray[np.floating], count: int, query: Query, name: str, where: str) -> None:
    wanted = (count, len(query.quantile_levels), query.horizon)
    if answer.shape != wanted:
        raise InputError(
            where,
            f"{name} answered with shape {list(answer.shape)}",
            f"expected {list(wanted)}: windows, the levels {list(query.quantile_levels)}, steps",
        )


def check_quantiles(quantiles: NDArray[np.floating], name: str, where: str) -> None:
    """Refuse forecasts ``[B, Q, H]`` that are not finite or whose quantiles cross.

    Raises:
        InputError: names the config or task and counts the windows at fault.
    """
    # A sum is finite only if every term is; it is far cheaper than a mask of the whole array.
    if not np.isfinite(quantiles.sum(dtype=np.float64)):
        bad = ~np.isfinite(quantiles).all(axis=(1, 2))
        if bad.any():
            raise InputError(
                where,
                f"{name} forecast NaN or infinity in {int(bad.sum())} of {len(bad)} windows",
                "a score needs a finite forecast of every window",
            )
    falls: NDArray[np.bool_] = quantiles[:, 1:] < quantiles[:, :-1]
    if falls.any():
        crossing = np.any(falls, axis=(1, 2))
        raise InputError(
            where,
            f"quantiles of {name} cross in {int(crossing.sum())} of {len(quantiles)} windows",
            "sort them along the levels",
        )
