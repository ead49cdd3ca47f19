"""Tables and figures of the preconditioning study, from results whose answers are known."""

import json
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from specseq.errors import InputError
from specseq.filters import Filter, design, diagnose, predicted_oracle_error
from specseq.report.figures import preconditioning_gap, preconditioning_steps
from specseq.report.figures.style import save, styled
from specseq.report.tables.preconditioning_best import left_out_choice
from specseq.report.tables.preconditioning_ranks import spearman
from specseq.seeding import generator
from specseq.tables import Provenance, long_table, write_parquet

KEYS = ("forecaster", "filter", "reversal", "spectral_radius", "noise_gain")
TASKS = [f"t{number}" for number in range(6)]
FILTERS: dict[str, dict[str, Any]] = {
    "lyapunov_d4_l5": {"family": "lyapunov", "degree": 4, "lam": 5},
    "lyapunov_d4_l1": {"family": "lyapunov", "degree": 4, "lam": 1},
    "chebyshev_d3": {"family": "chebyshev", "degree": 3},
    "printed_chebyshev_d3": {"family": "literal", "taps": [-1.5, 0, 0.75]},
}
# Self and oracle error of the frozen forecaster relative to no filter; NaN diverged.
COST = {
    "lyapunov_d4_l5": (1.02, 0.95),
    "lyapunov_d4_l1": (1.05, 0.85),
    "chebyshev_d3": (1.2, 0.8),
    "printed_chebyshev_d3": (np.nan, 0.9),
}
HORIZON = 4
# MASE of trained runs.
FACTORS = {"baseline": 2.0, "learnable/stride1": 2.2, "long/baseline": 1.0, "long/x": 1.1}
BASELINES = {"preconditioning/long/x": "preconditioning/long/baseline"}


def scored(
    run: str, seed: int, forecaster: str, filter: str, reversal: str, factors: float | Sequence[float]
) -> list[dict]:
    """Rows of a variant whose MASE is the task's number from 1 times a factor; NaN diverged."""
    found = diagnose(design(FILTERS[filter])) if filter in FILTERS else None
    keys = {
        "study": "preconditioning",
        "run": f"preconditioning/{run}",
        "seed": seed,
        "benchmark": "gift_eval",
    }
    keys |= {"forecaster": forecaster, "filter": filter, "reversal": reversal}
    keys["spectral_radius"] = found.spectral_radius if found else np.nan
    keys["noise_gain"] = found.noise_gain if found else np.nan
    rows = []
    for number, (task, factor) in enumerate(zip(TASKS, np.broadcast_to(factors, len(TASKS)), strict=True), 1):
        of_task = {**keys, "task": task}
        rows += [{**of_task, "metric": metric, "value": number * factor} for metric in ("MASE", "CRPS")]
        if np.isnan(factor):
            rows.append({**of_task, "metric": "diverged", "value": 1.0})
            continue
        for step in range(1, HORIZON + 1):
            value = number * factor * step
            rows.append({**of_task, "step": step, "metric": "scaled_absolute_error", "value": value})
    return rows


