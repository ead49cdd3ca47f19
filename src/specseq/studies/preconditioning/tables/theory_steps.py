"""Predicted and measured cost of undoing a filter at each step of the horizon, config by config.

One row a (group, forecaster, filter, task, step), and one with the task ``all``: geometric means over the
tasks that reach the step. Seeds are pooled. Measured are ratios of the scaled absolute error of the median at
that step: ``self_ratio`` and ``oracle_ratio`` against the same forecaster without a filter, ``control_ratio``
of seasonal naive under the same oracle, and ``self_over_oracle``. They are NaN where a reversal diverged, in
``all`` if it did so on any of the tasks. Predicted of self_over_oracle at step t:

- ``predicted_white``: √v(t - 1), v(H) = Σ_{k ≤ H} h_k², if the error that the oracle leaves is white;
- ``predicted_residual``: the same if it has the autocovariance of the forecaster's errors without a filter;
- ``worst_case``: Σ_{k < t} |h_k|, which the largest error so far cannot be multiplied beyond.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from specseq.filters import Filter, impulse_response, predicted_self_error
from specseq.studies.preconditioning.tables.shared import (
    CONTROL,
    FROZEN,
    Values,
    autocovariances,
    files,
    horizons,
    known_filters,
    read_runs,
    step_errors,
    unfiltered,
)

KEYS = ["benchmark", "group", "forecaster", "filter"]
MEASURED = ["self_ratio", "oracle_ratio", "control_ratio", "self_over_oracle"]
PREDICTED = ["predicted_white", "predicted_residual", "worst_case"]


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: as the table ``preconditioning_theory`` takes them.
        params: ``scale``.
    """
    rows = read_runs(inputs["runs"])
    rows = rows[rows["group"].str.startswith(FROZEN)]
    filters = known_filters(inputs["filters"], inputs.get("matched", []))
    errors = autocovariances(inputs.get("residuals", []))
    lengths = horizons(rows)
    sources = {key: files(own) for key, own in rows.groupby(["benchmark", "group"])}
    made = []
    for keys, own in _measured(rows).groupby([*KEYS, "task"]):
        benchmark, group, _, name, task = map(str, keys)
        filter, _ = filters.get((group, name)) or filters["", name]
        law = laws(filter, lengths[benchmark, task], errors.get((benchmark, group, task)))
        places = own["step"].to_numpy() - 1
        made.append(own.assign(**{column: law[column][places] for column in PREDICTED}))
    columns = [*KEYS, "task", "step", *MEASURED, *PREDICTED]
    single = pd.concat(made, ignore_index=True) if made else pd.DataFrame(columns=columns)
    both = pd.concat([_pooled(single), single], ignore_index=True)[columns]
    both = both.replace({name: {np.inf: np.nan} for name in MEASURED})
    both["files"] = [sources[key] for key in zip(both["benchmark"], both["group"], strict=True)]
    return both.sort_values([*KEYS, "task", "step"], ignore_index=True).assign(scale=params["scale"])


def laws(filter: Filter, horizon: int, autocovariance: Values | None) -> dict[str, Values]:
    """Each prediction at the steps 1 … H, ``[H]``; ``predicted_residual`` is NaN without residuals."""
    strided = np.zeros(horizon)
    strided[:: filter.stride] = impulse_response(filter.array, -(-horizon // filter.stride))
    with np.errstate(over="ignore", invalid="ignore"):
        found = {"predicted_white": np.sqrt(np.cumsum(strided**2)), "worst_case": np.abs(strided).cumsum()}
    found["predicted_residual"] = np.full(horizon, np.nan)
    if autocovariance is not None:
        found["predicted_residual"] = np.sqrt(predicted_self_error(filter, autocovariance, horizon))
    return found


def _measured(rows: pd.DataFrame) -> pd.DataFrame:
    """Ratios by filter, task and step, seeds pooled; of forecasters scored under the self reversal."""
    rows = step_errors(rows)
    cell = ["benchmark", "group", "seed", "task", "step"]
    plain = unfiltered(rows)[[*cell, "forecaster", "value"]].rename(columns={"value": "none"})
    plain = plain[np.isfinite(plain["none"])]
    chosen = rows[rows["reversal"].isin(["self", "oracle"])]
    both = chosen.pivot(index=[*cell, "forecaster", "filter"], columns="reversal", values="value")
    both = both.reindex(columns=["self", "oracle"]).reset_index().merge(plain, on=[*cell, "forecaster"])
    naive = both[both["forecaster"] == CONTROL]
    control = naive[[*cell, "filter"]].assign(control=naive["oracle"] / naive["none"])
    both = both.merge(control, on=[*cell, "filter"], how="left")
    both = both.merge(both.loc[both["self"].notna(), KEYS].drop_duplicates(), on=KEYS)
    lost = np.isinf(both["self"]) | np.isinf(both["oracle"])
    ratios = {
        "self_ratio": both["self"] / both["none"],
        "oracle_ratio": both["oracle"] / both["none"],
        "control_ratio": both["control"],
        "self_over_oracle": (both["self"] / both["oracle"]).mask(lost, np.inf),
    }
    logs = both[[*KEYS, "task", "step"]].assign(**{name: np.log(value) for name, value in ratios.items()})
    mean = logs.groupby([*KEYS, "task", "step"])[MEASURED].mean()
    return mean.apply(np.exp).reset_index()


def _pooled(single: pd.DataFrame) -> pd.DataFrame:
    names = [*MEASURED, *PREDICTED]
    logs = single[[*KEYS, "step"]].assign(**{name: np.log(single[name].astype(float)) for name in names})
    mean = logs.groupby([*KEYS, "step"])[names].mean()
    return mean.apply(np.exp).reset_index().assign(task="all")
