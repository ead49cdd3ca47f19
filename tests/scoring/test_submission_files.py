"""Submissions are read by the leaderboards they are for, with our ranks."""

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq import cli
from specseq.scoring.fev_tasks import METRICS, official_tasks
from specseq.scoring.gift_eval import METRICS as GIFT_METRICS
from specseq.scoring.gift_eval_data import reference
from specseq.scoring.leaderboard import fev_leaderboard, gift_eval_leaderboard
from specseq.scoring.submission_files import FEV_VERSION, definition
from specseq.scoring.submissions import FEV, GIFT_EVAL, read_folder
from tests.scoring.published_results import published

ABOUT = {
    "--model-type": "zero-shot",
    "--model-dtype": "float32",
    "--model-link": "https://huggingface.co/me/mine",
    "--org": "Me",
    "--testdata-leakage": "No",
    "--replication-code-available": "No",
}


def gift_scores(path: Path, seed: int) -> pd.DataFrame:
    """A file as ``specseq score`` writes it, shuffled."""
    values = np.random.default_rng(seed).lognormal(size=(97, len(GIFT_METRICS)))
    rows = [
        {"config": one.name, "num_variates": one.variates, "windows": one.windows, "series": one.series}
        | {f"eval_metrics/{name}": value for name, value in zip(GIFT_METRICS, row, strict=True)}
        for one, row in zip(reference().values(), values, strict=True)
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=seed)
    frame.to_parquet(path, index=False)
    return frame


def fev_scores(path: Path, seed: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).lognormal(size=(100, len(METRICS)))
    rows = [
        {"task_name": task.name, "horizon": task.horizon, "num_windows": task.windows}
        | {"seasonality": task.season_length, "num_forecasts": task.forecasts}
        | dict(zip(METRICS, row, strict=True))
        for task, row in zip(official_tasks().values(), values, strict=True)
    ]
    frame = pd.DataFrame(rows).sample(frac=1, random_state=seed)
    frame.to_parquet(path, index=False)
    return frame


def submit(benchmark: str, scores: Path, out: Path, *more: str) -> int:
    return cli.main(["submission", benchmark, "--scores", str(scores), "--out", str(out), *more])


def gift_eval(scores: Path, out: Path, model: str, **changed: str) -> int:
    about = ABOUT | {f"--{name.replace('_', '-')}": value for name, value in changed.items()}
    return submit(
        "gift_eval", scores, out, "--model", model, *[word for pair in about.items() for word in pair]
    )


def test_gift_eval_reads_97_rows_of_15_columns_with_our_ranks(tmp_path: Path) -> None:
    for seed, model in enumerate(("seasonal_naive", "one", "two")):
        gift_scores(tmp_path / f"{model}.parquet", seed)
        assert gift_eval(tmp_path / f"{model}.parquet", tmp_path / "results" / model, model) == 0
    # As its leaderboard reads a repository of results: every all_results.csv below it, by plain pandas.
    frames = [pd.read_csv(path) for path in (tmp_path / "results").rglob("all_results.csv")]
    assert [frame.shape for frame in frames] == [(97, 15)] * 3
    columns = [f"eval_metrics/{name}" for name in GIFT_METRICS]
    assert list(frames[0]) == ["dataset", "model", *columns, "domain", "num_variates"]
    merged = pd.concat(frames)
    rows = {row["model"]: row for row in gift_eval_leaderboard(
        read_folder(tmp_path / "results", GIFT_EVAL), GIFT_EVAL, resamples=2
    )}  # fmt: skip
    for name, column in (("MASE", "eval_metrics/MASE[0.5]"), ("CRPS", columns[-1])):
        table = merged.pivot_table(index="dataset", columns="model", values=column)
        relative = np.exp(np.log(table.div(table["seasonal_naive"], axis=0)).mean())
        ranks = table.rank(axis=1).mean()
        for model, row in rows.items():
            assert row[name] == pytest.approx(relative[model])
            assert row[f"{name}_rank"] == pytest.approx(ranks[model])
    about = json.loads((tmp_path / "results" / "one" / "config.json").read_text())
    assert about == {option[2:].replace("-", "_"): value for option, value in ABOUT.items()} | {
        "model": "one",
        "code_link": "",
    }
    # The file is its own template.
    again = ("--config", str(tmp_path / "results" / "one" / "config.json"), "--org", "Others")
    assert submit("gift_eval", tmp_path / "one.parquet", tmp_path / "again", *again) == 0
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == about | {"org": "Others"}


