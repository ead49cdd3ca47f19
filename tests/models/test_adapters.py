"""statsforecast and GluonTS as forecasters, beside the packages themselves."""

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from specseq import cli
from specseq.errors import InputError
from specseq.models.adapters import GluonTS, StatsForecast, filled
from specseq.models.protocol import Query
from specseq.models.seasonal_naive import SeasonalNaive, naive
from specseq.scoring.metrics import LEVELS
from specseq.series.arrow_writer import Item, write_folder
from specseq.tables import read_parquet
from tests.documented import blocks

PAGE = "docs/forecasters.md"
QUERY = Query(6, LEVELS, 12, "M")


def series(length: int, seed: int = 0) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=length).cumsum()
    return (noise + 5 * np.sin(np.arange(length) * np.pi / 6)).astype(np.float32)


@pytest.mark.parametrize("model", ["AutoETS", "AutoTheta"])
def test_quantiles_are_the_bounds_of_statsforecasts_intervals(model: str) -> None:
    models = pytest.importorskip("statsforecast.models")
    contexts = [series(80, 1), series(120, 2)]
    contexts[1][[3, 50]] = np.nan
    answer = StatsForecast(model).forecast(contexts, QUERY)
    assert answer.shape == (2, 9, 6)
    for context, quantiles in zip(contexts, answer, strict=True):
        values = filled(context)
        assert np.isfinite(values).all()
        theirs = getattr(models, model)(season_length=12).forecast(y=values, h=6, level=[80, 20])
        for row, name in ((0, "lo-80"), (3, "lo-20"), (4, "mean"), (5, "hi-20"), (8, "hi-80")):
            np.testing.assert_allclose(quantiles[row], theirs[name], rtol=1e-6)
    assert (np.diff(answer, axis=1) >= 0).all()


def test_a_seasonal_naive_of_statsforecast_is_ours() -> None:
    pytest.importorskip("statsforecast")
    theirs = StatsForecast("SeasonalNaive").forecast([series(80)], QUERY)
    np.testing.assert_allclose(theirs, SeasonalNaive().forecast([series(80)], QUERY), rtol=1e-5)


def test_a_context_that_is_refused_is_an_error_unless_a_fallback_is_asked_for() -> None:
    pytest.importorskip("statsforecast")
    tiny = series(3)
    with pytest.raises(InputError, match=r"AutoETS: refuses a context of 3 values .*fallback=true for Naive"):
        StatsForecast().forecast([tiny], QUERY)
    answer = StatsForecast(fallback=True).forecast([tiny, series(60)], QUERY)
    np.testing.assert_array_equal(answer[0], naive().forecast([tiny], QUERY)[0])
    with pytest.raises(InputError, match="statsforecast has no 'AutoETs'; did you mean AutoETS"):
        StatsForecast("AutoETs")


def last_season(horizon: int, freq: str, season_length: int) -> Any:
    from gluonts.model.seasonal_naive import SeasonalNaivePredictor

    return SeasonalNaivePredictor(prediction_length=horizon, season_length=season_length)


@pytest.mark.parametrize("freq", ["M", "15T", "H", "D", "W", "Q", "A", "10S", "B"])
def test_a_predictor_of_gluonts_forecasts(freq: str) -> None:
    query = Query(6, LEVELS, 12, freq)
    answer = GluonTS(last_season).forecast([series(40), series(60)], query)
    assert answer.shape == (2, 9, 6)
    np.testing.assert_array_equal(answer[1], np.tile(series(60)[-12:-6], (9, 1)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    items = [Item(f"i{n}", np.datetime64("2020-01-01", "s"), "M", series(90, n)) for n in range(2)]
    write_folder(tmp_path / "data" / "x", items)
    return tmp_path / "data"


def score(data: Path, forecaster: str, *options: str) -> dict[str, Any]:
    out = data.parent / "out.parquet"
    command = ["score", "gift_eval", "--forecaster", forecaster, "--data", str(data), "--out", str(out)]
    assert cli.main([*command, *[word for option in options for word in ("--option", option)]]) == 0
    (row,) = read_parquet(out).to_dict("records")
    out.unlink()
    return row


def test_they_are_scored_by_the_command(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "specseq.models.adapters"
    monkeypatch.setitem(sys.modules, "own_predictors", types.SimpleNamespace(last_season=last_season))
    row = score(data, f"{path}:GluonTS", "make=own_predictors:last_season")
    assert row["model"] == "last_season"
    if "statsforecast" in sys.modules:
        assert score(data, f"{path}:StatsForecast", "model=AutoTheta")["model"] == "AutoTheta"


class Lines:
    """A regressor in scikit-learn's manner: linear least squares."""

    def fit(self, rows: NDArray[np.floating], values: NDArray[np.floating]) -> "Lines":
        self.weights = np.linalg.lstsq(np.c_[rows, np.ones(len(rows))], values, rcond=None)[0]
        return self

    def predict(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.c_[rows, np.ones(len(rows))] @ self.weights


def test_the_adapters_of_the_documentation(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both run as printed; a regressor and a predictor stand in for packages that are not needed here."""
    monkeypatch.setitem(sys.modules, "own_regressors", types.SimpleNamespace(Lines=Lines))
    frames = types.SimpleNamespace(TimeSeriesDataFrame=lambda frame: frame)
    monkeypatch.setitem(sys.modules, "autogluon", types.SimpleNamespace(timeseries=None))
    monkeypatch.setitem(sys.modules, "autogluon.timeseries", frames)
    names = types.ModuleType("own_forecasters")
    monkeypatch.setitem(sys.modules, "own_forecasters", names)
    regression, autogluon = blocks(PAGE, "python")
    exec(compile(regression, PAGE, "exec"), vars(names))
    row = score(data, "own_forecasters:Regression", "regressor=own_regressors:Lines", "lags=24")
    assert row["eval_metrics/MASE[0.5]"] < score(data, "naive")["eval_metrics/MASE[0.5]"]

    class Predictor:
        """What AutoGluon's does: a row per item and step, a column per quantile."""

        def predict(self, frame: Any) -> Any:
            import pandas as pd

            last = frame.groupby("item_id")["target"].last()
            rows = {(item, step): value for item, value in last.items() for step in range(12)}
            return pd.DataFrame({str(level): pd.Series(rows) for level in LEVELS})

    frames.TimeSeriesPredictor = types.SimpleNamespace(load=lambda folder: Predictor())
    exec(compile(autogluon, PAGE, "exec"), vars(names))
    row = score(data, "own_forecasters:AutoGluon", "folder=trained")
    assert row["eval_metrics/MASE[0.5]"] == pytest.approx(score(data, "naive")["eval_metrics/MASE[0.5]"])
