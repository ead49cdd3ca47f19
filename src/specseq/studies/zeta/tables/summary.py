"""Every model of the zeta study beside the reference predictors.

One row a run group and test set, seeds pooled: ``seeds`` counts those that were scored, ``diverged`` those
whose training was ended early, of which nothing is scored. ``length`` is the model's window in spacings,
``windows`` how many of them a seed was scored on. ``nll``, ``mae``, ``crps`` one step ahead over all
positions of a window, ``nll_long`` with at least half of it known, ``err_10`` and ``err_100`` of mean
rollouts from ``context``, the longest there is, each the mean over seeds: of models of different ``length``
they do not compare. ``nll_low`` and ``nll_high`` bound the NLL: Student's interval over seeds where there
are several, the block bootstrap of the test band otherwise. ``leak`` is NLL
without the future less NLL with it at the longest context. ``causality_violation`` is the largest change of
an output by a later input, in float64; where it is zero, so is the leak: what the two float32 scores then
differ by is rounding.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.scoring.comparison import student_interval
from specseq.tables import read_parquet

# Whole numbers that may be missing: a reference has no window, a run that diverged is not rolled out.
COUNTS = ("length", "windows", "context")
MEANS = ("nll", "nll_long", "mae", "crps", "pit_mean", "pit_std", "predictive_entropy")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``long``, all results of the study.
        params: ``scale``.
    """
    long = read_parquet(inputs["long"][0])
    long = long[long["benchmark"] == "rollout"]
    rows = [
        {"group": group, "set": str(task).split("/")[0], **_summary(own), "scale": params["scale"]}
        for (group, task), own in long.groupby(["group", "task"], sort=False)
        if group != "zeta/references/data"
    ]
    return pd.DataFrame(rows).astype(dict.fromkeys(COUNTS, "Int64"))


def _summary(own: pd.DataFrame) -> dict[str, Any]:
    made: dict[str, Any] = {**seeds_of(own), "length": own["length"].max(), "windows": _mean(own, "windows")}
    for metric in MEANS:
        made[metric] = _mean(own, metric)
    made["nll_low"], made["nll_high"] = _interval(own)
    errors = own[own["metric"] == "err_mean"]
    made["context"] = errors["context"].max()
    errors = errors[errors["context"] == made["context"]]
    for step in (10, 100):
        made[f"err_{step}"] = float(errors.loc[errors["step"] == step, "value"].mean())
    made["causality_violation"] = float(own.loc[own["metric"] == "causality_violation", "value"].max())
    made["leak"] = 0.0 if made["causality_violation"] == 0 else _leak(own)
    return made


def seeds_of(own: pd.DataFrame) -> dict[str, int]:
    """How many seeds of a group were scored, and how many diverged."""
    # A constant predictor has an error, but no likelihood.
    counted = {"seeds": ["nll", "mae"], "diverged": ["diverged"]}
    return {name: own.loc[own["metric"].isin(metrics), "seed"].nunique() for name, metrics in counted.items()}


def _mean(own: pd.DataFrame, metric: str) -> float:
    return float(own.loc[own["metric"] == metric, "value"].mean())


def _interval(own: pd.DataFrame) -> tuple[float, float]:
    values = own.loc[own["metric"] == "nll"].groupby("seed")["value"].mean().to_numpy()
    if len(values) < 2:
        return _mean(own, "nll_low"), _mean(own, "nll_high")
    return student_interval(values)


def _leak(own: pd.DataFrame) -> float:
    known, cut = (
        own[own["metric"] == name].groupby("context")["value"].mean() for name in ("nll_at", "nll_truncated")
    )
    shared = known.index.intersection(cut.index)
    return float(cut[shared[-1]] - known[shared[-1]]) if len(shared) else float("nan")
