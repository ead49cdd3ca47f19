"""Forecasters of statsforecast and GluonTS behind our interface; both are imported only when used.

``specseq score gift_eval --forecaster specseq.models.adapters:StatsForecast --option model=AutoETS ...``

A context comes without dates. A predictor with calendar features therefore gets dates from 2000 onwards, not
the true ones.

Shapes: B windows, Q quantile levels, H horizon steps.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.protocol import Query
from specseq.models.seasonal_naive import naive
from specseq.models.windows import Windows, carry_forward
from specseq.settings import near

_START = "2000-01-01"
# Frequency units as spelled in pandas periods.
_PERIODS = {"S": "s", "T": "min", "H": "h", "A": "Y"}


def filled(context: NDArray[np.floating]) -> NDArray[np.float64]:
    """Fill gaps with the value before them, leading gaps with the first value; zeros if all are missing."""
    whole = Windows(context, np.zeros(1, np.int64), np.array([len(context)]), 0)
    return carry_forward(whole, "first")[0].values.astype(np.float64)


class StatsForecast:
    """A model of Nixtla's statsforecast (AutoETS, AutoTheta ...), fitted to each context separately.

    Its quantiles are the bounds of its intervals, with its mean at level 0.5; gaps are filled with the value
    before them.

    Args:
        model: name of a class in ``statsforecast.models``.
        season_length: seasonality; None for the benchmark's.
        context_length: longest history given to the model; None for all of it.
        fallback: use Naive where the model rejects a context, such as one of three values, rather than raise
            an error.
    """

    def __init__(
        self,
        model: str = "AutoETS",
        season_length: int | None = None,
        context_length: int | None = None,
        fallback: bool = False,
        **options: Any,
    ) -> None:
        models = _module("statsforecast.models")
        if not isinstance(getattr(models, model, None), type):
            raise InputError("model", f"statsforecast has no {model!r}", near(model, models.__all__))
        self.name, self.context_length = model, context_length
        self._class, self._options = getattr(models, model), options
        self._season, self._fallback = season_length, fallback

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        """Quantiles ``[B, Q, H]``, see :class:`specseq.models.protocol.Forecaster`.

        Raises:
            InputError: the model rejects a context, and there is no fallback.
        """
        model = self._class(season_length=self._season or query.season_length, **self._options)
        # The interval of 80 % is bounded by the quantiles 0.1 and 0.9.
        widths = {level: _number(200 * abs(level - 0.5)) for level in query.quantile_levels}
        levels = sorted({width for width in widths.values() if width})
        quantiles = np.empty((len(contexts), len(widths), query.horizon), np.float32)
        for row, context in enumerate(contexts):
            try:
                answer = model.forecast(y=filled(context), h=query.horizon, level=levels)
            except Exception as error:  # statsforecast has no exception class for these
                if not self._fallback:
                    fault = f"refuses a context of {len(context)} values ({type(error).__name__}: {error})"
                    remedy = "use --option fallback=true for Naive there"
                    raise InputError(self.name, fault, remedy) from error
                quantiles[row] = naive().forecast([context], query)[0]
                continue
            for index, (level, width) in enumerate(widths.items()):
                side = "lo" if level < 0.5 else "hi"
                quantiles[row, index] = answer[f"{side}-{width}" if width else "mean"]
        return quantiles


class GluonTS:
    """A predictor of GluonTS.

    Args:
        make: a function ``(horizon, freq, season_length) -> Predictor``, or its import path
            ``module:function``; it is called for every batch.
        name: name in results; None for the function's.
        context_length: longest history given to the predictor; None for all of it.
    """

    def __init__(
        self,
        make: str | Callable[[int, str, int], Any],
        name: str | None = None,
        context_length: int | None = None,
    ) -> None:
        self._make = _function(make) if isinstance(make, str) else make
        self.context_length = context_length
        self.name = name or getattr(self._make, "__name__", "gluonts")

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        """Quantiles ``[B, Q, H]``, see :class:`specseq.models.protocol.Forecaster`."""
        import pandas as pd

        unit = query.freq.lstrip("0123456789")
        freq = query.freq.removesuffix(unit) + _PERIODS.get(unit, unit)
        predictor = self._make(query.horizon, freq, query.season_length)
        start = pd.Period(_START, freq)
        entries = [{"item_id": str(n), "start": start, "target": one} for n, one in enumerate(contexts)]
        made = [
            [np.asarray(one.quantile(level), np.float32) for level in query.quantile_levels]
            for one in predictor.predict(entries)
        ]
        return np.asarray(made, np.float32).reshape(-1, len(query.quantile_levels), query.horizon)


def _number(width: float) -> float:
    """The width of an interval as written in statsforecast's column names: 80, or 85.5."""
    rounded = round(width, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def _function(path: str) -> Callable[[int, str, int], Any]:
    """The function at an import path."""
    module, _, name = path.partition(":")
    found: Callable[[int, str, int], Any] | None = getattr(_module(module), name, None)
    if not callable(found):
        raise InputError("make", f"{path!r} is no function", "give module:function")
    return found


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = name.partition(".")[0]
        raise InputError(name, f"cannot be imported ({error})", f"install {package}") from None
