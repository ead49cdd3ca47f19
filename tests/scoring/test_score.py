"""``specseq score``: rows, resuming, refusals."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray

from specseq import cli
from specseq.errors import InputError, Terminated
from specseq.filters import Filter
from specseq.models.preconditioned import Preconditioned
from specseq.models.protocol import Forecaster, Query
from specseq.models.seasonal_naive import SeasonalNaive
from specseq.scoring import score as scoring
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.fev import fev_evaluations
from specseq.scoring.gift_eval import gift_evaluations
from specseq.scoring.metrics import LEVELS
from specseq.scoring.results import Published, ResultFile
from specseq.scoring.reversal import ForecastPlan
from specseq.scoring.score import forecaster_digest
from specseq.series.arrow_writer import write_folder
from specseq.tables import Provenance, read_parquet, read_provenance
from tests.scoring.test_fev import write_task
from tests.scoring.test_gift_eval import Fake, items, wild_series


def score_all(
    benchmark: str,
    evaluations: Sequence[Evaluation],
    forecaster: Forecaster,
    out: Path,
    parameters: dict[str, int],
) -> pd.DataFrame:
    layout = Published(benchmark, forecaster.name, forecaster.context_length)
    results = ResultFile(out, layout, Provenance("score", parameters))
    for evaluation in evaluations:
        results.expect(evaluation)
    return pd.DataFrame(scoring.score_all(evaluations, ForecastPlan(forecaster), results))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, freq in (("a", "H"), ("b/15T", "15T"), ("c", "W-SUN")):
        arrays = [wild_series(seed, 300 + seed, "gaps") for seed in range(2)]
        write_folder(tmp_path / "data" / name, items(arrays, freq))
    return tmp_path / "data"


def test_gift_eval_rows(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.parquet"
    command = ["score", "gift_eval", "--forecaster", "seasonal_naive", "--data", str(root), "--out", str(out)]
    assert cli.main(command) == 0
    frame = read_parquet(out)
    assert frame["config"].tolist() == ["a/H/short", "b/15T/short", "c/W/short"]
    assert frame["seasonality"].tolist() == [24, 96, 1]
    assert frame["windows"].tolist() == [1, 1, 4]
    assert frame["series"].tolist() == [2, 2, 2]
    assert (frame["basis"] == "raw").all()
    assert frame["context_length"].isna().all()
    assert np.isfinite(frame.filter(like="eval_metrics/")).all(axis=None)
    assert len(frame.filter(like="eval_metrics/").columns) == 11
    printed = capsys.readouterr()
    assert "3 configs of other data" in printed.out
    assert "points" in printed.err
    assert read_provenance(out)["parameters"]["forecaster"] == "seasonal_naive"


def test_fev_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = {name: [wild_series(3, 90, "plain")] * 2 for name in ("u", "v")}
    write_task(tmp_path / "data", columns, horizon=7, num_windows=3, seasonality=7)
    out = tmp_path / "out.parquet"
    command = ["score", "fev", "--forecaster", "naive", "--data", str(tmp_path / "data"), "--out", str(out)]
    assert cli.main([*command, "--model", "Mine"]) == 0
    (row,) = read_parquet(out).to_dict(orient="records")
    assert (row["model_name"], row["task_name"], row["num_forecasts"]) == ("Mine", "x", 12)
    assert (row["horizon"], row["num_windows"], row["seasonality"]) == (7, 3, 7)
    assert row["test_error"] == row["SQL"] > 0
    assert "1 tasks of other data" in capsys.readouterr().out


def test_the_test_error_is_the_tasks_own_metric(tmp_path: Path) -> None:
    wql = {"name": "WQL", "epsilon": 1.0}
    write_task(tmp_path, {"y": [wild_series(3, 60, "plain")]}, horizon=7, eval_metric=wql)
    (row,) = score_all("fev", fev_evaluations(tmp_path), Fake(), tmp_path / "o.parquet", {}).to_dict(
        "records"
    )
    assert (row["eval_metric"], row["test_error"]) == ("WQL", row["WQL"])
    assert row["WQL"] != row["SQL"]


class Stumbling(Fake):
    """Fails on the config it is told to."""

    def __init__(self, freq: str = "", stop: type[BaseException] = KeyboardInterrupt) -> None:
        self.freq, self.stop, self.seen = freq, stop, []  # type: ignore[var-annotated]

    def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
        self.seen.append(query.freq)
        if query.freq == self.freq:
            raise self.stop
        return super().forecast(contexts, query)


def test_it_goes_on_where_it_stopped(root: Path, tmp_path: Path) -> None:
    out, evaluations = tmp_path / "out.parquet", gift_evaluations(root)
    with pytest.raises(KeyboardInterrupt):
        score_all("gift_eval", evaluations, Stumbling(freq="W"), out, {"seed": 1})
    assert read_parquet(out)["config"].tolist() == ["a/H/short", "b/15T/short"]
    second = Stumbling()
    frame = score_all("gift_eval", evaluations, second, out, {"seed": 1})
    assert set(second.seen) == {"W"}
    whole = score_all("gift_eval", evaluations, Fake(), tmp_path / "whole.parquet", {"seed": 1})
    assert frame.equals(whole)
    assert read_parquet(out).equals(read_parquet(tmp_path / "whole.parquet"))
    with pytest.raises(InputError, match="made with other parameters: seed 1; delete it"):
        score_all("gift_eval", evaluations, Fake(), out, {"seed": 2})


def test_rows_of_other_data_are_not_kept(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score_all("gift_eval", gift_evaluations(root), Fake(), out, {})
    write_folder(root / "c", items([wild_series(7, 300, "gaps")], "W-SUN"))
    with pytest.raises(
        InputError, match=r"its row of c/W/short has series 2, the data and tasks have 1; del"
    ):
        score_all("gift_eval", gift_evaluations(root), Fake(), out, {})
    columns = {"y": [wild_series(1, 60, "plain")]}
    for folder, season in (("one", 7), ("two", 1)):
        write_task(tmp_path / folder, columns, horizon=7, seasonality=season)
    out = tmp_path / "fev.parquet"
    score_all("fev", fev_evaluations(tmp_path / "one"), Fake(), out, {})
    with pytest.raises(InputError, match="its row of x has season_length 7, the data and tasks have 1"):
        score_all("fev", fev_evaluations(tmp_path / "two"), Fake(), out, {})


def test_rows_of_a_changed_task_are_not_kept(tmp_path: Path) -> None:
    out, columns = tmp_path / "out.parquet", {"y": [wild_series(1, 90, "plain")], "v": [np.arange(90.0)]}
    tasks, fields = tmp_path / "tasks.yaml", {"horizon": 7, "num_windows": 2, "target": "y"}
    task = write_task(tmp_path, columns, **fields)
    score_all("fev", fev_evaluations(tmp_path), Fake(), out, {})
    score_all("fev", fev_evaluations(tmp_path), Fake(), out, {})
    for field, value, message in (
        ("initial_cutoff", -30, "initial_cutoff -14, the data and tasks have -30"),
        ("window_step_size", 3, "initial_cutoff -14, the data and tasks have -10"),
        ("min_context_length", 9, "min_context_length 1, the data and tasks have 9"),
        ("max_context_length", 40, "max_context_length None, the data and tasks have 40"),
        ("target", "v", r"targets \['y'\], the data and tasks have \['v'\]"),
    ):
        tasks.write_text(yaml.safe_dump({"tasks": [{**task, field: value}]}))
        with pytest.raises(InputError, match=f"its row of x has {message}; delete it"):
            score_all("fev", fev_evaluations(tmp_path), Fake(), out, {})


def test_rows_of_changed_files_are_not_kept(root: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out.parquet", tmp_path / "kept.parquet"
    score_all("gift_eval", gift_evaluations(root), Fake(), out, {})
    score_all("gift_eval", gift_evaluations(root), Fake(), kept, {})
    write_folder(root / "c", items([wild_series(seed + 9, 300 + seed, "gaps") for seed in range(2)], "W-SUN"))
    with pytest.raises(InputError, match=r"out.parquet: its row of c/W/short was made of other data files"):
        score_all("gift_eval", gift_evaluations(root), Fake(), out, {})
    # The other rows stay good, and stay known for what they were made of.
    score_all("gift_eval", gift_evaluations(root, only=["a"]), Fake(), kept, {})
    assert set(read_provenance(kept)["made_of"]) == {"a/H/short", "b/15T/short", "c/W/short"}
    write_task(tmp_path, {"y": [wild_series(1, 60, "plain")]}, horizon=7)
    out = tmp_path / "fev.parquet"
    score_all("fev", fev_evaluations(tmp_path), Fake(), out, {})
    table = pq.read_table(tmp_path / "x" / "data.parquet")
    pq.write_table(table, tmp_path / "x" / "data.parquet", compression="none")
    with pytest.raises(InputError, match="its row of x was made of other data files"):
        score_all("fev", fev_evaluations(tmp_path), Fake(), out, {})


def test_copied_data_still_resume(root: Path, tmp_path: Path) -> None:
    """The same content at other times, in another folder."""
    out = tmp_path / "out.parquet"
    score_all("gift_eval", gift_evaluations(root), Fake(), out, {})
    shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy").rglob("*.arrow"):
        os.utime(path, (1, 1))
    again = Stumbling()
    score_all("gift_eval", gift_evaluations(tmp_path / "copy"), again, out, {})
    assert again.seen == []


@pytest.mark.parametrize("benchmark", ["gift_eval", "fev"])
def test_it_goes_on_within_a_config(benchmark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the third batch of five, it asks for no window of the first two again, and ends the same."""
    monkeypatch.setattr("specseq.scoring.evaluation._FINE_POINTS", 1)
    monkeypatch.setattr("specseq.scoring.evaluation._FINE_WINDOWS", 2)
    if benchmark == "fev":
        columns = {name: [wild_series(n, 90, "gaps") for n in range(2)] for name in ("u", "v")}
        write_task(tmp_path / "data", columns, horizon=7, num_windows=2, target=["u", "v"])
        evaluations: Sequence[Evaluation] = fev_evaluations(tmp_path / "data")
    else:
        arrays = [wild_series(n, 200, "gaps") for n in range(8)]
        write_folder(tmp_path / "data" / "x", items(arrays, "D"))
        evaluations = gift_evaluations(tmp_path / "data")

    class Counting(Fake):
        def __init__(self, last: int) -> None:
            self.last, self.calls = last, 0

        def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
            self.calls += 1
            if self.calls > self.last:
                raise Terminated
            return super().forecast(contexts, query)

    out, whole = tmp_path / "out.parquet", Counting(99)
    wanted = score_all(benchmark, evaluations, whole, tmp_path / "whole.parquet", {})
    assert whole.calls == 4
    with pytest.raises(KeyboardInterrupt):
        score_all(benchmark, evaluations, Counting(2), out, {})
    assert read_provenance(out)["unfinished"][evaluations[0].name]["windows"] == 4
    rest = Counting(99)
    assert score_all(benchmark, evaluations, rest, out, {}).equals(wanted)
    assert rest.calls == 2
    assert read_provenance(out)["unfinished"] == {}


