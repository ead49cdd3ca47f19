"""Long-sequence forecasting: the usual splits, windows and numbers."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from specseq import cli
from specseq.errors import InputError
from specseq.models.seasonal_naive import naive
from specseq.scoring import lsf
from specseq.scoring.evaluate import score
from specseq.scoring.lsf import DATA, HORIZONS, LsfData, LsfEvaluation, lsf_evaluations
from specseq.tables import read_parquet
from tests.scoring.test_gift_eval import Fake, fake_quantiles

TINY = LsfData("weather", 200, 3, "10T")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(lsf, "DATA", {"weather": TINY})
    monkeypatch.setattr(lsf, "HORIZONS", (5, 9))
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 3)).cumsum(axis=0) * [1, 50, 0.1] + 7)
    frame.columns = ["a", "b", "OT"]
    frame.insert(0, "date", pd.date_range("2020-01-01", periods=200, freq="10min"))
    (tmp_path / "data" / "weather").mkdir(parents=True)
    frame.to_csv(tmp_path / "data" / "weather" / "weather.csv", index=False)
    return tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("ETTh1", 2785),
        ("ETTh2", 2785),
        ("ETTm1", 11425),
        ("ETTm2", 11425),
        ("electricity", 5165),
        ("weather", 10444),
    ],
)
def test_windows_are_as_many_as_usual(name: str, windows: int) -> None:
    """The sizes of the test sets at a horizon of 96 that Autoformer's code prints."""
    assert LsfEvaluation(Path(), DATA[name], 96).facts()["windows"] == windows


def test_errors_equal_a_loop_over_windows(root: Path) -> None:
    frame = pd.read_csv(root / "weather" / "weather.csv").drop(columns="date")
    train = frame[:140]
    series = ((frame - train.mean()) / train.std(ddof=0)).to_numpy(np.float32)
    for evaluation, horizon in zip(lsf_evaluations(root), (5, 9), strict=True):
        errors = []
        for column in series.T:
            for cut in range(160, 200 - horizon + 1):
                median = fake_quantiles(column[:cut], horizon)[4]
                errors.append(column[cut : cut + horizon].astype(np.float64) - median)
        wanted = {"MSE": np.mean(np.square(errors)), "MAE": np.mean(np.abs(errors))}
        assert score(evaluation, Fake()) == pytest.approx(wanted, rel=1e-12)
        assert len(evaluation.keys()) * horizon == evaluation.points == np.size(errors)


def test_the_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.parquet"
    command = ["score", "lsf", "--forecaster", "naive", "--data", str(root), "--out", str(out)]
    assert cli.main(command) == 0
    frame = read_parquet(out)
    assert frame["task"].tolist() == ["weather/5", "weather/9"]
    assert frame["windows"].tolist() == [36, 32]
    assert "weather/5" in capsys.readouterr().out
    assert cli.main([*command, "--only", "weather/6"]) == 2
    assert "no such data set or task; did you mean weather/" in capsys.readouterr().err
    assert cli.main([*command, "--terms", "short"]) == 2
    assert "--terms: long-sequence forecasting has no terms" in capsys.readouterr().err
    assert cli.main(["windows", "lsf", "--data", str(root), "--out", str(tmp_path / "windows")]) == 0
    assert read_parquet(tmp_path / "windows" / "weather" / "5.parquet")["target"].tolist() == ["a", "b", "OT"]


def test_other_files_are_refused(root: Path) -> None:
    path = root / "weather" / "weather.csv"
    frame = pd.read_csv(path)
    for spoilt, message in (
        (frame[:150], "150 rows where the benchmark has 200"),
        (frame.drop(columns="a"), "2 columns beside date where the benchmark has 3"),
        (frame.rename(columns={"date": "day"}), "column 'date' is missing"),
        (frame.assign(a=np.where(frame.index == 3, np.nan, frame["a"])), "1 values are missing"),
        (frame.assign(a="x"), "holds values that are not numbers"),
    ):
        spoilt.to_csv(path, index=False)
        with pytest.raises(InputError, match=message):
            score(lsf_evaluations(root)[0], naive())
    path.rename(root / "wetter.csv")
    with pytest.raises(InputError, match=r"holds none of the data sets; expected any of weather as .csv"):
        lsf_evaluations(root)


def test_rows_out_of_order_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lsf, "DATA", {"electricity": LsfData("electricity", 200, 2, "H")})
    path = tmp_path / "electricity.csv"
    dates = pd.Series(pd.date_range("2020-01-01", periods=200, freq="h").astype(str))
    frame = pd.DataFrame({"date": dates, "a": np.arange(200.0), "b": 1.0})
    evaluation = LsfEvaluation(path, lsf.DATA["electricity"], 5)

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            score(evaluation, naive())

    frame.to_csv(path, index=False)
    score(evaluation, naive())
    for spoilt, message in (
        (frame.sample(frac=1, random_state=0), "199 rows are not H after the one before, e.g. row 2"),
        (frame.assign(date=[dates[0], *dates[:-1]]), "1 rows are not H after the one before, e.g. row 2"),
        (frame.assign(date=[None, *dates[1:]]), "not numbers or dates .column 'date' is .* with 1 nulls"),
        (frame.assign(date=range(200)), "column 'date' is int64"),
    ):
        spoilt.to_csv(path, index=False)
        refused(message)
    path.write_text(frame.to_csv(index=False).replace("date,a,b", "date,a,a", 1))
    refused("column 'a' appears twice")


def test_files_that_are_not_read_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("exchange_rate.csv", "Weather.CSV", "weather.csv.gz"):
        (root / name).touch()
    lsf_evaluations(root)
    said = (
        "left out: 3 files of no data set of the benchmark: Weather.CSV, exchange_rate.csv, weather.csv.gz\n"
    )
    assert capsys.readouterr().err == said
    lsf_evaluations(root, ["weather"])
    assert not capsys.readouterr().err


@pytest.mark.data
@pytest.mark.skipif(not os.environ.get("SPECSEQ_DATA"), reason="SPECSEQ_DATA names no folder")
def test_the_published_errors_of_repeating_the_last_value(tmp_path: Path) -> None:
    """Row "Repeat" of Zeng et al. 2023 (DLinear, arXiv:2205.13504), three decimals.

    At longer horizons its numbers leave out the last windows, which fill no batch of 32.
    """
    items = pq.read_table(Path(os.environ["SPECSEQ_DATA"]) / "fev" / "ETT_1H" / "data.parquet").to_pylist()
    for name, item in zip(("ETTh1", "ETTh2"), items, strict=True):
        columns = {key: value for key, value in item.items() if key not in ("id", "timestamp")}
        frame = pd.DataFrame({"date": item["timestamp"], **columns})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    published = {"ETTh1/96": (1.295, 0.713), "ETTh1/192": (1.325, 0.733), "ETTh2/96": (0.432, 0.422)}
    published |= {"ETTh2/192": (0.534, 0.473)}
    assert HORIZONS[:2] == (96, 192)
    for evaluation in lsf_evaluations(tmp_path, list(published)):
        made = score(evaluation, naive())
        assert (made["MSE"], made["MAE"]) == pytest.approx(published[evaluation.name], abs=7e-4)
