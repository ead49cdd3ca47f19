"""Result files of other spellings, endings and depths; unknown flags and numbers; options without effect."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from specseq import cli
from specseq.errors import InputError
from specseq.scoring.leaderboard import Rules, compare_models, fev_leaderboard, gift_eval_leaderboard
from specseq.scoring.submissions import FEV, GIFT_EVAL, read_folder, read_submissions, result_files
from tests.scoring import published_results as made


def test_files_are_read_whatever_their_spelling_and_the_rest_is_named(tmp_path: Path) -> None:
    text = made.gift_eval_frame(1).to_csv(index=False)
    names = ("a.csv", "b.CSV", "v-1.0.csv", "c/all_results.csv", "d/All-Results.CSV", "e/run1/results.csv")
    unread = ("f.xlsx", "c/predictions.parquet", "g/scores.csv")
    beside = ("README.md", "c/config.json", "tasks.yaml", ".cache/results.csv")
    for name in (*names, *unread, *beside):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "z.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "h.csv").mkdir()
    said: list[str] = []
    models = {submission.model for submission in read_folder(tmp_path, GIFT_EVAL, left_out=said.append)}
    assert models == {"a", "b", "v-1.0", "c", "d", "e/run1", "z"}
    (line,) = said
    assert line.startswith("4 files whose name or ending is not that of a result: ")
    assert set(line.split(": ")[1].split(", ")) == {*unread, "h.csv (a folder)"}
    with pytest.raises(InputError, match="holds no CSV or Parquet file"):
        result_files(tmp_path / "h.csv")


@pytest.mark.parametrize(
    "words", [("1", "0"), ("1.0", "0.0"), ("True ", "false"), ("yes", "NO"), (True, False)]
)
def test_a_flag_is_read_in_every_spelling(tmp_path: Path, words: tuple[object, object]) -> None:
    frame = made.fev_frame("M", 1)
    frame["trained_on_this_dataset"] = [words[0], *[words[1]] * 11]
    frame.to_csv(tmp_path / "m.csv", index=False)
    (submission,) = read_submissions(tmp_path / "m.csv", FEV)
    assert submission.overlap.tolist() == [True] + [False] * 11


@pytest.mark.parametrize(("word", "shown"), [("", "empty"), ("perhaps", "'perhaps'"), ("2", "'2'")])
def test_an_unknown_flag_is_no_default(tmp_path: Path, word: str, shown: str) -> None:
    frame = made.fev_frame("M", 1).astype({"trained_on_this_dataset": object})
    frame.loc[3, "trained_on_this_dataset"] = word
    frame.to_csv(tmp_path / "m.csv", index=False)
    with pytest.raises(InputError, match=f"trained_on_this_dataset of 'task_3' is {shown}, one of 1 such"):
        read_submissions(tmp_path / "m.csv", FEV)


def test_a_result_without_the_flag_is_no_result_without_leakage(tmp_path: Path) -> None:
    folder = made.fev_folder(tmp_path / "fev")
    made.fev_frame("M", 7).drop(columns="trained_on_this_dataset").to_csv(folder / "m.csv", index=False)
    submissions = read_folder(folder, FEV)
    with pytest.raises(InputError, match=r"m\.csv: no column trained_on_this_dataset says"):
        fev_leaderboard(submissions, FEV)
    fev_leaderboard(submissions, FEV, Rules("impute", leakage=False), resamples=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 15), st.text(max_size=4)), min_size=1, max_size=4)
)
def test_any_cell_is_read_or_named(tmp_path: Path, cells: list[tuple[int, int, str]]) -> None:
    """FEV-Bench: a wild cell in any row and column of one file."""
    folder = made.fev_folder(tmp_path / "fev")
    frame = made.fev_frame("M", 7).astype(object)
    for row, column, text in cells:
        frame.iloc[row, column % frame.shape[1]] = text
    frame.to_csv(folder / "m.csv", index=False)
    try:
        fev_leaderboard(read_folder(folder, FEV), FEV, resamples=5)
    except InputError as error:
        line = str(error)
    else:
        line = ""
    assert "\n" not in line


@pytest.mark.parametrize("kind", [list, lambda cell: {"value": cell}])
def test_a_list_in_a_cell_is_no_number(tmp_path: Path, kind: Callable[[object], object]) -> None:
    folder = made.fev_folder(tmp_path / "fev")
    frame = made.fev_frame("M", 7)
    cells = [kind([value]) for value in frame["SQL"]]
    frame.assign(SQL=cells).to_parquet(folder / "m.parquet")
    with pytest.raises(InputError, match=r"m\.parquet: column 'SQL' is not numeric \(it holds"):
        read_folder(folder, FEV)


def test_a_row_without_a_model_is_refused(tmp_path: Path) -> None:
    folder = made.fev_folder(tmp_path / "fev")
    frame = made.fev_frame("M", 7)
    frame.loc[2, "model_name"] = None
    frame.to_csv(folder / "m.csv", index=False)
    with pytest.raises(InputError, match=r"m\.csv: 1 of 12 rows without 'model_name'; name the model"):
        read_folder(folder, FEV)


@pytest.mark.parametrize("benchmark", ["gift_eval", "fev"])
def test_rows_of_other_tasks_are_named(
    tmp_path: Path, benchmark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if benchmark == "fev":
        folder, frame, column = made.fev_folder(tmp_path / "r"), made.fev_frame("M", 7), "task_name"
    else:
        folder, frame, column = made.gift_eval_folder(tmp_path / "r"), made.gift_eval_frame(7), "dataset"
    other = frame.iloc[:2].assign(**{column: ["new/H/short", "newer/H/short"]})
    pd.concat([frame, other]).to_csv(folder / "M.csv", index=False)
    assert cli.main(["leaderboard", benchmark, "--results", str(folder), "--resamples", "5"]) == 0
    said = "left out: M: 2 rows of tasks that are not of the benchmark, e.g. 'new/H/short'"
    assert said in capsys.readouterr().err


def test_what_holds_nothing_of_the_benchmark_is_said(tmp_path: Path) -> None:
    folder = made.gift_eval_folder(tmp_path / "gift")
    frame = made.gift_eval_frame(7)
    frame.rename(columns={"eval_metrics/MASE[0.5]": "eval_metrics/MASE"}).to_csv(
        folder / "m.csv", index=False
    )
    message = r"m: no column 'eval_metrics/MASE\[0.5\]'; did you mean eval_metrics/MASE"
    with pytest.raises(InputError, match=message):
        gift_eval_leaderboard(read_folder(folder, GIFT_EVAL), GIFT_EVAL)
    base = made.gift_eval_frame(0).rename(columns={"eval_metrics/MASE[0.5]": "mase"})
    (folder / "seasonal_naive.csv").rename(folder / "kept")
    base.to_csv(folder / "seasonal_naive.csv", index=False)
    with pytest.raises(InputError, match=r"seasonal_naive: no column 'eval_metrics/MASE\[0.5\]'"):
        gift_eval_leaderboard(read_folder(folder, GIFT_EVAL), GIFT_EVAL)
    (folder / "kept").rename(folder / "seasonal_naive.csv")
    frame.assign(dataset=frame["dataset"].str.upper()).to_csv(folder / "m.csv", index=False)
    message = "m: none of its 12 tasks is of the benchmark, e.g. 'SOLAR/H/SHORT'; did you mean solar/H/short"
    with pytest.raises(InputError, match=message):
        gift_eval_leaderboard(read_folder(folder, GIFT_EVAL), GIFT_EVAL)


def test_a_comparison_goes_by_the_leaderboards_rules(tmp_path: Path) -> None:
    folder = made.fev_folder(tmp_path / "fev")
    submissions = read_folder(folder, FEV)

    def ratio(rules: Rules) -> float:
        (row,) = compare_models(submissions, FEV, ("Leaky", "Twin-A"), ("SQL",), rules, 5)
        return row["ratio"]

    assert ratio(Rules("impute")) != ratio(Rules("impute", leakage=False))
    (row,) = compare_models(submissions, FEV, ("Partial", "Twin-A"), ("SQL",), Rules("impute"), 5)
    assert row["tasks"] == 12
    (row,) = compare_models(submissions, FEV, ("Partial", "Twin-A"), ("SQL",), Rules("drop"), 5)
    assert row["tasks"] == 9
    with pytest.raises(InputError, match="Partial: partial result: 9 of 12"):
        compare_models(submissions, FEV, ("Partial", "Twin-A"), ("SQL",), Rules("error"))
    with pytest.raises(InputError, match="Partial: is left out as a partial result"):
        compare_models(submissions, FEV, ("Partial", "Twin-A"), ("SQL",), Rules("skip"))
    # The gap of another model is of no matter.
    compare_models(submissions, FEV, ("Twin-B", "Twin-A"), ("SQL",), Rules("error"), 5)


@pytest.mark.parametrize(
    ("benchmark", "arguments", "message"),
    [
        ("gift_eval", ["--metric", "SQL"], "--metric: does not apply to gift_eval"),
        ("gift_eval", ["--keep-leaked"], "--keep-leaked: does not apply to gift_eval"),
        ("fev", ["--by", "term"], "--by: does not apply to fev"),
        ("gift_eval", ["--compare", "naive", "plain", "--by", "term"], "--by: has no effect on --compare"),
        ("gift_eval", ["--compare", "naive", "plain", "--top", "2"], "--top: has no effect on --compare"),
        ("gift_eval", ["--resamples", "100000000"], "--resamples: 100000000 is out of range"),
    ],
)
def test_an_option_without_effect_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, benchmark: str, arguments: list[str], message: str
) -> None:
    folder = {"gift_eval": made.gift_eval_folder, "fev": made.fev_folder}[benchmark](tmp_path / "results")
    assert cli.main(["leaderboard", benchmark, "--results", str(folder), *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("tolerance", ["nan", "-1", "0", "1", "inf"])
def test_a_tolerance_out_of_range_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture, tolerance: str
) -> None:
    folder = made.gift_eval_folder(tmp_path)
    assert cli.main(["audit-results", str(folder), f"--tolerance={tolerance}"]) == 2
    assert "--tolerance: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "value", "benchmark", "options"),
    [
        ("num_variates", None, "gift_eval", ["--by", "variates"]),
        ("num_variates", "many", "gift_eval", ["--by", "variates"]),
        ("horizon", "24h", "fev", []),
        ("horizon", "nan", "fev", []),
    ],
)
def test_a_number_that_is_none_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    column: str,
    value: object,
    benchmark: str,
    options: list[str],
) -> None:
    folder = {"gift_eval": made.gift_eval_folder, "fev": made.fev_folder}[benchmark](tmp_path)
    file = folder / "seasonal_naive.csv"
    frame = pd.read_csv(file).astype({column: object})
    frame.loc[2, column] = value
    frame.to_csv(file, index=False)
    assert cli.main(["leaderboard", benchmark, "--results", str(folder), *options]) == 2
    line = capsys.readouterr().err
    assert f"seasonal_naive.csv: {column} of '" in line
    assert "which is not a number; correct the cell" in line


def test_json_holds_null_for_what_is_undefined(tmp_path: Path) -> None:
    folder = made.gift_eval_folder(tmp_path / "gift")
    for file in folder.iterdir():
        if file.stem != "seasonal_naive":
            file.unlink()
    out = tmp_path / "o.json"
    assert cli.main(["leaderboard", "gift_eval", "--results", str(folder), "--out", str(out)]) == 0
    (row,) = json.loads(out.read_text(), parse_constant=lambda word: pytest.fail(word))
    assert row["MASE_rank"] is None
    assert math.isclose(row["MASE"], 1)
