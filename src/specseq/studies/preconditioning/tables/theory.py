"""What the algebra predicts of a filter around a frozen forecaster, beside what was measured.

One row a (group, forecaster, filter, task), and one with the task ``all``: geometric means over tasks. Seeds
are pooled. Measured, as ratios of MASE:

- ``self_ratio``, ``oracle_ratio``: that reversal against the same forecaster without a filter;
- ``control_ratio``: seasonal naive under the same oracle against seasonal naive;
- ``self_over_oracle``: what undoing the filter with forecasts instead of the truth costs.

The oracle leaves the error E of the filtered-space forecast, self reversal e = E/A. Predicted, as means over
the steps t < H of the horizon of standard deviations:

- ``predicted_white`` of self_over_oracle, if E is white: the mean of √v(t), v(t) = Σ_{k ≤ t} h_k²;
- ``predicted_residual`` of self_over_oracle, if E has the autocovariance that the forecaster's errors have
  without a filter (measured before the test windows). Matched filters minimise it and hope that E is no
  larger than those errors, so that it is their self_ratio;
- ``predicted_oracle`` of oracle_ratio, if the forecaster commutes with the filter, as linear ones do: E is
  then the filtered error, whatever was learned, and self_ratio is 1.

The last two are NaN where there are no residuals.

Configs on which the forecaster without a filter has no error above zero are left out (``left_out`` counts
them). Filters whose self reversal diverged on any of the others have ``diverged`` true, and NaN for what was
measured of it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.filters import Filter, predicted_oracle_error, predicted_self_error
from specseq.report.pairing import scorable
from specseq.studies.preconditioning.tables.shared import (
    CONTROL,
    FROZEN,
    SIZES,
    Values,
    autocovariances,
    files,
    geometric,
    horizons,
    known_filters,
    read_runs,
    records,
    unfiltered,
    wide,
)

KEYS = ["benchmark", "group", "forecaster"]
MEASURED = ["self_ratio", "oracle_ratio", "control_ratio", "self_over_oracle"]
PREDICTED = ["predicted_white", "predicted_residual", "predicted_oracle"]


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``runs``, long evaluation results; ``filters``, the design stage's table; ``matched``, the
            same of filters designed for a run's residuals; ``residuals``, from which they were.
        params: ``scale``.
    """
    rows = read_runs(inputs["runs"])
    rows = rows[rows["group"].str.startswith(FROZEN)]
    steps = horizons(rows)
    errors = autocovariances(inputs.get("residuals", []))
    filters = known_filters(inputs["filters"], inputs.get("matched", []))
    sources = {key: files(own) for key, own in rows.groupby(["benchmark", "group"])}
    made = []
    for keys, own in _measured(wide(rows)).groupby([*KEYS, "filter"]):
        named = dict(zip([*KEYS, "filter"], map(str, keys), strict=True))
        filter, sizes = filters.get((named["group"], named["filter"])) or filters["", named["filter"]]
        single: list[dict[str, Any]] = []
        for row in records(own):
            autocovariance = errors.get((named["benchmark"], named["group"], row["task"]))
            horizon = steps[named["benchmark"], row["task"]]
            single.append(row | _predicted(filter, horizon, autocovariance))
        pooled = {name: geometric([row[name] for row in single]) for name in [*MEASURED, *PREDICTED]}
        together = {**named, "task": "all", **pooled, "diverged": own["diverged"].any()}
        together["left_out"] = own["left_out"].iloc[0]
        shared = {**sizes, "files": sources[named["benchmark"], named["group"]]}
        made += [{**row, **shared} for row in [together, *single]]
    columns = [*KEYS, "filter", "task", *SIZES, *MEASURED, *PREDICTED, "files", "diverged", "left_out"]
    return pd.DataFrame(made, columns=columns).astype({"diverged": bool}).assign(scale=params["scale"])


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Ratios by filter and task, seeds pooled; of forecasters that were scored under the self reversal."""
    if table.empty:
        return pd.DataFrame(columns=[*KEYS, "filter", "task", *MEASURED, "diverged", "left_out"])
    cell = [*KEYS, "task", "seed"]
    plain = unfiltered(table)[[*cell, "MASE"]].rename(columns={"MASE": "none"})
    reversed_ = table[table["reversal"].isin(["self", "oracle"])]
    both = reversed_.pivot(index=[*cell, "filter"], columns="reversal", values="MASE")
    both = both.reindex(columns=["self", "oracle"]).reset_index().merge(plain, on=cell)
    naive = both[both["forecaster"] == CONTROL]
    same = ["benchmark", "group", "filter", "task", "seed"]
    control = naive[same].assign(control=naive["oracle"] / naive["none"])
    both = both.merge(control, on=same, how="left")
    # Where there is only the oracle, it is the control of another forecaster.
    scored = reversed_.loc[reversed_["reversal"] == "self", [*cell, "filter", "diverged"]]
    both = both.merge(scored, on=[*cell, "filter"])
    usable = scorable(both["none"]).groupby([both[name] for name in [*KEYS, "task"]]).transform("all")
    unusable_tasks = both.assign(task=both["task"].where(~usable))
    both["left_out"] = unusable_tasks.groupby(KEYS)["task"].transform("nunique")
    both = both[usable]
    logs = pd.DataFrame(
        {
            "self_ratio": np.log(both["self"] / both["none"]),
            "oracle_ratio": np.log(both["oracle"] / both["none"]),
            "control_ratio": np.log(both["control"]),
            "self_over_oracle": np.log(both["self"] / both["oracle"]),
        }
    )
    keys = [*KEYS, "filter", "task"]
    # A seed that diverged makes the mean NaN.
    mean = pd.concat([both[keys], logs.fillna(np.inf)], axis=1).groupby(keys)[MEASURED].mean()
    found = mean.apply(np.exp).replace(np.inf, np.nan)
    return found.join(both.groupby(keys)[["diverged", "left_out"]].max()).reset_index()


def _predicted(filter: Filter, horizon: int, autocovariance: Values | None) -> dict[str, float]:
    white = float(np.sqrt(predicted_self_error(filter, np.ones(1), horizon)).mean())
    found = {"predicted_white": white, "predicted_residual": np.nan, "predicted_oracle": np.nan}
    if autocovariance is not None:
        self_error = predicted_self_error(filter, autocovariance, horizon)
        oracle_error = predicted_oracle_error(filter, autocovariance, horizon)
        found["predicted_residual"] = float(np.sqrt(self_error).mean())
        found["predicted_oracle"] = float(np.sqrt(oracle_error).mean())
    return found
