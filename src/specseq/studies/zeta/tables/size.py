"""What more training data are worth to the spectral model.

One row a run group of the sweep ``size`` and of the spectral runs of ``beyond``, seeds pooled:

- ``seeds`` that were scored, and those that ``diverged``, of which nothing is;
- ``training_spacings``: different spacings to train on; ``spacings_read``: how many were read in training;
- ``nll``, ``mae`` of the test band over all positions, ``nll_long``, ``mae_long`` with at least half a window
  known, ``err_10`` and ``err_100`` of mean rollouts from the longest context: means over seeds;
- ``<metric>_low`` and ``<metric>_high``: the least and the greatest of the seeds, or the block-bootstrap
  interval of a single one.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.studies.zeta.tables.summary import seeds_of
from specseq.tables import read_parquet

RUNS = ("zeta/size/", "zeta/beyond/spectral")
COUNTS = ("training_spacings", "spacings_read")
METRICS = ("nll", "nll_long", "mae", "mae_long")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``long``, all results of the study.
        params: ``scale``.
    """
    long = read_parquet(inputs["long"][0])
    long = long[(long["benchmark"] == "rollout") & long["run"].str.startswith(RUNS)]
    rows = [
        {"group": group, "set": str(task).split("/")[0], **_summary(own), "scale": params["scale"]}
        for (group, task), own in long.groupby(["group", "task"], sort=False)
    ]
    table = pd.DataFrame(rows)
    if table.empty:
        return table
    # Whole numbers that may be missing: a group may have no run that was scored.
    whole = table.astype(dict.fromkeys(COUNTS, "Int64"))
    return whole.sort_values(["set", "training_spacings"], ignore_index=True)


def _summary(own: pd.DataFrame) -> dict[str, Any]:
    made: dict[str, Any] = seeds_of(own)
    for count in COUNTS:
        made[count] = own.loc[own["metric"] == count, "value"].max()
    errors = own[own["metric"].str.startswith("err_mean")]
    errors = errors[errors["context"] == errors["context"].max()]
    for step in (10, 100):
        at = errors[errors["step"] == step]
        made |= _band(at.assign(metric=at["metric"].str.replace("err_mean", f"err_{step}")), f"err_{step}")
    for metric in METRICS:
        made |= _band(own, metric)
    return made


def _band(own: pd.DataFrame, metric: str) -> dict[str, float]:
    values, low, high = (
        own.loc[own["metric"] == name, "value"] for name in (metric, f"{metric}_low", f"{metric}_high")
    )
    if len(values) > 1:
        low, high = values, values
    return {metric: values.mean(), f"{metric}_low": low.min(), f"{metric}_high": high.max()}
