"""GIFT-Eval's own way to score: GluonTS, one window at a time."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from gluonts.dataset.split import split
from gluonts.ev import metrics as ev
from gluonts.model import evaluate_forecasts
from gluonts.model.forecast import QuantileForecast
from numpy.typing import NDArray

from specseq.scoring.metrics import LEVELS

METRICS = [
    ev.MSE(forecast_type="mean"),
    ev.MSE(forecast_type=0.5),
    ev.MAE(),
    ev.MASE(),
    ev.MAPE(),
    ev.SMAPE(),
    ev.MSIS(),
    ev.RMSE(),
    ev.NRMSE(),
    ev.ND(),
    ev.MeanWeightedSumQuantileLoss(quantile_levels=list(LEVELS)),
]


def evaluate(
    series: Sequence[NDArray[np.float64]],
    freq: str,
    horizon: int,
    windows: int,
    season_length: int,
    quantiles: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> dict[str, float]:
    """The eleven metrics.

    Args:
        series: univariate series.
        freq: frequency as pandas spells it today.
        horizon, windows, season_length: of the config.
        quantiles: forecast ``[Q, H]`` of one context.
    """
    entries = [
        {"item_id": str(number), "start": pd.Period("2020-01-01", freq=freq), "target": values}
        for number, values in enumerate(series)
    ]
    _, template = split(entries, offset=-horizon * windows)
    data = template.generate_instances(prediction_length=horizon, windows=windows, distance=horizon)
    forecasts = [
        QuantileForecast(
            forecast_arrays=quantiles(entry["target"]),
            forecast_keys=[str(level) for level in LEVELS],
            start_date=entry["start"] + len(entry["target"]),
        )
        for entry in data.input
    ]
    row = evaluate_forecasts(
        forecasts, test_data=data, metrics=METRICS, axis=None, batch_size=7, seasonality=season_length
    ).iloc[0]
    return {name: float(np.ma.filled(row[name], np.nan)) for name in row.index}