def test_a_finished_file_returns_without_loading_the_model(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    command = ["score", "gift_eval", "--forecaster", "naive", "--data", str(root), "--out", str(out)]
    assert cli.main(command) == 0
    written = out.read_bytes()
    monkeypatch.setattr("specseq.scoring.score.load_forecaster", lambda *_, **__: pytest.fail("loaded"))
    assert cli.main(command) == 0
    assert out.read_bytes() == written


def test_the_digest_of_a_forecaster_is_of_weights_and_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    first = forecaster_digest(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    for name in ("chronos2", "amazon/chronos-2", tmp_path):
        assert forecaster_digest(name) == first
    (tmp_path / "config.json").write_text('{"context_length": 9}')
    second = forecaster_digest(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"others")
    third = forecaster_digest("chronos2")
    assert len({first, second, third}) == 3
    assert forecaster_digest("naive") == "naive"


def test_it_saves_as_it_goes(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "_SAVE_EVERY", 0.0)
    out, seen = tmp_path / "out.parquet", []
    save = ResultFile.save
    monkeypatch.setattr(ResultFile, "save", lambda self: (seen.append(len(self._rows)), save(self)))
    score_all("gift_eval", gift_evaluations(root), SeasonalNaive(), out, {})
    assert seen == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda q: q * np.nan, "a/H/short: fake forecast NaN or infinity in 2 of 2 windows"),
        (lambda q: np.where(np.arange(len(q))[:, None, None] == 1, np.inf, q), "NaN or infinity in 1 of 2"),
        (lambda q: q[:, ::-1], "a/H/short: quantiles of fake cross in 2 of 2 windows"),
        (lambda q: q[:, :-1], r"answered with shape \[2, 8, 48\]; expected \[2, 9, 48\]"),
        (lambda q: q[:1], r"answered with shape \[1, 9, 48\]"),
    ],
)
def test_bad_forecasts_are_errors_and_never_rows(root: Path, tmp_path: Path, spoil, message: str) -> None:
    class Bad(Fake):
        def forecast(self, contexts: Sequence[NDArray[np.float32]], query: Query) -> NDArray[np.float32]:
            assert query.quantile_levels == LEVELS
            return spoil(super().forecast(contexts, query))

    out = tmp_path / "out.parquet"
    with pytest.raises(InputError, match=message):
        score_all("gift_eval", gift_evaluations(root, only=["a"]), Bad(), out, {})
    assert not out.exists()


