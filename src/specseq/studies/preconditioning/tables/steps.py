"""Error by horizon step: each filter and reversal against the same forecaster without a filter.

One row a (group, forecaster, filter, reversal, horizon step), seeds and configs pooled. ``error`` is the
geometric mean over configs of the scaled absolute error of the median, ``ratio`` that of its ratio to the
plain forecast of the same model at the same step, or for a trained model to the baseline's; ``low`` and
``high`` are Student's 95 % interval over configs. Configs end at their horizons, so later steps stand on
fewer of them (``configs``). A step that was lost on a config, because the reversal diverged there, has no
numbers. Beside an oracle's ratio stands in ``control`` that of seasonal naive under the same oracle.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from specseq.studies.preconditioning.tables.shared import (
    BASELINE,
    GROUP,
    controls,
    files,
    read_runs,
    step_errors,
)

NUMBERS = ("error", "ratio", "low", "high")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``runs``, long evaluation results.
        params: ``scale``; ``baselines``, group -> the group it is compared with where that is another.
    """
    rows = read_runs(inputs["runs"])
    rows = step_errors(rows)
    against = rows["group"].map(params.get("baselines", {})).fillna(BASELINE)
    rows["against"] = against.where(rows["forecaster"] == "trained", rows["group"])
    cell = ["benchmark", "seed", "task", "step", "forecaster"]
    plain = rows.loc[(rows["reversal"] == "none") & np.isfinite(rows["value"]), [*cell, "group", "value"]]
    plain = plain.rename(columns={"group": "against", "value": "plain"})
    rows = rows.merge(plain, on=[*cell, "against"])
    rows["log_ratio"], rows["log_error"] = np.log(rows["value"] / rows["plain"]), np.log(rows["value"])
    # Seeds first, so that what is left to vary is the config.
    by_task = rows.groupby([*GROUP, "step", "task"], as_index=False)[["log_ratio", "log_error"]].mean()
    grouped = by_task.groupby([*GROUP, "step"])
    made = grouped["log_ratio"].agg(["mean", "std", "size"])
    reach = stdtrit(made["size"] - 1, 0.975) * made["std"] / np.sqrt(made["size"])
    table = pd.DataFrame(
        {
            "configs": made["size"],
            "error": np.exp(grouped["log_error"].mean()),
            "ratio": np.exp(made["mean"]),
            "low": np.exp(made["mean"] - reach),
            "high": np.exp(made["mean"] + reach),
        }
    )
    table = table.reset_index().replace({name: {np.inf: np.nan} for name in NUMBERS})
    sources = {key: files(own) for key, own in rows.groupby(["benchmark", "group"])}
    table["control"] = controls(table, ["benchmark", "step"], "ratio")
    table["files"] = [sources[key] for key in zip(table["benchmark"], table["group"], strict=True)]
    return table.assign(scale=params["scale"])
