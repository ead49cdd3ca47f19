"""What the tables of the preconditioning study share: reading runs, naming them, ratios to a baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.benchmarks.comparison import compare
from specseq.report.tables.long_results import group_of
from specseq.tables import read_parquet

GROUP = ["benchmark", "group", "forecaster", "filter", "reversal"]
BASELINE = "preconditioning/baseline"
FROZEN = "preconditioning/frozen"


def read_runs(paths: Sequence[Path]) -> pd.DataFrame:
    """Long evaluation results with ``group``, the run without its seed.

    A trained model is named after its run, seed included. Under one name its seeds are pooled: ``trained``,
    and ``moirai2`` where it is the baseline with filters around it.
    """
    rows = pd.concat([read_parquet(path) for path in paths], ignore_index=True)
    rows["group"] = group_of(rows["run"])
    own = rows["forecaster"].str.contains(r"seed\d+$").to_numpy(bool)
    frozen = rows["group"].str.startswith(FROZEN).to_numpy(bool)
    rows.loc[own, "forecaster"] = np.where(frozen[own], "moirai2", "trained")
    return rows


def wide(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a (group, forecaster, filter, reversal, seed, task) with a column a metric."""
    keys = [*GROUP, "seed", "task"]
    whole = rows[rows["step"] == -1]
    metrics = whole.pivot(index=keys, columns="metric", values="value")
    filters = whole.groupby(keys)[["spectral_radius", "noise_gain"]].first()
    return metrics.join(filters).reset_index()


def unfiltered(rows: pd.DataFrame) -> pd.DataFrame:
    """The plain forecasts among the rows."""
    return rows[rows["reversal"] == "none"]


def matrix(rows: pd.DataFrame, column: str = "MASE") -> pd.DataFrame:
    """A metric by task and seed."""
    return rows.pivot(index="task", columns="seed", values=column)


def ratio(rows: pd.DataFrame, baseline: pd.DataFrame) -> dict[str, Any]:
    """MASE against a baseline's, paired over the tasks and seeds that both have, with its interval."""
    ours, theirs = matrix(rows), matrix(baseline)
    tasks, seeds = ours.index.intersection(theirs.index), ours.columns.intersection(theirs.columns)
    a, b = ours.loc[tasks, seeds].to_numpy(), theirs.loc[tasks, seeds].to_numpy()
    found: dict[str, Any] = dict.fromkeys(("ratio", "low", "high", "seed_sd"), np.nan)
    found |= {"paired_seeds": len(seeds), "wins": 0}
    if not a.size:
        return {**found, "verdict": "no baseline"}
    usable = (np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)).all(axis=1)
    if not usable.any():
        return {**found, "verdict": "diverged"}
    compared = compare(a, b)
    by_seed = np.log(a[usable] / b[usable]).mean(axis=0)
    found |= {name: getattr(compared, name) for name in ("ratio", "low", "high", "wins", "verdict")}
    found["seed_sd"] = float(by_seed.std(ddof=1)) if len(by_seed) > 1 else np.nan
    return found


def geometric(values: Any) -> float:
    """Geometric mean; NaN if a value is."""
    logs = np.log(np.asarray(values, dtype=float))
    return float(np.exp(logs.mean()))


def percent(value: Any) -> Any:
    """A ratio as a change in per cent."""
    return 100 * (value - 1)


def taps_text(taps: Sequence[float], digits: int = 4) -> str:
    """Taps as tables print them."""
    return "[" + ", ".join(f"{tap:.{digits}g}" for tap in taps) + "]"
