"""What orders the cost of self reversal: Spearman's correlation over filters, with a bootstrap interval.

One row a (group, forecaster, measured quantity, size, set of filters). Measured are ``self_ratio`` and
``self_over_oracle``, the gap, as in the table ``preconditioning_theory``; sizes are those of the filter and
the two predictions. A reversal that diverged is the costliest of all. The set ``stable`` leaves out filters
whose reversal is unstable. Intervals resample tasks, of which they want two; the filters stay. Where the
filters cost all the same, because all diverged, nothing orders them and the correlation is NaN.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.seeding import generator
from specseq.tables import read_parquet

QUANTITIES = ("self_ratio", "self_over_oracle")
PREDICTORS = (
    *("absolute_gain", "noise_gain", "tap_sum", "tap_norm", "tap_max"),
    *("predicted_white", "predicted_residual"),
)
RESAMPLES = 2000
COLUMNS = [
    *("benchmark", "group", "forecaster", "quantity", "size", "filters", "number", "tasks"),
    *("spearman", "low", "high", "files", "scale"),
]
Values = NDArray[np.float64]


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``theory``, the table ``preconditioning_theory``.
        params: ``scale``.
    """
    table = read_parquet(inputs["theory"][0])
    made = []
    for keys, own in table.groupby(["benchmark", "group", "forecaster"]):
        named = dict(zip(("benchmark", "group", "forecaster"), keys, strict=True))
        for name, rows in (("all", own), ("stable", own[own["spectral_radius"] < 1])):
            shared = {**named, "filters": name, "files": own["files"].iloc[0]}
            made += [shared | found for found in _correlations(rows)]
    return pd.DataFrame(made, columns=COLUMNS[:-1]).assign(scale=params["scale"])


def _correlations(rows: pd.DataFrame) -> list[dict[str, Any]]:
    pooled = rows[rows["task"] == "all"].set_index("filter")
    single = rows[rows["task"] != "all"]
    if len(pooled) < 3:
        return []
    made = []
    for quantity in QUANTITIES:
        logs_FT = _log_costs(single, quantity).loc[pooled.index].to_numpy()
        tasks = logs_FT.shape[1]
        if not tasks:
            continue
        shares = generator(0, "ranks", tasks).multinomial(tasks, np.full(tasks, 1 / tasks), RESAMPLES) / tasks
        measured_F = logs_FT.mean(axis=1)
        # An infinite cost stays infinite in every resample that holds it; elsewhere it must not spread.
        infinite_FT = np.isinf(logs_FT)
        resampled_RF = shares @ np.where(infinite_FT, 0, logs_FT).T
        resampled_RF[shares @ infinite_FT.T > 0] = np.inf
        for size in PREDICTORS:
            sizes_F = pooled[size].to_numpy(float)
            if np.isnan(sizes_F).any():
                continue
            value, low, high = float(spearman(measured_F[None], sizes_F)[0]), np.nan, np.nan
            if tasks > 1 and np.isfinite(value):
                low, high = np.nanquantile(spearman(resampled_RF, sizes_F), [0.025, 0.975])
            made.append(
                {"quantity": quantity, "size": size, "number": len(pooled), "tasks": tasks}
                | {"spearman": value, "low": float(low), "high": float(high)}
            )
    return made


def _log_costs(single: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Logarithms by filter and task, infinite where the reversal diverged; of tasks measured for all."""
    logs = single.assign(cost=np.log(single[quantity].mask(single["diverged"], np.inf)))
    return logs.pivot(index="filter", columns="task", values="cost").dropna(axis=1)


def spearman(values_RF: Values, against_F: Values) -> Values:
    """Rank correlation of each row with one vector, ties at their mean rank; NaN where one is constant."""
    from scipy.stats import rankdata

    ranks_RF, other_F = rankdata(values_RF, axis=1), rankdata(against_F)
    ranks_RF = ranks_RF - ranks_RF.mean(axis=1, keepdims=True)
    other_F = other_F - other_F.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.sqrt((ranks_RF**2).sum(axis=1) * (other_F**2).sum())
        return np.asarray(ranks_RF @ other_F / norms)