def test_fevs_leaderboard_reads_100_rows_with_our_ranks(tmp_path: Path) -> None:
    os.environ["HF_HOME"] = str(tmp_path / "cache")
    import fev
    import fev.analysis

    assert fev.__version__ == FEV_VERSION
    for seed, (model, trained) in enumerate(
        (("Seasonal Naive", ["none"]), ("Chronos-Bolt", ["none"]), ("My Model 1.0", ["ETT_1H", "epf_be"]))
    ):
        fev_scores(tmp_path / "scores.parquet", seed)
        more = ("--model", model, "--trained-on", *trained)
        assert submit("fev", tmp_path / "scores.parquet", tmp_path / "results", *more) == 0
    files = sorted((tmp_path / "results").glob("*.csv"))
    assert [file.name for file in files] == ["chronos-bolt.csv", "my-model-1-0.csv", "seasonal-naive.csv"]
    theirs = fev.analysis.leaderboard(
        list(map(str, files)),
        baseline_model="Seasonal Naive",
        leakage_imputation_model="Chronos-Bolt",
        n_resamples=20,
    )
    assert theirs["training_corpus_overlap"]["My Model 1.0"] == pytest.approx(0.02)
    assert theirs["num_failures"].tolist() == [0, 0, 0]
    ours = fev_leaderboard(read_folder(tmp_path / "results", FEV), FEV, resamples=20)
    assert [row["model"] for row in ours] == list(theirs.index)
    for row in ours:
        for name in ("win_rate", "skill_score"):
            assert row[name] == pytest.approx(theirs[name][row["model"]])
            assert row[f"{name}_low"] == pytest.approx(theirs[f"{name}_lower"][row["model"]])


