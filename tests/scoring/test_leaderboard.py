"""Leaderboards: golden aggregates, equality with fev's own, groups, partial results, the command."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq import cli
from specseq.errors import InputError
from specseq.scoring.leaderboard import Rules, fev_leaderboard, gift_eval_leaderboard
from specseq.scoring.submissions import FEV, GIFT_EVAL, read_folder, read_submissions, scores
from tests.scoring import published_results as made


@pytest.fixture
def gift(tmp_path: Path) -> Path:
    return made.gift_eval_folder(tmp_path / "gift")


@pytest.fixture
def fev(tmp_path: Path) -> Path:
    return made.fev_folder(tmp_path / "fev")


def by_model(rows: list[dict]) -> dict[str, dict]:
    return {row["model"]: row for row in rows}


def test_any_schema_is_read_by_column_name(gift: Path) -> None:
    board = by_model(gift_eval_leaderboard(read_folder(gift, GIFT_EVAL), GIFT_EVAL, resamples=50))
    naive, truth = made.gift_eval_frame(0), made.gift_eval_frame(2, 0.8)
    ratio = truth["eval_metrics/MASE[0.5]"] / naive["eval_metrics/MASE[0.5]"]
    assert board["shuffled"]["MASE"] == pytest.approx(np.exp(np.log(ratio).mean()), rel=1e-12)
    raw = np.exp(np.log(truth["eval_metrics/MASE[0.5]"]).mean())
    assert board["shuffled"]["MASE_raw"] == pytest.approx(raw, rel=1e-12)
    assert board["seasonal_naive"]["MASE"] == board["seasonal_naive"]["CRPS"] == 1.0
    assert {row["n"] for row in board.values()} == {len(made.TASKS)}
    for row in board.values():
        assert row["MASE_low"] <= row["MASE"] <= row["MASE_high"]


@pytest.mark.parametrize(
    ("by", "sizes"),
    [
        ("term", {"short": 4, "medium": 4, "long": 4}),
        ("frequency", {"H": 3, "15T": 3, "M": 3, "D": 3}),
        ("domain", {"Energy": 6, "Nature": 6}),
        ("variates", {"univariate": 9, "multivariate": 3}),
    ],
)
def test_groups_split_the_configs_and_multiply_back(gift: Path, by: str, sizes: dict[str, int]) -> None:
    submissions = read_folder(gift, GIFT_EVAL)
    rows = gift_eval_leaderboard(submissions, GIFT_EVAL, by=by, resamples=10)
    mine = [row for row in rows if row["model"] == "plain"]
    assert {row[by]: row["n"] for row in mine} == sizes
    whole = by_model(gift_eval_leaderboard(submissions, GIFT_EVAL, resamples=10))["plain"]
    logs = sum(row["n"] * np.log(row["CRPS"]) for row in mine) / sum(sizes.values())
    assert np.exp(logs) == pytest.approx(whole["CRPS"], rel=1e-12)


@pytest.mark.parametrize("number", [0, 1.5])
def test_half_a_variate_is_refused(gift: Path, number: float) -> None:
    base = pd.read_csv(gift / "seasonal_naive.csv").astype({"num_variates": float})
    base.loc[2, "num_variates"] = number
    base.to_csv(gift / "seasonal_naive.csv", index=False)
    with pytest.raises(InputError, match=f"has {number:g} variates; give whole numbers"):
        gift_eval_leaderboard(read_folder(gift, GIFT_EVAL), GIFT_EVAL, by="variates", resamples=10)


def test_a_config_without_a_domain_is_named(gift: Path) -> None:
    base = pd.read_csv(gift / "seasonal_naive.csv")
    base.loc[2, "domain"] = None
    base.to_csv(gift / "seasonal_naive.csv", index=False)
    with pytest.raises(InputError, match=r"seasonal_naive\.csv: domain of '.*' is empty, one of 1 such"):
        gift_eval_leaderboard(read_folder(gift, GIFT_EVAL), GIFT_EVAL, by="domain", resamples=10)


def test_partial_result_is_refused_with_its_count(gift: Path) -> None:
    made.gift_eval_frame(7).iloc[:10].to_csv(gift / "partial.csv", index=False)
    submissions = read_folder(gift, GIFT_EVAL)
    with pytest.raises(InputError, match=r"partial: partial result: 10 of 12 tasks.*saugeen/D/medium"):
        gift_eval_leaderboard(submissions, GIFT_EVAL)
    said: list[str] = []
    skipped = gift_eval_leaderboard(submissions, GIFT_EVAL, Rules("skip", left_out=said.append))
    assert "partial" not in by_model(skipped)
    assert len(said) == 1
    dropped = gift_eval_leaderboard(submissions, GIFT_EVAL, Rules("drop"))
    assert {row["n"] for row in dropped} == {10}
    imputed = by_model(gift_eval_leaderboard(submissions, GIFT_EVAL, Rules("impute")))["partial"]
    assert (imputed["n"], imputed["missing"]) == (12, 2)
    with pytest.raises(InputError, match="partial result"):
        gift_eval_leaderboard(submissions, GIFT_EVAL, Rules("skip", strict=frozenset({"partial"})))


@pytest.mark.parametrize("missing", ["error", "skip", "drop", "impute"])
@pytest.mark.parametrize("error", [np.nan, 0.0])
def test_a_baseline_that_nothing_can_be_divided_by_is_refused(
    gift: Path, fev: Path, missing: str, error: float
) -> None:
    base = made.gift_eval_frame(0)
    base.loc[3, "eval_metrics/MASE[0.5]"] = error
    base.to_csv(gift / "seasonal_naive.csv", index=False)
    what = "no value" if np.isnan(error) else "no error above zero"
    message = what + r" on 1 of 12 tasks, e\.g\. '{}'; every error is divided by its error"
    with pytest.raises(InputError, match="seasonal_naive: " + message.format("ett1/15T/short")):
        gift_eval_leaderboard(read_folder(gift, GIFT_EVAL), GIFT_EVAL, Rules(missing))
    frame = made.fev_frame("Seasonal Naive", 0)
    frame.loc[3, "SQL"] = error
    frame.to_csv(fev / "seasonal_naive.csv", index=False)
    with pytest.raises(InputError, match="Seasonal Naive: " + message.format("task_3")):
        fev_leaderboard(read_folder(fev, FEV), FEV, Rules(missing))


def test_a_metric_that_is_there_is_not_imputed(gift: Path) -> None:
    frame = made.gift_eval_frame(2, 0.8).drop(columns="eval_metrics/mean_weighted_sum_quantile_loss")
    frame.to_csv(gift / "half.csv", index=False)
    submissions = read_folder(gift, GIFT_EVAL)
    board = by_model(gift_eval_leaderboard(submissions, GIFT_EVAL, Rules("impute")))
    assert board["half"]["MASE"] == board["shuffled"]["MASE"]
    assert (board["half"]["CRPS"], board["half"]["missing"]) == (1.0, len(made.TASKS))
    assert board["shuffled"]["missing"] == 0


def test_bad_files_are_named(gift: Path, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"other\.csv.*'dataset'"):
        read_submissions(tmp_path / "other.csv", GIFT_EVAL)
    (tmp_path / "text.csv").write_text("dataset,eval_metrics/MSIS\nx/H/short,good\n")
    with pytest.raises(InputError, match="not numeric"):
        read_submissions(tmp_path / "text.csv", GIFT_EVAL)
    (tmp_path / "truth.csv").write_text("dataset,eval_metrics/MSIS\nx/H/short,True\n")
    with pytest.raises(InputError, match="true and false"):
        read_submissions(tmp_path / "truth.csv", GIFT_EVAL)
    (tmp_path / "twice.csv").write_text("dataset,eval_metrics/MSIS,dataset\nx/H/short,1,x/H/short\n")
    with pytest.raises(InputError, match="'dataset' stands 2 times"):
        read_submissions(tmp_path / "twice.csv", GIFT_EVAL)
    (tmp_path / "none.csv").write_text("dataset,eval_metrics/MSIS\n")
    with pytest.raises(InputError, match="no rows"):
        read_submissions(tmp_path / "none.csv", GIFT_EVAL)
    (tmp_path / "only.csv").write_text("dataset,model\nx/H/short,m\n")
    with pytest.raises(InputError, match="no metric column"):
        read_submissions(tmp_path / "only.csv", GIFT_EVAL)
    (tmp_path / "rough.parquet").write_text("no parquet")
    with pytest.raises(InputError, match="not a readable"):
        read_submissions(tmp_path / "rough.parquet", GIFT_EVAL)
    with pytest.raises(InputError, match="no such folder"):
        read_folder(tmp_path / "nowhere", GIFT_EVAL)
    with pytest.raises(InputError, match=r"'plain' is also in plain\.csv"):
        read_folder(gift, GIFT_EVAL, [gift / "plain.csv"])


NAME = st.sampled_from(
    [
        "dataset",
        "config",
        "model",
        "domain",
        "eval_metrics/MASE[0.5]",
        "eval_metrics/MSIS",
        "",
        "\ufeffdataset",
    ]
)
CELL = st.sampled_from(
    ["a/H/short", "b/D/long", "", "1.5", "-1", "nan", "inf", "True", '"', "\n", "é", "1e400"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(NAME, max_size=5), st.lists(st.lists(CELL, max_size=5), max_size=4))
def test_wild_files_are_read_or_refused_in_one_line(names: list[str], cells: list[list[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wild.csv"
        file.write_text("\n".join(",".join(row) for row in [names, *cells]), encoding="utf-8")
        refused = ""
        try:
            for submission in read_submissions(file, GIFT_EVAL):
                scores([submission], tuple(dict.fromkeys(submission.tasks)), "MASE")
        except InputError as error:
            refused = str(error)
        assert not refused or ("wild.csv" in refused and "\n" not in refused)


def test_a_task_twice_or_a_negative_error_is_refused(tmp_path: Path) -> None:
    frame = made.gift_eval_frame(1)
    pd.concat([frame, frame.iloc[:2]]).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(InputError, match="2 tasks twice"):
        scores(read_submissions(tmp_path / "twice.csv", GIFT_EVAL), made.TASKS, "MASE")
    frame.loc[3, "eval_metrics/MASE[0.5]"] = -1.0
    frame.to_csv(tmp_path / "negative.csv", index=False)
    with pytest.raises(InputError, match=r"MASE of 'ett1/15T/short' is -1\.0"):
        scores(read_submissions(tmp_path / "negative.csv", GIFT_EVAL), made.TASKS, "MASE")


def test_a_folder_without_the_baseline_says_so(gift: Path) -> None:
    (gift / "seasonal_naive.csv").unlink()
    with pytest.raises(InputError, match="no result of the baseline 'seasonal_naive'"):
        gift_eval_leaderboard(read_folder(gift, GIFT_EVAL), GIFT_EVAL)


def check_against_fev(folder: Path, missing: str, metric: str, resamples: int) -> None:
    import fev

    files = sorted(folder.glob("*.csv"))
    theirs = fev.leaderboard(
        [str(file) for file in files],
        metric_column=metric,
        missing_strategy=missing,
        baseline_model="Seasonal Naive",
        leakage_imputation_model="Chronos-Bolt",
        n_resamples=resamples,
        seed=123,
    )
    rows = fev_leaderboard(
        read_folder(folder, FEV), FEV, Rules(missing), metric=metric, resamples=resamples, seed=123
    )
    assert [row["model"] for row in rows] == list(theirs.index)
    for name in ("win_rate", "skill_score"):
        for ours, suffix in (("", ""), ("_low", "_lower"), ("_high", "_upper")):
            mine = np.array([row[name + ours] for row in rows])
            np.testing.assert_allclose(mine, theirs[name + suffix], rtol=0, atol=1e-12)
    assert [row["missing"] for row in rows] == list(theirs["num_failures"])
    np.testing.assert_allclose([row["trained_on"] for row in rows], theirs["training_corpus_overlap"])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("missing", ["impute", "drop"])
def test_equals_fevs_own_leaderboard(fev: Path, missing: str) -> None:
    check_against_fev(fev, missing, "MASE", 200)


def test_fev_leakage_switch_and_strict_partial(fev: Path) -> None:
    submissions = read_folder(fev, FEV)
    kept = by_model(fev_leaderboard(submissions, FEV, Rules("impute", leakage=False), resamples=10))
    clean = by_model(fev_leaderboard(submissions, FEV, resamples=10))
    assert kept["Leaky"]["skill_score"] != clean["Leaky"]["skill_score"]
    assert kept["Twin-A"]["skill_score"] == clean["Twin-A"]["skill_score"]
    with pytest.raises(InputError, match="Partial: partial result: 9 of 12"):
        fev_leaderboard(submissions, FEV, Rules("impute", strict=frozenset({"Partial"})))
    without = [s for s in submissions if s.model != "Chronos-Bolt"]
    with pytest.raises(InputError, match="Chronos-Bolt"):
        fev_leaderboard(without, FEV)


def test_command_prints_adds_and_writes(gift: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    mine = made.gift_eval_frame(8, 0.2).rename(columns={"dataset": "config"})
    mine.assign(context_length=1000).to_parquet(tmp_path / "mine.parquet")
    out = tmp_path / "board.csv"
    call = ["leaderboard", "gift_eval", "--results", str(gift), "--resamples", "20"]
    assert cli.main([*call, "--add", str(tmp_path / "mine.parquet"), "--top", "2", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("mine")
    written = pd.read_csv(out)
    assert written.model[0] == "mine"
    assert written.context_length[0] == 1000
    for suffix in ("json", "parquet"):
        assert cli.main([*call, "--out", str(tmp_path / f"board.{suffix}")]) == 0
    assert len(json.loads((tmp_path / "board.json").read_text())) == 5
    assert len(pd.read_parquet(tmp_path / "board.parquet")) == 5
    assert cli.main([*call, "--out", str(tmp_path / "board.xls")]) == 2
    capsys.readouterr()
    assert cli.main([*call, "--compare", "bare", "naive"]) == 0
    printed = capsys.readouterr().out
    assert "better" in printed
    assert {"wins", "losses", "ratio", "low", "high", "sign_p", "wilcoxon_p"} <= set(printed.split())
    assert cli.main([*call, "--compare", "bare", "nobody"]) == 2
    assert cli.main([*call, "--compare", "bare", "bare"]) == 2
    assert "--compare: names bare twice; give two models" in capsys.readouterr().err
    for wrong in (["--resamples", "0"], ["--top", "-1"]):
        assert cli.main([*call, *wrong]) == 2
        assert f"{wrong[0]}: {wrong[1]} is out of range" in capsys.readouterr().err


def test_results_may_lie_in_a_folder_a_model(gift: Path, tmp_path: Path) -> None:
    flat = gift_eval_leaderboard(read_folder(gift, GIFT_EVAL), GIFT_EVAL)
    for number, path in enumerate(sorted(gift.glob("*.csv"))):
        target = tmp_path / "results" / path.stem / ("all-results.csv" if number == 0 else "all_results.csv")
        target.parent.mkdir(parents=True)
        path.rename(target)
    (target.parent / "predictions.parquet").write_bytes(b"other things lie there too")
    assert gift_eval_leaderboard(read_folder(tmp_path / "results", GIFT_EVAL), GIFT_EVAL) == flat
    assert cli.main(["audit-results", str(tmp_path / "results")]) == 0


def test_an_added_result_goes_by_its_model_column(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder, added = made.gift_eval_folder(tmp_path / "published"), tmp_path / "all_results.csv"
    call = ["leaderboard", "gift_eval", "--results", str(folder), "--add", str(added)]
    made.gift_eval_frame(9).assign(model="Mine").to_csv(added, index=False)
    assert cli.main(call) == 0
    assert "Mine" in (printed := capsys.readouterr().out)
    assert "all_results" not in printed
    made.gift_eval_frame(9).assign(model="naive").to_csv(added, index=False)
    assert cli.main(call) == 0
    assert "all_results" in capsys.readouterr().out
    assert cli.main([*call, "--compare", "all_result", "naive"]) == 2
    assert "no model 'all_result'; did you mean all_results?" in capsys.readouterr().err


def test_command_refuses_an_added_partial_result(fev: Path, capsys: pytest.CaptureFixture) -> None:
    call = ["leaderboard", "fev", "--results", str(fev), "--resamples", "20"]
    added = fev.parent / "mine.csv"
    made.fev_frame("Mine", 9).iloc[:5].to_csv(added, index=False)
    assert cli.main(call) == 0
    assert cli.main([*call, "--add", str(added)]) == 2
    assert "Mine: partial result: 5 of 12 tasks" in capsys.readouterr().err
    assert cli.main([*call, "--add", str(added), "--missing", "impute"]) == 0


def test_the_leaderboard_does_without_the_heavy_libraries(gift: Path) -> None:
    code = (
        "import sys, specseq.commands.audit_results; from specseq import cli;"
        f"cli.main(['leaderboard', 'gift_eval', '--results', {str(gift)!r}]);"
        "print(sorted({'torch', 'scipy', 'pandas', 'datasets', 'gluonts', 'fev'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


GOLDEN = {
    "Zeus": (0.6930683, 0.4803376),
    "FLAIR": (0.838, 0.587),
    "Moirai2": (0.7281, 0.5164),
    "moirai_small": (0.9461, 0.6504),
    "chronos_bolt_small": (0.8221, 0.5767),
    "chronos-2": (0.6978, 0.4854),
    "auto_arima": (1.0736, 0.9117),
}


@pytest.mark.data
def test_published_gift_eval_aggregates() -> None:
    rows = gift_eval_leaderboard(read_folder(made.published("gift_eval"), GIFT_EVAL), GIFT_EVAL)
    assert len(rows) == 120
    board = by_model(rows)
    for model, expected in GOLDEN.items():
        tolerance = 5e-8 if model == "Zeus" else 5.1e-4 if model == "FLAIR" else 5.1e-5
        assert (board[model]["MASE"], board[model]["CRPS"]) == pytest.approx(expected, abs=tolerance)


@pytest.mark.data
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_published_fev_leaderboard() -> None:
    folder = made.published("fev")
    check_against_fev(folder, "impute", "SQL", 1000)
    board = by_model(fev_leaderboard(read_folder(folder, FEV), FEV))
    for model, skill in {
        "Chronos-2": 0.473,
        "TiRex": 0.426,
        "Moirai-2.0": 0.393,
        "Chronos-Bolt": 0.389,
    }.items():
        assert board[model]["skill_score"] == pytest.approx(skill, abs=5.1e-4)
    assert board["Chronos-2"]["SQL_raw"] == pytest.approx(0.8234, abs=5e-5)
    mase = by_model(fev_leaderboard(read_folder(folder, FEV), FEV, metric="MASE", resamples=10))
    assert mase["Chronos-2"]["MASE_raw"] == pytest.approx(1.0166, abs=5e-5)
