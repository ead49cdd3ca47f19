"""Tables of the preconditioning study, from results whose answers are known."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from specseq.errors import InputError
from specseq.filters import Filter, design, diagnose, predicted_oracle_error
from specseq.seeding import generator
from specseq.studies.preconditioning.tables.laws import spearman
from specseq.studies.preconditioning.tables.scores import left_out_choice
from tests.report.preconditioning_results import (
    BASELINES,
    COST,
    FILTERS,
    HORIZON,
    TASKS,
    Results,
    around_naive,
    planted,
    scored,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return planted(tmp_path_factory.mktemp("study"))


def test_ratios_are_to_the_baseline_of_the_same_length_and_seed(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning")[0])
    plain = table[table["reversal"] == "none"].set_index(["group", "forecaster"])
    learned = plain.loc["preconditioning/learnable/stride1", "trained"]
    assert learned["ratio"] == pytest.approx(1.1)
    assert learned["low"] == pytest.approx(1.1)
    assert learned["seed_sd"] == pytest.approx(0, abs=1e-12)
    assert (learned["seeds"], learned["paired_seeds"], learned["configs"]) == (3, 3, 6)
    geometric = np.exp(np.log(np.arange(1, 7)).mean()) * np.exp(np.log([1, 1.1, 1.2]).mean())
    assert learned["mase_raw"] == pytest.approx(2.2 * geometric)
    reach = 4.3027 * np.log([1, 1.1, 1.2]).std(ddof=1) / np.sqrt(3)  # Student's quantile of two degrees
    ends = [learned["mase_raw"] * np.exp(-reach), learned["mase_raw"] * np.exp(reach)]
    assert learned[["mase_low", "mase_high"]].tolist() == pytest.approx(ends, rel=1e-4)
    assert plain.loc["preconditioning/long/x", "trained"]["ratio"] == pytest.approx(1.1)
    assert plain.loc["preconditioning/long/baseline", "trained"]["ratio"] == pytest.approx(0.5)
    own = table[(table["forecaster"] == "moirai2") & (table["reversal"] == "self")].iloc[0]
    assert own["ratio"] == pytest.approx(0.95)
    assert own["verdict"] == "better"


def test_intervals_by_step_are_students(tmp_path: Path) -> None:
    factors = [0.8, 1.1, 0.9, 1.3, 1.0, 1.2]
    made = around_naive(tmp_path, {("chebyshev_d3", "self"): factors})
    table = made.table("preconditioning_steps", {"runs": made.runs})
    row = table[table["reversal"] == "self"].iloc[0]
    expected = stats.ttest_1samp(np.log(factors), 0).confidence_interval(0.95)
    assert np.log([row["low"], row["high"]]) == pytest.approx([expected.low, expected.high])


def test_steps_are_compared_step_by_step(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning_steps")[0])
    own = table[(table["forecaster"] == "seasonal_naive") & (table["filter"] == "chebyshev_d3")]
    own = own[own["group"] == "preconditioning/frozen/seasonal_naive"].set_index(["reversal", "step"])
    assert len(own) == 2 * HORIZON
    for step in range(1, HORIZON + 1):
        assert own.loc[("self", step), "ratio"] == pytest.approx(1.2)
        assert own.loc[("oracle", step), "high"] == pytest.approx(0.8)
    assert own.loc[("self", 3), "error"] == pytest.approx(3 * own.loc[("self", 1), "error"])
    lost = table[(table["filter"] == "printed_chebyshev_d3") & (table["reversal"] == "self")]
    assert lost["step"].tolist() == list(range(1, HORIZON + 1))
    assert lost[["error", "ratio", "low", "high"]].isna().all(axis=None)


def test_theory_stands_beside_measurement(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning_theory")[0])
    own = table[(table["forecaster"] == "seasonal_naive") & (table["task"] == "all")].set_index("filter")
    assert own.loc["chebyshev_d3", "self_over_oracle"] == pytest.approx(1.5)
    assert list(own.index[own["diverged"]]) == ["printed_chebyshev_d3"]
    filter = design(FILTERS["chebyshev_d3"])
    gains = [diagnose(filter, (step,)).horizon_gain[step] for step in range(HORIZON)]
    assert own.loc["chebyshev_d3", "predicted_white"] == pytest.approx(np.sqrt(gains).mean())
    oracle = np.sqrt(predicted_oracle_error(filter, 0.5 ** np.arange(HORIZON), HORIZON)).mean()
    assert own.loc["chebyshev_d3", "predicted_oracle"] == pytest.approx(oracle)
    moirai = table[table["forecaster"] == "moirai2"]
    assert moirai["predicted_residual"].isna().all(), "no residuals were measured for it"
    assert set(moirai["filter"]) == {"lyapunov_d4_l5"}
    control = table[(table["forecaster"] == "seasonal_naive") & (table["group"].str.endswith("moirai2"))]
    assert control.empty, "a control was scored under the oracle alone"
    assert moirai["control_ratio"].to_numpy() == pytest.approx(COST["lyapunov_d4_l5"][1])


def test_theory_by_horizon_step(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning_theory_steps")[0])
    own = table[(table["forecaster"] == "seasonal_naive") & (table["filter"] == "chebyshev_d3")]
    assert set(own["task"]) == {*TASKS, "all"}
    # Chebyshev d = 3 is [0, -3/4, 0]: h = 1, 0, 3/4, 0, 9/16, …
    for task in ("t2", "all"):
        steps = own[own["task"] == task].set_index("step")
        assert steps["predicted_white"].to_numpy() == pytest.approx(np.sqrt([1, 1, 1 + 9 / 16, 1 + 9 / 16]))
        assert steps["worst_case"].to_numpy() == pytest.approx([1, 1, 1.75, 1.75])
        # E has γ_k = 2^-k: e_3 = E_3 + 3/4 E_1.
        assert steps.loc[3, "predicted_residual"] == pytest.approx(np.sqrt(1 + 9 / 16 + 1.5 / 4))
        assert steps["self_over_oracle"].to_numpy() == pytest.approx(1.5)
        assert steps["control_ratio"].to_numpy() == pytest.approx(0.8)
    moirai = table[table["forecaster"] == "moirai2"]
    assert moirai["self_ratio"].to_numpy() == pytest.approx(0.95)
    lost = table[table["filter"] == "printed_chebyshev_d3"]
    assert set(lost["task"]) == {*TASKS, "all"}
    assert lost[["self_ratio", "self_over_oracle"]].isna().all(axis=None), "its self reversal diverged"
    assert lost["oracle_ratio"].to_numpy() == pytest.approx(0.9)


def test_an_oracle_row_has_its_control_or_no_table_is_made(tmp_path: Path) -> None:
    made = Results(tmp_path)
    rows = scored("frozen/x", 0, "x", "none", "none", 1.0)
    rows += scored("frozen/x", 0, "x", "chebyshev_d3", "oracle", 0.7)
    rows += scored("frozen/x", 0, "seasonal_naive", "none", "none", 1.0)
    made.evaluated("frozen/x", rows)
    for name in ("preconditioning", "preconditioning_steps"):
        with pytest.raises(InputError, match="oracle rows of chebyshev_d3 without seasonal naive"):
            made.table(name, {"runs": made.runs, "leakage": [made.leakage]})
    made.evaluated(
        "frozen/x", [*rows, *scored("frozen/x", 0, "seasonal_naive", "chebyshev_d3", "oracle", 0.8)]
    )
    table = made.table("preconditioning", {"runs": made.runs[:1], "leakage": [made.leakage]})
    own = table[(table["forecaster"] == "x") & (table["reversal"] == "oracle")].iloc[0]
    assert (own["ratio"], own["control"]) == (pytest.approx(0.7), pytest.approx(0.8))


def test_the_answer_is_chosen_without_looking(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning_best")[0])
    rows = table.set_index(["group", "reversal", "set"])
    naive = rows.loc[("preconditioning/frozen/seasonal_naive", "self", "all")]
    assert (naive["filter"], naive["verdict"]) == ("lyapunov_d4_l5", "worse")
    assert (naive["filters"], naive["diverged"]) == (3, 1)
    moirai = rows.loc[("preconditioning/frozen_moirai2", "self", "all")]
    assert moirai["verdict"] == "better"
    assert moirai["chosen_ratio"] == pytest.approx(0.95)
    assert (moirai["configs"], moirai["seeds"]) == (6, 3)
    assert "matched" not in set(table["set"]), "there are none"
    # Of two filters with noise for effects the better one looks good; the choice on the other tasks does not.
    noise = generator(0, "noise").normal(size=(20, 12, 1))
    best = int(noise.mean(axis=(1, 2)).argmin())
    chosen = left_out_choice(noise)
    assert noise[best].mean() < noise[chosen, np.arange(12)].mean()
    for task in range(12):
        others = np.delete(noise, task, axis=1).mean(axis=(1, 2))
        assert chosen[task] == others.argmin()


def test_every_row_names_the_files_it_stands_on(results: Results) -> None:
    folder = results.root
    for path in folder.glob("preconditioning*.parquet"):
        for named in set(pd.read_parquet(path)["files"]):
            stem, seeds = re.fullmatch(r"(?:runs/)?([^{]*)(?:\{(.*)\}(.*))?", named).groups()[:2]  # type: ignore[union-attr]
            rest = named[named.index("}") + 1 :] if "}" in named else ""
            parts = [f"{stem}{seed}{rest}" for seed in seeds.split(",")] if seeds else [stem]
            assert all(any(folder.glob(part)) for part in parts), named


def test_a_run_that_is_made_again_changes_its_own_rows_alone(results: Results, tmp_path: Path) -> None:
    again = Results(tmp_path)
    rows = scored("long/x_seed1", 1, "x_seed1", "none", "none", 3.0)
    again.evaluated("long/x_seed1", rows)
    changed = [again.runs[0] if path.parent.name == "x_seed1" else path for path in results.runs]
    assert changed != results.runs
    for name in ("preconditioning", "preconditioning_steps"):
        before = pd.read_parquet(results.path(name)[0])
        inputs = {"runs": changed, "leakage": [results.leakage]}
        after = again.table(name, inputs, baselines=BASELINES)
        own = after["group"] == "preconditioning/long/x"
        pd.testing.assert_frame_equal(after[~own], before[~own])
        assert not after[own].equals(before[own])


def test_ranks_order_filters_and_count_divergence_as_the_worst(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning_ranks")[0])
    own = table[(table["quantity"] == "self_ratio") & (table["size"] == "absolute_gain")].set_index("filters")
    assert own.loc["all", "spearman"] == pytest.approx(1)
    assert (own.loc["all", "number"], own.loc["stable", "number"]) == (4, 3)
    assert own.loc["all", "low"] == pytest.approx(1)
    assert set(table["forecaster"]) == {"seasonal_naive"}, "one filter cannot be ranked"


def test_spearman_agrees_with_scipy() -> None:
    from scipy.stats import spearmanr

    values = generator(0, "ranks").integers(0, 5, size=(20, 8)).astype(float)
    against = np.array([3.0, 1, 1, np.inf, 0, 2, np.inf, 5])
    found = spearman(values, against)
    assert found == pytest.approx([spearmanr(row, against).statistic for row in values])
    assert np.isnan(spearman(np.ones((1, 8)), against)).all()


def test_the_notes_rows(results: Results) -> None:
    inputs = {"summary": results.path("preconditioning"), "filters": results.path("filters")}
    table = results.table("preconditioning_reversal", inputs).set_index(["forecaster", "filter"])
    row = table.loc["seasonal_naive", "lyapunov_d4_l1"]
    assert (row["row"], row["source"], row["basis"]) == ("lyap_d4_l1", "recomputed", "raw")
    assert row["self_percent"] == pytest.approx(5)
    assert row["gap"] == pytest.approx(20)
    assert table.loc[("seasonal_naive", "printed_chebyshev_d3"), "source"] == "printed"
    assert table.loc[("moirai2", "lyapunov_d4_l5"), "control_percent"] == pytest.approx(-5)

    inputs = {"summary": results.path("preconditioning"), "taps": results.path("preconditioning_taps")}
    training = results.table("preconditioning_training", inputs).set_index("group")
    assert training.loc["preconditioning/learnable/stride1", "percent"] == pytest.approx(10)
    assert training.loc["preconditioning/learnable/stride1", "taps"].startswith("[-0.2, -0.3")
    assert training.loc["preconditioning/baseline", "taps"] == ""


def test_learned_taps_and_their_sizes(results: Results) -> None:
    taps = pd.read_parquet(results.path("preconditioning_taps")[0])
    own = taps[taps["seed"] == 1]
    assert own["tap"].tolist() == list(range(1, 12))
    assert own["value"].tolist() == pytest.approx([-0.1 * number - 0.1 for number in range(1, 12)])
    assert (own["steps"] == 10).all()
    assert (own["designed"] == 0).all()
    inputs = {"filters": results.path("filters"), "taps": results.path("preconditioning_taps")}
    norms = results.table("preconditioning_norms", inputs)
    learned = norms[norms["kind"] == "learned"]
    assert len(learned) == 3
    assert learned["norm"].to_numpy() == pytest.approx(np.linalg.norm(own["value"]))
    assert learned["noise_gain"].iloc[0] == diagnose(Filter("x", tuple(own["value"]), 2)).noise_gain
    assert norms.set_index("source").loc["printed_chebyshev_d3", "kind"] == "printed"
