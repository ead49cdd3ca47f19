"""Forecasts made elsewhere: windows out, forecasts in, the scores of a forecaster that made them here."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq import cli
from specseq.errors import InputError
from specseq.scoring.calendar import place_of, time_at
from specseq.scoring.evaluate import score
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.fev import fev_evaluations
from specseq.scoring.forecast_files import ForecastFiles
from specseq.scoring.gift_eval import GiftEvaluation, gift_evaluations
from specseq.scoring.metrics import LEVELS
from specseq.scoring.window_files import write_windows
from specseq.series.arrow_writer import write_folder
from specseq.series.frequency import parse_frequency
from specseq.tables import read_parquet
from tests.documented import blocks
from tests.scoring.test_fev import write_task
from tests.scoring.test_gift_eval import Fake, fake_quantiles, items, wild_series


@pytest.fixture
def root(tmp_path: Path) -> Path:
    gappy = [np.stack([wild_series(10 * n + k, 500 + n, "gaps") for k in range(2)]) for n in range(3)]
    write_folder(tmp_path / "data" / "x" / "H", items(gappy, "H"), shards=2)
    write_folder(tmp_path / "data" / "y", items([wild_series(7, 130, "plain")], "M"))
    return tmp_path / "data"


def windows_of(root: Path, out: Path, benchmark: str = "gift_eval") -> dict[str, pd.DataFrame]:
    """What ``specseq windows`` writes, by name."""
    assert cli.main(["windows", benchmark, "--data", str(root), "--out", str(out)]) == 0
    files = sorted(out.rglob("*.parquet"))
    return {file.relative_to(out).with_suffix("").as_posix(): pd.read_parquet(file) for file in files}


def forecast(windows: pd.DataFrame, timestamps: bool = False) -> pd.DataFrame:
    """Forecasts of another program: it knows the windows file alone."""
    rows: list[dict[str, Any]] = []
    for series in windows.to_dict("records"):
        frequency = parse_frequency(series["freq"])
        for number, first, cutoff, begin in zip(
            series["window"], series["first"], series["cutoff"], series["forecast_start"], strict=True
        ):
            context = series["values"][first:cutoff].astype(np.float32)
            quantiles = fake_quantiles(context, series["horizon"])
            starts = np.full(series["horizon"], begin, "datetime64[us]")
            times = time_at(starts, np.arange(series["horizon"]), frequency)
            for step in range(series["horizon"]):
                row = {"item_id": series["item_id"], "target": series["target"], "window": number}
                row |= {"timestamp": times[step]} if timestamps else {"step": step + 1}
                rows.append(row | {str(level): quantiles[i, step] for i, level in enumerate(LEVELS)})
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def write_forecasts(frames: dict[str, pd.DataFrame], folder: Path) -> Path:
    for name, frame in frames.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(folder / f"{name}.parquet", index=False)
    return folder


def recorded(evaluation: Evaluation, folder: Path) -> dict[str, float]:
    return score(evaluation, ForecastFiles(folder))


@pytest.mark.parametrize("timestamps", [False, True])
def test_forecasts_of_written_windows_score_as_their_forecaster(
    root: Path, tmp_path: Path, timestamps: bool
) -> None:
    windows = windows_of(root, tmp_path / "windows")
    assert list(windows) == ["x/H/short", "y/M/short"]
    folder = write_forecasts({n: forecast(w, timestamps) for n, w in windows.items()}, tmp_path / "mine")
    for evaluation in gift_evaluations(root):
        assert recorded(evaluation, folder) == score(evaluation, Fake())
    out = tmp_path / "out.parquet"
    command = ["score", "gift_eval", "--data", str(root), "--out", str(out), "--forecasts", str(folder)]
    assert cli.main(command) == 0
    assert read_parquet(out)["model"].tolist() == ["mine", "mine"]


def test_no_value_after_the_last_cutoff_is_written(root: Path, tmp_path: Path) -> None:
    for frame in windows_of(root, tmp_path / "windows").values():
        assert (frame["values"].map(len) == frame["cutoff"].map(max)).all()


@pytest.mark.parametrize("targets", [1, 2])
def test_fevs_own_predictions_and_rows_score_as_fev_scores_them(tmp_path: Path, targets: int) -> None:
    columns = {
        f"y{k}": [wild_series(5 * n + k, 60 + 9 * n, "gaps") for n in range(3)] for k in range(targets)
    }
    fields = write_task(
        tmp_path / "data", columns, horizon=7, num_windows=3, seasonality=7, min_context_length=45
    )
    os.environ["HF_HOME"] = str(tmp_path / "cache")
    import datasets
    import fev

    datasets.disable_progress_bars()
    keep = {k: v for k, v in fields.items() if k not in ("dataset_path", "dataset_config")}
    task = fev.Task(dataset_path=str(tmp_path / "data" / "x" / "data.parquet"), **keep)
    predictions = []
    for number, window in enumerate(task.iter_windows(num_proc=1)):
        past, _ = window.get_input_data()
        answer: dict[str, list[dict[str, Any]]] = {}
        for name in task.target_columns:
            fans = [fake_quantiles(np.asarray(context), 7).astype(np.float64) for context in past[name]]
            answer[name] = [
                {"predictions": fan[4], **{str(q): row for q, row in zip(LEVELS, fan, strict=True)}}
                for fan in fans
            ]
        predictions.append(task.clean_and_validate_predictions(answer))
        saved = predictions[-1] if targets > 1 else predictions[-1][task.target_columns[0]]
        saved.save_to_disk(str(tmp_path / "saved" / "x" / str(number)))
        for name, table in predictions[-1].items():
            place = tmp_path / "parquet" / "x" / str(number) / f"{name}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            table.to_parquet(place)
    theirs = task.evaluation_summary(predictions, model_name="fake")
    (evaluation,) = fev_evaluations(tmp_path / "data")
    windows = windows_of(tmp_path / "data", tmp_path / "windows", "fev")
    write_forecasts({"x": forecast(windows["x"], timestamps=True)}, tmp_path / "rows")
    for kind in ("saved", "parquet", "rows"):
        ours = recorded(evaluation, tmp_path / kind)
        assert ours == pytest.approx({name: theirs[name] for name in ours}, rel=1e-12)
    beside = (tmp_path / "saved" / "x" / "0").with_suffix(".parquet")
    if targets == 1:
        beside.touch()
        with pytest.raises(InputError, match=r"0\.parquet: lies beside the folder 0, which holds some too"):
            recorded(evaluation, tmp_path / "saved")
        beside.unlink()
    (tmp_path / "saved" / "x" / "3").mkdir()
    with pytest.raises(InputError, match=r"saved/x/3: predictions of window 3, and the task has 0 to 2"):
        recorded(evaluation, tmp_path / "saved")
    place.unlink()
    with pytest.raises(InputError, match=r"parquet/x/2/y\d: no predictions; give a .parquet file or"):
        recorded(evaluation, tmp_path / "parquet")


def spoilt(frame: pd.DataFrame, how: str) -> pd.DataFrame:
    frame = frame.sort_values(["item_id", "target", "window", "step"]).reset_index(drop=True)
    match how:
        case "missing":
            return frame.drop(index=[3, 50])
        case "twice":
            return pd.concat([frame, frame.iloc[[7, 8, 9]]])
        case "unknown":
            return frame.assign(item_id=frame["item_id"].where(frame.index != 3, "nobody"))
        case "window":
            return frame.assign(window=frame["window"] + 1)
        case "step":
            return frame.assign(step=frame["step"] + 1)
        case "level":
            return frame.drop(columns=["0.3"])
        case "text":
            return frame.assign(**{"0.3": "many"})
        case "untold":
            return frame.drop(columns=["target"])
        case "stepless":
            return frame.drop(columns=["step"])
        case "crossing":
            return frame.assign(**{"0.3": frame["0.5"] + 1})
        case "duplicated":
            return frame.assign(**{"0.30": 1.0})
        case "beyond":
            return frame.assign(window=np.uint64(2**64 - 1))
        case "lists":
            return frame.assign(item_id=[[name] for name in frame["item_id"]])
        case "bytes":
            return frame.assign(item_id=[b"\xff"] * len(frame))
        case "nothing":
            return frame.assign(**{"0.3": np.nan})
    raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "missing",
            "2 of 576 steps are missing, e.g. item_id i0, target 0, window 0, step 4; forecast every",
        ),
        ("twice", "3 of 576 steps appear twice, e.g. item_id i0, target 0, window 0, step 8"),
        ("unknown", "1 of 576 rows have an unknown item_id, e.g. item_id nobody, .*; known are i0, i1, i2"),
        ("window", "288 of 576 rows belong to no window, e.g. item_id i0, target 0, window 2, step 1"),
        ("step", "12 of 576 rows have a step beyond 1 to 48, e.g. .* step 49"),
        ("level", "no column of the quantile 0.3; expected are the columns 0.1 to 0.9"),
        ("text", "column '0.3' is .*string; give numbers"),
        ("untold", "column 'target' is missing, and there are 2 targets"),
        ("stepless", "has neither step nor timestamp; give one of these columns"),
        ("crossing", "x/H/short: quantiles of mine cross in 12 of 12 windows"),
        ("duplicated", "column '0.3' appears twice; keep one"),
        ("beyond", "column 'window' holds no such number .*18446744073709551615"),
        ("lists", "column 'item_id' is .*list.*; give text"),
        ("bytes", "column 'item_id' is .*binary .*; give text"),
        ("nothing", "x/H/short: mine forecast NaN or infinity in 12 of 12 windows"),
    ],
)
def test_forecasts_are_complete_or_refused(root: Path, tmp_path: Path, how: str, message: str) -> None:
    evaluation = gift_evaluations(root)[0]
    frame = forecast(windows_of(root, tmp_path / "windows")["x/H/short"])
    folder = write_forecasts({"x/H/short": spoilt(frame, how)}, tmp_path / "mine")
    with pytest.raises(InputError, match=message):
        recorded(evaluation, folder)


def test_a_file_beside_a_folder_of_its_name_is_refused(root: Path, tmp_path: Path) -> None:
    frame = forecast(windows_of(root, tmp_path / "windows")["x/H/short"])
    frames = {"x/H/short": frame, "x/H/short/part": frame}
    folder = write_forecasts(frames, tmp_path / "mine")
    with pytest.raises(InputError, match=r"short\.parquet: lies beside the folder short.*; keep one"):
        recorded(gift_evaluations(root)[0], folder)


def test_windows_of_items_without_a_start_are_not_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = gift_evaluations(root)[0]
    keys = evaluation.keys()
    unstated = replace(keys, starts=np.where(np.arange(3) == 1, np.datetime64("NaT"), keys.starts))
    monkeypatch.setattr(GiftEvaluation, "keys", lambda self: unstated)
    with pytest.raises(InputError, match="x/H/short: 1 of 3 items without start; give each one"):
        write_windows(evaluation, tmp_path / "out")
    assert not any((tmp_path / "out").rglob("*.parquet"))


def test_refusals_of_the_command(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windows = windows_of(root, tmp_path / "windows")
    folder = write_forecasts({"y/M/short": forecast(windows["y/M/short"])}, tmp_path / "mine")
    base = ["score", "gift_eval", "--data", str(root), "--out", str(tmp_path / "o.parquet")]
    for more, message in (
        (
            ["--forecasts", str(folder)],
            "no forecasts of 1 of 2 configs or tasks, e.g. x/H/short; add x/H/short",
        ),
        (["--forecasts", "nowhere"], "nowhere: no such folder"),
        (["--forecasts", str(folder), "--forecaster", "naive"], "give one of them"),
        ([], "give one of them"),
        (["--forecasts", str(folder), "--option", "a=1"], "--option: has no effect on --forecasts"),
        (["--forecasts", str(folder), "--batch-size", "4"], "--batch-size: has no effect on --forecasts"),
    ):
        assert cli.main([*base, *more]) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
    assert cli.main([*base, "--forecasts", str(folder), "--only", "y"]) == 0
    forecast(windows["y/M/short"].assign(horizon=12)).assign(**{"0.9": 1e6}).to_parquet(
        folder / "y/M/short.parquet"
    )
    assert cli.main([*base, "--forecasts", str(folder), "--only", "y"]) == 2
    assert "its row of y/M/short was made of other forecasts; delete it" in capsys.readouterr().err


def test_the_example_of_the_documentation(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as printed, it forecasts every window: the same quantiles at each step."""
    monkeypatch.chdir(tmp_path)
    windows_of(root, Path("windows"))
    [example] = blocks("docs/evaluation.md", "python")
    exec(compile(example, "docs/evaluation.md", "exec"), {})
    scores = recorded(gift_evaluations(root)[1], Path("forecasts"))
    assert np.isfinite(list(scores.values())).all()


ALIASES = {"10S": "10s", "15T": "15min", "H": "h", "D": "D", "B": "B", "W": "W-WED", "2W": "2W-WED"}
ALIASES |= {"M": "ME", "Q": "QE", "A": "YE"}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(ALIASES)), st.datetimes(pd.Timestamp(1970, 1, 1), pd.Timestamp(2030, 1, 1)))
def test_times_of_steps_are_those_of_pandas(alias: str, begin: pd.Timestamp) -> None:
    times = pd.date_range(begin, periods=40, freq=ALIASES[alias]).to_numpy("datetime64[us]")
    starts, places, frequency = np.full(40, times[0]), np.arange(40), parse_frequency(alias)
    assert (time_at(starts, places, frequency) == times).all()
    assert (place_of(starts, times, frequency) == places).all()
    if alias in ("15T", "2W"):
        assert (place_of(starts, times + np.timedelta64(1, "s"), frequency) < 0).all()