class Results:
    """A small study in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs: list[Path] = []
        self.training: list[Path] = []
        self.corpus = root / "manifest.json"
        held = {"gift_eval_overlap": TASKS[0], "series": 1}
        self.corpus.write_text(json.dumps({"datasets": {"a": held}}))

    def evaluated(self, run: str, rows: list[dict[str, Any]]) -> None:
        path = self.root / "preconditioning" / run / "gift_eval.parquet"
        write_parquet(path, long_table(rows, KEYS), Provenance("evaluate", {}))
        self.runs.append(path)

    def table(self, name: str, inputs: dict[str, list[Path]], **params: Any) -> pd.DataFrame:
        made = import_module(f"specseq.report.tables.{name}").make(inputs, {"scale": "toy", **params})
        write_parquet(self.root / f"{name}.parquet", made, Provenance("table", {}))
        return made

    def path(self, name: str) -> list[Path]:
        return [self.root / f"{name}.parquet"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    made = Results(tmp_path_factory.mktemp("study"))
    frozen = scored("frozen/seasonal_naive", 0, "seasonal_naive", "none", "none", 1.0)
    for name, (own, oracle) in COST.items():
        frozen += scored("frozen/seasonal_naive", 0, "seasonal_naive", name, "self", own)
        frozen += scored("frozen/seasonal_naive", 0, "seasonal_naive", name, "oracle", oracle)
    made.evaluated("frozen/seasonal_naive", frozen)
    for seed in (0, 1, 2):
        for run, factor in (
            ("baseline", 2.0),
            ("learnable/stride1", 2.2),
            ("long/baseline", 1.0),
            ("long/x", 1.1),
        ):
            point = f"{run}_seed{seed}" if "/" in run else f"{run}/seed{seed}"
            # Seeds differ, but alike in all runs.
            rows = scored(point, seed, point.rsplit("/", 1)[-1], "none", "none", factor * (1 + 0.1 * seed))
            made.evaluated(point, rows)
        around = f"frozen_moirai2/seed{seed}"
        rows = scored(around, seed, f"seed{seed}", "none", "none", 2.0)
        rows += scored(around, seed, f"seed{seed}", "lyapunov_d4_l5", "self", 1.9)
        rows += scored(around, seed, f"seed{seed}", "lyapunov_d4_l5", "oracle", 1.8)
        rows += scored(around, seed, "seasonal_naive", "none", "none", 1.0)
        rows += scored(around, seed, "seasonal_naive", "lyapunov_d4_l5", "oracle", COST["lyapunov_d4_l5"][1])
        made.evaluated(around, rows)
        _train(made, seed)
    _design(made)
    residuals = [
        {"study": "preconditioning", "run": "preconditioning/frozen/seasonal_naive", "benchmark": "gift_eval"}
        | {"task": task, "step": lag, "metric": "residual_autocovariance", "value": 3.0 * 0.5**lag}
        for task in TASKS
        for lag in range(HORIZON)
    ]
    write_parquet(made.path("residuals")[0], long_table(residuals), Provenance("residuals", {}))
    made.table(
        "preconditioning",
        {"runs": made.runs, "corpus": [made.corpus]},
        baselines=BASELINES,
    )
    made.table("preconditioning_taps", {"runs": made.training})
    made.table("preconditioning_steps", {"runs": made.runs})
    inputs = {"runs": made.runs, "filters": made.path("filters"), "matched": []}
    inputs["residuals"] = made.path("residuals")
    made.table("preconditioning_theory", inputs)
    made.table("preconditioning_theory_steps", inputs)
    made.table("preconditioning_best", {"runs": made.runs}, baselines=BASELINES)
    made.table("preconditioning_ranks", {"theory": made.path("preconditioning_theory")})
    return made


def _train(made: Results, seed: int) -> None:
    path = made.root / "preconditioning" / "learnable" / f"stride1_seed{seed}" / "pretrain.parquet"
    keys = {"run": f"preconditioning/learnable/stride1_seed{seed}", "seed": seed}
    rows = [
        {**keys, "step": step, "metric": f"tap_{number}", "value": -0.1 * number - 0.01 * step}
        for step in (5, 10)
        for number in range(1, 12)
    ]
    rows.append({**keys, "step": 10, "metric": "loss", "value": 1.0})
    spec = {"family": "literal", "taps": [0.0] * 11, "stride": 2}
    write_parquet(path, long_table(rows), Provenance("pretrain", {"filter": spec}))
    made.training.append(path)


def _design(made: Results) -> None:
    from specseq.stages.design import row

    filters = [design({**spec, "name": name}) for name, spec in FILTERS.items()]
    frame = pd.DataFrame([row(filter, (1,)) for filter in filters]).astype({"lam": "float64"})
    write_parquet(made.path("filters")[0], frame, Provenance("design", {}))


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


def test_a_diverged_reversal_is_a_row(results: Results) -> None:
    table = pd.read_parquet(results.path("preconditioning")[0])
    row = table[(table["filter"] == "printed_chebyshev_d3") & (table["reversal"] == "self")].iloc[0]
    assert row["verdict"] == "diverged"
    assert np.isnan(row["ratio"])
    assert np.isinf(row["noise_gain"])


def around_naive(folder: Path, scores: dict[tuple[str, str], float | Sequence[float]]) -> Results:
    """Seasonal naive without a filter and under each (filter, reversal), scored on the toy tasks."""
    made = Results(folder)
    rows = scored("frozen/seasonal_naive", 0, "seasonal_naive", "none", "none", 1.0)
    for (filter, reversal), factors in scores.items():
        rows += scored("frozen/seasonal_naive", 0, "seasonal_naive", filter, reversal, factors)
    made.evaluated("frozen/seasonal_naive", rows)
    _design(made)
    return made


def all_tables(made: Results) -> dict[str, pd.DataFrame]:
    """Every table of frozen forecasters."""
    runs = {"runs": made.runs, "corpus": [made.corpus], "filters": made.path("filters")}
    names = ("", "_steps", "_theory", "_theory_steps", "_best")
    found = {name: made.table(f"preconditioning{name}", runs) for name in names}
    found["_ranks"] = made.table("preconditioning_ranks", {"theory": made.path("preconditioning_theory")})
    inputs = {"summary": made.path("preconditioning"), "filters": made.path("filters")}
    found["_reversal"] = made.table("preconditioning_reversal", inputs)
    return found


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
    runs = {"runs": made.runs, "corpus": [made.corpus]}
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


def test_intervals_by_step_are_students(tmp_path: Path) -> None:
    factors = [0.8, 1.1, 0.9, 1.3, 1.0, 1.2]
    made = around_naive(tmp_path, {("chebyshev_d3", "self"): factors})
    table = made.table("preconditioning_steps", {"runs": made.runs})
    row = table[table["reversal"] == "self"].iloc[0]
    expected = stats.ttest_1samp(np.log(factors), 0).confidence_interval(0.95)
    assert np.log([row["low"], row["high"]]) == pytest.approx([expected.low, expected.high])


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
    _design(made)
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
    table = made.table("preconditioning", {"runs": made.runs, "corpus": [made.corpus]}).set_index(
        "forecaster"
    )
    assert table.loc["trained", "verdict"] == "no baseline"
    lost = scored("baseline/seed0", 0, "seed0", "none", "none", np.nan)
    made.evaluated("baseline/seed0", lost)
    again = made.table("preconditioning", {"runs": made.runs, "corpus": [made.corpus]})
    ours = again.set_index("group").loc["preconditioning/x/y"]
    assert ours["verdict"] == "diverged", "there is a baseline"
    assert table.loc["trained", "leaked"] == 1
    assert table.loc["seasonal_naive", "leaked"] == 0


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
            made.table(name, {"runs": made.runs, "corpus": [made.corpus]})
    made.evaluated(
        "frozen/x", [*rows, *scored("frozen/x", 0, "seasonal_naive", "chebyshev_d3", "oracle", 0.8)]
    )
    table = made.table("preconditioning", {"runs": made.runs[:1], "corpus": [made.corpus]})
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
        inputs = {"runs": changed, "corpus": [results.corpus]}
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


def test_the_gap_figure_counts_what_it_draws(results: Results) -> None:
    """Neither the filter whose reversal is unstable nor a seed that one of the forecasters does not have."""
    inputs = {"summary": results.path("preconditioning"), "filters": results.path("filters")}
    with styled():
        figure = preconditioning_gap.draw(inputs, {})
    assert [text.get_text() for text in figure.texts if text.get_text().startswith("n =")] == [
        "n = 3 filters, 6 configs, 1–3 seeds"
    ]
    assert "1 unstable left out" in figure.get_suptitle()
    points = [len(drawn.lines[0].get_xdata()) for drawn in figure.axes[0].containers]
    assert sorted(points) == [0] * 6 + [1, 1, 3, 3]  # self and oracle of moirai2 and of seasonal naive
    plt.close(figure)


def test_self_reversal_is_seen_above_what_it_equals(results: Results, tmp_path: Path) -> None:
    steps = pd.read_parquet(results.path("preconditioning_steps")[0])
    late = steps.assign(configs=steps["configs"].where(steps["step"] < HORIZON, 1))
    write_parquet(tmp_path / "steps.parquet", late, Provenance("table", {}))
    inputs = {"steps": [tmp_path / "steps.parquet"], "filters": results.path("filters")}
    with styled():
        figure = preconditioning_steps.draw(inputs, {})
    lines = {str(line.get_label()): line for line in figure.axes[0].lines}
    reversals = [name for name in lines if name in preconditioning_steps.MODES]
    assert reversals[-1] == "self"
    assert lines["self"].get_linewidth() < lines["fir"].get_linewidth()
    assert "n = 1–6 configs" in [text.get_text() for text in figure.texts]
    plt.close(figure)


@pytest.mark.parametrize("name", ["gap", "forest", "theory", "steps", "coefficients", "filters", "training"])
def test_figures_are_drawn(results: Results, tmp_path: Path, name: str) -> None:
    inputs = {
        "gap": {"summary": results.path("preconditioning"), "filters": results.path("filters")},
        "forest": {"summary": results.path("preconditioning")},
        "theory": {"theory": results.path("preconditioning_theory")},
        "steps": {"steps": results.path("preconditioning_steps"), "filters": results.path("filters")},
        "coefficients": {"runs": results.training, "filters": results.path("filters")},
        "filters": {"filters": results.path("filters")},
        "training": {"runs": results.training},
    }[name]
    with styled():
        figure = import_module(f"specseq.report.figures.preconditioning_{name}").draw(inputs, {})
        assert all(axes.has_data() for axes in figure.axes if axes.get_visible())
        save(figure, tmp_path / name)
    assert (tmp_path / f"{name}.svg").stat().st_size > 5000
