"""Tables and figures of the preconditioning study, from results whose answers are known."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from specseq.filters import Filter, design, diagnose, predicted_oracle_error
from specseq.report.figures.style import save, styled
from specseq.report.tables.preconditioning_ranks import spearman
from specseq.seeding import generator
from specseq.tables import Provenance, long_frame, write_parquet

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


def scored(run: str, seed: int, forecaster: str, filter: str, reversal: str, factor: float) -> list[dict]:
    """Rows of a variant whose MASE is the task's number from 1 times a factor."""
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
    for number, task in enumerate(TASKS, 1):
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
        write_parquet(path, long_frame(rows, KEYS), Provenance("evaluate", {}))
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
    write_parquet(made.path("residuals")[0], long_frame(residuals), Provenance("residuals", {}))
    made.table(
        "preconditioning",
        {"runs": made.runs, "corpus": [made.corpus]},
        baselines=BASELINES,
    )
    made.table("preconditioning_taps", {"runs": made.training})
    made.table("preconditioning_steps", {"runs": made.runs})
    inputs = {"runs": made.runs, "filters": made.path("filters"), "matched": []}
    made.table("preconditioning_theory", {**inputs, "residuals": made.path("residuals")})
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
    write_parquet(path, long_frame(rows), Provenance("pretrain", {"filter": spec}))
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
    assert "printed_chebyshev_d3" not in set(table.loc[table["reversal"] == "self", "filter"])


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
    write_parquet(path, long_frame(rows), Provenance("pretrain", {}))
    made = Results(tmp_path)
    table = made.table("preconditioning_taps", {"runs": [path]})
    assert table.empty
    assert {"group", "seed", "tap", "value"} <= set(table.columns)


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