def test_a_forecast_that_diverges_is_an_error(root: Path, tmp_path: Path) -> None:
    wild = Preconditioned(Fake(), Filter("literal", (-90.0, 9.0)), "self")
    with pytest.raises(
        InputError, match=r"a/H/short: fake.* diverged: self reversal .* 2 of 2 windows overflow"
    ):
        score_all("gift_eval", gift_evaluations(root), wild, tmp_path / "out.parquet", {})


@pytest.mark.parametrize(("stop", "status"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_an_interrupted_command_says_so_and_keeps_its_rows(
    stop: type[BaseException],
    status: int,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.parquet"
    command = ["score", "gift_eval", "--forecaster", "naive", "--data", str(root), "--out", str(out)]
    monkeypatch.setattr(
        "specseq.scoring.score.load_forecaster", lambda *_, **__: Stumbling(freq="W", stop=stop)
    )
    assert cli.main(command) == status
    last = {130: "interrupted", 143: "terminated"}[status]
    assert capsys.readouterr().err.splitlines()[-1] == f"specseq score: {last}"
    assert read_parquet(out)["config"].tolist() == ["a/H/short", "b/15T/short"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "x.csv"], "not a .parquet file"),
        (["--out", f"{__file__}/x.parquet"], "test_score.py cannot be written to"),
        (["--forecaster", "gone.safetensors"], "gone.safetensors: no such file"),
        (["--forecaster", "Seasonal_Naive"], "no such forecaster, folder or weights file; did you mean"),
        (["--forecaster", "chronos3"], "no such forecaster, folder or weights file; did you mean chronos2"),
        (["--only", "b/15t"], "holds no data set named b/15t; did you mean b/15T"),
        (["--context-length", "5"], "takes no option context_length"),
        (["--tasks", "tasks.yaml"], "GIFT-Eval has no tasks.yaml"),
        (["--data", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_bad_input_is_one_line(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    defaults = ["--forecaster", "naive", "--data", str(root), "--out", str(tmp_path / "o.parquet")]
    assert cli.main(["score", "gift_eval", *defaults, *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