def test_what_is_declared_may_be_a_file(tmp_path: Path) -> None:
    fev_scores(tmp_path / "scores.parquet", 0)
    frame = pd.DataFrame({"task_name": list(official_tasks()), "trained_on_this_dataset": "False"})
    frame.loc[3, "trained_on_this_dataset"] = "True"
    frame["inference_time_s"] = 2.5
    frame.to_csv(tmp_path / "declared.csv", index=False)
    more = ("--model", "Mine", "--declared", str(tmp_path / "declared.csv"))
    assert submit("fev", tmp_path / "scores.parquet", tmp_path, *more) == 0
    rows = pd.read_csv(tmp_path / "mine.csv").set_index("task_name")
    assert rows["trained_on_this_dataset"].sum() == 1
    assert rows["trained_on_this_dataset"][frame["task_name"][3]]
    assert (rows["inference_time_s"] == 2.5).all()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda rows: [*rows, rows[-1]], "1 tasks appear twice, e.g. "),
        (lambda rows: [rows[0].replace("task_name", "task"), *rows[1:]], "column 'task_name' is missing"),
        (lambda rows: [rows[0], rows[1].replace("False", "maybe"), *rows[2:]], "is 'maybe'; give True"),
        (lambda rows: [rows[0], rows[1].split(",")[0], *rows[2:]], "is None; give True"),
        (lambda rows: [], "column 'task_name' is missing"),
        (lambda rows: ["\ufeff" + rows[0], rows[1].replace("False", " no"), *rows[2:]], ""),
    ],
)
def test_a_declaration_is_read_in_full_or_refused(
    tmp_path: Path,
    change: Callable[[list[str]], list[str]],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fev_scores(tmp_path / "scores.parquet", 0)
    rows = ["task_name,trained_on_this_dataset", *(f"{name},False" for name in official_tasks())]
    (tmp_path / "declared.csv").write_text("\r\n".join(change(rows)), encoding="utf-8")
    more = ("--model", "Mine", "--declared", str(tmp_path / "declared.csv"))
    assert submit("fev", tmp_path / "scores.parquet", tmp_path, *more) == (2 if line else 0)
    assert line in capsys.readouterr().err


@pytest.mark.parametrize("content", ["[1]", "null", '"model"', "1"])
def test_a_config_without_fields_is_refused(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gift_scores(tmp_path / "scores.parquet", 0)
    (tmp_path / "config.json").write_text(content)
    assert (
        submit("gift_eval", tmp_path / "scores.parquet", tmp_path, "--config", f"{tmp_path}/config.json") == 2
    )
    assert "no fields; give a config.json" in capsys.readouterr().err


def test_incomplete_scores_and_undeclared_fields_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gift, fev = tmp_path / "gift.parquet", tmp_path / "fev.parquet"
    frame = gift_scores(gift, 0).sort_values("config")

    def refused(status: int, message: str) -> None:
        printed = capsys.readouterr().err
        assert (status, printed.count("\n")) == (2, 1)
        assert message in printed

    for changed, message in (
        ({"testdata_leakage": "Yes"}, "testdata_leakage: is Yes for a zero-shot model"),
        ({"model_type": "oracle"}, "model_type"),
        ({"model_link": "here"}, "model_link: 'here' is not a link"),
        ({"replication_code_available": "Yes"}, "code_link: is missing for code that is available"),
    ):
        refused(gift_eval(gift, tmp_path / "out", "mine", **changed), message)
    status = submit("gift_eval", gift, tmp_path / "out", "--model", "mine", "--org", "Me")
    refused(
        status, "5 fields are missing: model_type, model_dtype, model_link, testdata_leakage, replication"
    )
    for spoilt, message in (
        (frame.iloc[4:], "93 of 97 rows, without e.g."),
        (pd.concat([frame, frame.iloc[:2]]), "2 rows appear twice"),
        (frame.assign(config=frame["config"].str.upper()), "0 of 97 rows"),
        (frame.assign(windows=frame["windows"] + 1), "where the benchmark has"),
        (frame.assign(**{"eval_metrics/MSIS": np.nan}), "eval_metrics/MSIS of"),
        (
            frame.drop(columns="eval_metrics/MSIS"),
            "column 'eval_metrics/MSIS' is missing; give the result of",
        ),
    ):
        spoilt.to_parquet(gift, index=False)
        refused(gift_eval(gift, tmp_path / "out", "mine"), message)
    fev_scores(fev, 0)
    for more, message in (
        (
            ["--model", "Mine"],
            "does not say which data the model was trained on; give --trained-on NAME",
        ),
        (["--trained-on", "none"], "--model: is missing"),
        (["--model", " ", "--trained-on", "none"], "--model: is missing"),
        (["--model", "Mine", "--trained-on", "None", "ETT_1H"], "--trained-on: says none and ETT_1H; give"),
        (["--model", "Mine", "--trained-on", "ETT_1h"], "no task or data set 'ETT_1h'; did you mean ETT_1H"),
        (["--model", "Mine", "--trained-on", "none", "--org", "Me"], "--org: does not apply to fev"),
    ):
        refused(submit("fev", fev, tmp_path / "out", *more), message)
    assert not (tmp_path / "out").exists()


@pytest.mark.data
def test_published_rows_come_out_as_they_went_in(tmp_path: Path) -> None:
    source = published("gift_eval") / "seasonal_naive.csv"
    frame = pd.read_csv(source).rename(columns={"dataset": "config"})
    facts = {one.name: one for one in reference().values()}
    frame["windows"] = [facts[name].windows for name in frame["config"]]
    frame["series"] = [facts[name].series for name in frame["config"]]
    frame.to_parquet(tmp_path / "scores.parquet", index=False)
    assert gift_eval(tmp_path / "scores.parquet", tmp_path / "out", "seasonal_naive") == 0
    made, wanted = pd.read_csv(tmp_path / "out" / "all_results.csv"), pd.read_csv(source)
    assert list(made) == list(wanted)
    wanted = wanted.set_index("dataset").loc[made["dataset"]].reset_index()
    pd.testing.assert_frame_equal(made.drop(columns="model"), wanted.drop(columns="model"), rtol=1e-12)


@pytest.mark.data
def test_definitions_are_the_published_ones(tmp_path: Path) -> None:
    with (published("fev") / "chronos-2.csv").open() as handle:
        rows = {row["task_name"]: row for row in csv.DictReader(handle)}
    for name, task in official_tasks().items():
        for column, value in definition(task).items():
            assert rows[name][column] == ("" if value is None else str(value)), (name, column)
