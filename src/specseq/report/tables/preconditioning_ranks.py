"""What orders the cost of self reversal: Spearman's correlation over filters, with a bootstrap interval.

One row a (group, forecaster, measured quantity, size, set of filters). Measured are ``self_ratio`` and
``self_over_oracle``, the gap, as in the table ``preconditioning_theory``; sizes are those of the filter and
the two predictions. A reversal that diverged is the costliest of all. The set ``stable`` leaves out filters
whose reversal is unstable. Intervals resample tasks; the filters stay.
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
    number, tasks = len(pooled), single["task"].nunique()
    if number < 3:
        return []
    shares = generator(0, "ranks", tasks).multinomial(tasks, np.full(tasks, 1 / tasks), RESAMPLES) / tasks
    made = []
    for quantity in QUANTITIES:
        costs = single.pivot(index="filter", columns="task", values=quantity).loc[pooled.index].to_numpy()
        logs_FT = np.log(np.where(np.isnan(costs), np.inf, costs))
        measured_F = logs_FT.mean(axis=1)
        # An infinite cost stays infinite in every resample that holds it; elsewhere it must not spread.
        finite_FT = np.where(np.isinf(logs_FT), 1e6, logs_FT)
        resampled_RF = shares @ finite_FT.T
        for size in PREDICTORS:
            sizes_F = pooled[size].to_numpy(float)
            if np.isnan(sizes_F).any():
                continue
            value = float(spearman(measured_F[None], sizes_F)[0])
            low, high = np.nanquantile(spearman(resampled_RF, sizes_F), [0.025, 0.975])
            made.append(
                {"quantity": quantity, "size": size, "number": number, "tasks": tasks}
                | {"spearman": value, "low": float(low), "high": float(high)}
            )
    return made


def spearman(values_RF: Values, against_F: Values) -> Values:
    """Rank correlation of each row with one vector, ties at their mean rank; NaN where one is constant."""
    from scipy.stats import rankdata

    ranks_RF, other_F = rankdata(values_RF, axis=1), rankdata(against_F)
    ranks_RF = ranks_RF - ranks_RF.mean(axis=1, keepdims=True)
    other_F = other_F - other_F.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        norms = np.sqrt((ranks_RF**2).sum(axis=1) * (other_F**2).sum())
        return np.asarray(ranks_RF @ other_F / norms)
