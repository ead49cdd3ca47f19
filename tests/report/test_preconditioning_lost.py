"""What diverged, what cannot be scored and what is not there, in the tables of the preconditioning study."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from specseq.tables import Provenance, long_table, write_parquet
from tests.report.preconditioning_results import (
    COST,
    FILTERS,
    Results,
    all_tables,
    around_naive,
    design_filters,
    planted,
    scored,
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return planted(tmp_path_factory.mktemp("study"))


def test_a_diverged_reversal_is_a_row(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning")[0])
    row = table[(table["filter"] == "printed_chebyshev_d3") & (table["reversal"] == "self")].iloc[0]
    assert row["verdict"] == "diverged"
    assert np.isnan(row["ratio"])
    assert np.isinf(row["noise_gain"])


def test_a_reversal_that_diverged_on_some_configs_is_not_judged_by_the_others(tmp_path: Path) -> None:
    made = around_naive(
        tmp_path,
        {
            ("chebyshev_d3", "self"): [np.nan] * 5 + [0.9],
            ("chebyshev_d3", "oracle"): 0.8,
            ("lyapunov_d4_l5", "self"): 1.02,
            ("lyapunov_d4_l5", "oracle"): 0.95,
        },
    )
    tables = all_tables(made)
    row = tables[""].set_index(["filter", "reversal"]).loc[("chebyshev_d3", "self")]
    assert (row["verdict"], row["configs"], row["paired_configs"], row["wins"]) == ("diverged", 6, 1, 0)
    assert row[["ratio", "low", "high", "mase_raw"]].isna().all()
    row = tables["_reversal"].set_index("filter").loc["chebyshev_d3"]
    assert np.isnan(row["gap"])
    assert row["oracle_percent"] == pytest.approx(-20)
    steps = tables["_steps"].set_index(["filter", "reversal"])
    assert steps.loc[("chebyshev_d3", "self"), "ratio"].isna().all()
    assert (steps["configs"] == 6).all()
    assert steps.loc[("lyapunov_d4_l5", "self"), "ratio"].to_numpy() == pytest.approx(1.02)
    for name in ("_theory", "_theory_steps"):
        together = tables[name][tables[name]["task"] == "all"].set_index("filter")
        assert together.loc[["chebyshev_d3"], ["self_ratio", "self_over_oracle"]].isna().all(axis=None)
        assert together.loc[["chebyshev_d3"], "oracle_ratio"].to_numpy() == pytest.approx(0.8)
    best = tables["_best"].set_index("set").loc["all"]
    assert (best["filters"], best["diverged"], best["configs"], best["left_out"]) == (1, 1, 6, 0)


def test_a_seed_that_was_lost_in_training_is_lost_under_every_reversal(tmp_path: Path) -> None:
    made = Results(tmp_path)
    naive = scored("frozen/seasonal_naive", 0, "seasonal_naive", "none", "none", 1.0)
    made.evaluated("frozen/seasonal_naive", naive)
    for seed in range(3):
        made.evaluated(
            f"baseline/seed{seed}", scored(f"baseline/seed{seed}", seed, f"seed{seed}", "none", "none", 2.0)
        )
        for name, factor in (("lost", 1.0), ("kept", 1.9)):
            run, model = f"x/{name}_seed{seed}", f"{name}_seed{seed}"
            if (name, seed) == ("lost", 1):
                nothing = scored(run, seed, model, "none", "none", np.nan)
                made.evaluated(run, [row for row in nothing if row["metric"] == "diverged"])
                continue
            rows = scored(run, seed, model, "none", "none", factor)
            made.evaluated(run, rows + scored(run, seed, model, "lyapunov_d4_l5", "self", factor))
    runs = {"runs": made.runs, "leakage": [made.leakage]}
    table = made.table("preconditioning", runs).set_index(["group", "reversal"])
    assert (table.loc["preconditioning/x/lost", "verdict"] == "diverged").all()
    assert table.loc[("preconditioning/x/kept", "self"), "ratio"] == pytest.approx(0.95)
    steps = made.table("preconditioning_steps", runs).set_index(["group", "reversal"]).sort_index()
    assert steps.loc[("preconditioning/x/lost", "self"), "ratio"].isna().all()
    best = made.table("preconditioning_best", runs).iloc[0]
    assert (best["filter"], best["diverged"], best["seeds"]) == ("preconditioning/x/kept", 1, 3)


@pytest.mark.parametrize("error", [np.nan, 0.0])
def test_a_config_that_cannot_be_scored_is_left_out_and_counted(tmp_path: Path, error: float) -> None:
    """Every scale of it is zero, or no filter is without an error already."""
    scores: dict[tuple[str, str], float | Sequence[float]] = {}
    for name, (own, oracle) in COST.items():
        scores |= {(name, "self"): own, (name, "oracle"): oracle}
    made = around_naive(tmp_path, scores)
    rows = pd.read_parquet(made.runs[0])
    rows.loc[(rows["task"] == "t2") & (rows["metric"] != "diverged"), "value"] = error
    write_parquet(made.runs[0], rows, Provenance("evaluate", {}))
    tables = all_tables(made)
    summary = tables[""].set_index(["filter", "reversal"])
    row = summary.loc[("chebyshev_d3", "self")]
    assert (row["verdict"], row["configs"], row["paired_configs"]) == ("worse", 6, 5)
    assert row["ratio"] == pytest.approx(1.2)
    assert summary.loc[("printed_chebyshev_d3", "self"), "verdict"] == "diverged"
    assert set(tables["_reversal"]["configs"]) == {5}
    theory = tables["_theory"]
    assert set(theory.loc[theory["diverged"], "filter"]) == {"printed_chebyshev_d3"}
    assert "t2" not in set(theory["task"])
    together = theory[theory["task"] == "all"].set_index("filter")
    assert together.loc["chebyshev_d3", "self_over_oracle"] == pytest.approx(1.5)
    assert set(together["left_out"]) == {1}
    ranks = tables["_ranks"]
    assert set(ranks["tasks"]) == {5}
    own = ranks[(ranks["quantity"] == "self_ratio") & (ranks["size"] == "absolute_gain")]
    assert own["spearman"].to_numpy() == pytest.approx(1)
    best = tables["_best"].set_index("set").loc["all"]
    assert (best["filters"], best["diverged"], best["filter"]) == (3, 1, "lyapunov_d4_l5")
    assert (best["configs"], best["left_out"]) == (5, 1)


def test_one_config_and_one_seed_decide_nothing(tmp_path: Path) -> None:
    made = around_naive(tmp_path, {("chebyshev_d3", "self"): 1.001, ("chebyshev_d3", "oracle"): 0.9})
    rows = pd.read_parquet(made.runs[0])
    write_parquet(made.runs[0], rows[rows["task"] == "t1"], Provenance("evaluate", {}))
    tables = all_tables(made)
    row = tables[""].set_index(["filter", "reversal"]).loc[("chebyshev_d3", "self")]
    assert (row["verdict"], row["paired_configs"]) == ("undecided", 1)
    assert row["ratio"] == pytest.approx(1.001)
    best = tables["_best"].set_index("set").loc["all"]
    assert (best["verdict"], best["configs"]) == ("undecided", 1)


def test_without_the_oracle_there_is_theory_of_the_self_reversal(tmp_path: Path) -> None:
    names = ("chebyshev_d3", "lyapunov_d4_l1", "lyapunov_d4_l5")
    made = around_naive(tmp_path, {(name, "self"): COST[name][0] for name in names})
    inputs = {"runs": made.runs, "filters": made.path("filters")}
    theory = made.table("preconditioning_theory", inputs).set_index(["filter", "task"])
    assert theory.loc[("chebyshev_d3", "all"), "self_ratio"] == pytest.approx(1.2)
    assert theory[["oracle_ratio", "control_ratio", "self_over_oracle"]].isna().all(axis=None)
    assert not theory["diverged"].any()
    ranks = made.table("preconditioning_ranks", {"theory": made.path("preconditioning_theory")})
    assert set(ranks["quantity"]) == {"self_ratio"}, "nothing stands against the oracle"


def test_without_frozen_forecasters_there_is_nothing_to_predict(tmp_path: Path) -> None:
    made = Results(tmp_path)
    made.evaluated("baseline/seed0", scored("baseline/seed0", 0, "trained", "none", "none", 1.0))
    design_filters(made)
    inputs = {"runs": made.runs, "filters": made.path("filters")}
    assert made.table("preconditioning_theory", inputs).empty
    assert made.table("preconditioning_theory_steps", inputs).empty


def test_filters_that_all_diverged_have_no_order(tmp_path: Path) -> None:
    made = around_naive(tmp_path, {(name, "self"): np.nan for name in FILTERS})
    inputs = {"runs": made.runs, "filters": made.path("filters")}
    assert made.table("preconditioning_theory", inputs)["diverged"].all()
    ranks = made.table("preconditioning_ranks", {"theory": made.path("preconditioning_theory")})
    assert len(ranks)
    assert ranks[["spearman", "low", "high"]].isna().all(axis=None)


def test_a_run_without_a_baseline_says_so(tmp_path: Path) -> None:
    made = Results(tmp_path)
    made.evaluated(
        "frozen/seasonal_naive", scored("frozen/seasonal_naive", 0, "seasonal_naive", "none", "none", 1.0)
    )
    made.evaluated("x/y_seed0", scored("x/y_seed0", 0, "y_seed0", "none", "none", 1.0))
    table = made.table("preconditioning", {"runs": made.runs, "leakage": [made.leakage]}).set_index(
        "forecaster"
    )
    assert table.loc["trained", "verdict"] == "no baseline"
    lost = scored("baseline/seed0", 0, "seed0", "none", "none", np.nan)
    made.evaluated("baseline/seed0", lost)
    again = made.table("preconditioning", {"runs": made.runs, "leakage": [made.leakage]})
    ours = again.set_index("group").loc["preconditioning/x/y"]
    assert ours["verdict"] == "diverged", "there is a baseline"
    leaks = table[["leaked", "leaked_share", "history"]]
    assert leaks.loc["trained"].tolist() == [1, pytest.approx(0.05), 6]
    assert leaks.loc["seasonal_naive"].tolist() == [0, 0, 0]
    unsearched = made.table("preconditioning", {"runs": made.runs}).set_index("forecaster")
    assert unsearched.loc["trained", "leaked"].isna().all()


def test_without_learned_taps_the_table_is_empty(tmp_path: Path) -> None:
    rows = [{"run": "preconditioning/baseline/seed0", "seed": 0, "step": 1, "metric": "loss", "value": 1.0}]
    path = tmp_path / "pretrain.parquet"
    write_parquet(path, long_table(rows), Provenance("pretrain", {}))
    made = Results(tmp_path)
    table = made.table("preconditioning_taps", {"runs": [path]})
    assert table.empty
    assert {"group", "seed", "tap", "value"} <= set(table.columns)


def test_without_trained_runs_the_notes_table_is_empty(results: Results, tmp_path: Path) -> None:
    summary = pd.read_parquet(results.path("preconditioning")[0])
    frozen = tmp_path / "frozen.parquet"
    write_parquet(frozen, summary[summary["forecaster"] != "trained"], Provenance("table", {}))
    inputs = {"summary": [frozen], "taps": results.path("preconditioning_taps")}
    table = Results(tmp_path).table("preconditioning_training", inputs)
    assert table.empty
    assert {"group", "percent", "low", "high", "files", "scale"} <= set(table.columns)
