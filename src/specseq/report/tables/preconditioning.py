"""Every run, filter and reversal of the preconditioning study beside its baseline.

One row a (run group, forecaster, filter, reversal), seeds pooled. ``mase_raw`` and ``crps_raw`` are plain
geometric means over configs and seeds; ``mase_normalised`` divides each config by seasonal naive first. The
ratio compares MASE with the plain forecast of the baseline, paired over configs and seeds, with a bootstrap
interval over both. Oracle rows use future data and are no forecasts; beside each stands seasonal naive under
the same oracle.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.benchmarks.comparison import compare
from specseq.errors import InputError
from specseq.tables import read_parquet

GROUP = ["benchmark", "group", "forecaster", "filter", "reversal"]
BASELINE = "preconditioning/baseline"


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``runs``, long evaluation results.
        params: ``scale``.
    """
    rows = pd.concat([read_parquet(path) for path in inputs["runs"]], ignore_index=True)
    rows["group"] = rows["run"].str.replace(r"_?seed\d+$", "", regex=True).str.rstrip("/")
    # A trained model is named after its run, seed included; under one name, its seeds are pooled.
    rows.loc[rows["forecaster"].str.contains(r"seed\d+$"), "forecaster"] = "trained"
    wide = rows.pivot_table(
        index=[*GROUP, "seed", "task", "spectral_radius", "noise_gain"],
        columns="metric",
        values="value",
        dropna=False,
        observed=True,
    )
    wide = wide.dropna(how="all").reset_index()
    naive = _seasonal_naive(wide)
    made = [
        {**dict(zip(GROUP, keys, strict=True)), **_summary(rows_, wide, naive)}
        for keys, rows_ in wide.groupby(GROUP, sort=True, observed=True)
    ]
    table = pd.DataFrame(made)
    table["scale"] = params["scale"]
    return table


def _seasonal_naive(wide: pd.DataFrame) -> pd.DataFrame:
    plain = wide[(wide["forecaster"] == "seasonal_naive") & (wide["reversal"] == "none")]
    if plain.empty:
        raise InputError(
            "preconditioning table", "no plain seasonal naive among the runs", "add it to a sweep"
        )
    return plain.drop_duplicates(["benchmark", "task"]).set_index(["benchmark", "task"])


def _baseline(rows: pd.DataFrame, wide: pd.DataFrame) -> pd.DataFrame:
    """What a row is compared with: a trained model with the baseline, any other with itself unfiltered."""
    first = rows.iloc[0]
    same = wide[(wide["benchmark"] == first["benchmark"]) & (wide["reversal"] == "none")]
    if first["forecaster"] == "trained":
        return same[(same["group"] == BASELINE) & (same["forecaster"] == "trained")]
    own = same[same["forecaster"] == first["forecaster"]]
    return own.drop_duplicates("task").assign(seed=-1)


def _summary(rows: pd.DataFrame, wide: pd.DataFrame, naive: pd.DataFrame) -> dict[str, Any]:
    reference = naive.loc[rows.iloc[0]["benchmark"]]
    relative = rows["MASE"].to_numpy() / reference.loc[rows["task"], "MASE"].to_numpy()
    baseline = _baseline(rows, wide)
    pooled = rows.assign(seed=-1) if set(baseline["seed"]) == {-1} else rows
    ratio = _ratio(pooled, baseline)
    return {
        "configs": rows["task"].nunique(),
        "seeds": rows["seed"].nunique(),
        "spectral_radius": rows["spectral_radius"].iloc[0],
        "noise_gain": rows["noise_gain"].iloc[0],
        "mase_raw": _geometric(rows["MASE"]),
        "mase_normalised": _geometric(relative),
        "crps_raw": _geometric(rows["CRPS"]),
        **ratio,
    }


def _geometric(values: Any) -> float:
    logs = np.log(np.asarray(values, dtype=float))
    return float(np.exp(logs.mean()))


def _ratio(rows: pd.DataFrame, baseline: pd.DataFrame) -> dict[str, Any]:
    ours = rows.pivot_table(index="task", columns="seed", values="MASE", dropna=False)
    theirs = baseline.pivot_table(index="task", columns="seed", values="MASE", dropna=False)
    tasks, seeds = ours.index.intersection(theirs.index), ours.columns.intersection(theirs.columns)
    a, b = ours.loc[tasks, seeds].to_numpy(), theirs.loc[tasks, seeds].to_numpy()
    if not a.size or not np.isfinite(a).any():
        return {"ratio": np.nan, "low": np.nan, "high": np.nan, "wins": 0, "verdict": "diverged"}
    found = compare(a, b)
    return {
        "ratio": found.ratio,
        "low": found.low,
        "high": found.high,
        "wins": found.wins,
        "verdict": found.verdict,
    }
