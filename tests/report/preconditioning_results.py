"""Results of the preconditioning study whose answers are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.filters import design, diagnose
from specseq.filters.table import DesignRequest
from specseq.filters.table import design_filters as tabulate
from specseq.settings import read
from specseq.studies import maker
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
# MASE of seasonal naive, and of trained runs.
NAIVE = 4.0
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
        self.leakage = root / "leakage.parquet"
        held = [("gift_eval", task, 100, 30 * (task == TASKS[0]), 1) for task in TASKS]
        columns = ["benchmark", "task", "points", "leaked_points", "history_series"]
        write_parquet(self.leakage, pd.DataFrame(held, columns=columns), Provenance("leakage"))

    def evaluated(self, run: str, rows: list[dict[str, Any]]) -> None:
        path = self.root / "preconditioning" / run / "gift_eval.parquet"
        write_parquet(path, long_table(rows, KEYS), Provenance("evaluate", {}))
        self.runs.append(path)

    def table(self, name: str, inputs: dict[str, list[Path]], **params: Any) -> pd.DataFrame:
        made = maker("tables", name)(inputs, {"scale": "toy", **params})
        write_parquet(self.root / f"{name}.parquet", made, Provenance("table", {}))
        return made

    def path(self, name: str) -> list[Path]:
        return [self.root / f"{name}.parquet"]


def planted(folder: Path) -> Results:
    """A study of frozen and trained runs whose answers are known."""
    made = Results(folder)
    frozen = scored("frozen/seasonal_naive", 0, "seasonal_naive", "none", "none", NAIVE)
    for name, (own, oracle) in COST.items():
        frozen += scored("frozen/seasonal_naive", 0, "seasonal_naive", name, "self", NAIVE * own)
        frozen += scored("frozen/seasonal_naive", 0, "seasonal_naive", name, "oracle", NAIVE * oracle)
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
        rows += scored(around, seed, "seasonal_naive", "none", "none", NAIVE)
        control = NAIVE * COST["lyapunov_d4_l5"][1]
        rows += scored(around, seed, "seasonal_naive", "lyapunov_d4_l5", "oracle", control)
        made.evaluated(around, rows)
        train_taps(made, seed)
    design_filters(made)
    residuals = [
        {"study": "preconditioning", "run": "preconditioning/frozen/seasonal_naive", "benchmark": "gift_eval"}
        | {"task": task, "step": lag, "metric": "residual_autocovariance", "value": 3.0 * 0.5**lag}
        for task in TASKS
        for lag in range(HORIZON)
    ]
    write_parquet(made.path("residuals")[0], long_table(residuals), Provenance("residuals", {}))
    made.table(
        "preconditioning",
        {"runs": made.runs, "leakage": [made.leakage]},
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


def train_taps(made: Results, seed: int) -> None:
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


def design_filters(made: Results) -> None:
    fields = {"filters": FILTERS, "horizons": [1], "out": str(made.path("filters")[0])}
    tabulate(read(DesignRequest, fields, "request"))


def around_naive(folder: Path, scores: dict[tuple[str, str], float | Sequence[float]]) -> Results:
    """Seasonal naive without a filter and under each (filter, reversal), scored on the toy tasks."""
    made = Results(folder)
    rows = scored("frozen/seasonal_naive", 0, "seasonal_naive", "none", "none", 1.0)
    for (filter, reversal), factors in scores.items():
        rows += scored("frozen/seasonal_naive", 0, "seasonal_naive", filter, reversal, factors)
    made.evaluated("frozen/seasonal_naive", rows)
    design_filters(made)
    return made


def all_tables(made: Results) -> dict[str, pd.DataFrame]:
    """Every table of frozen forecasters."""
    runs = {"runs": made.runs, "leakage": [made.leakage], "filters": made.path("filters")}
    names = ("", "_steps", "_theory", "_theory_steps", "_best")
    found = {name: made.table(f"preconditioning{name}", runs) for name in names}
    found["_ranks"] = made.table("preconditioning_ranks", {"theory": made.path("preconditioning_theory")})
    inputs = {"summary": made.path("preconditioning"), "filters": made.path("filters")}
    found["_reversal"] = made.table("preconditioning_reversal", inputs)
    return found
