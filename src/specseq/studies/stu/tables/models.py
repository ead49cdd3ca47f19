"""What the STU study's models cost, lose and leak: one row a group, seeds pooled.

All of it is measured on the same batches (stage ``measure``). Columns:

- ``parameters`` and ``parameter_ratio`` to ``baseline``, which was trained alike with attention alone;
- ``nll``: the standardised negative log-likelihood after training; ``nll_difference`` from the baseline's,
  the mean over paired seeds, with Student's 95 % interval ``nll_low`` to ``nll_high`` (NaN for one seed);
- ``step_ratio``, ``mixing_ratio``: CPU seconds of a training step, and of its token mixing, over the
  baseline's, mean over paired seeds; ``steps_per_second``;
- ``packing_error``, ``alone_error``, ``causality_error``, ``causality_error_circular``: the largest of all
  seeds;
- ``diverged``: runs that were ended early.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.scoring.comparison import student_interval
from specseq.studies.stu.tables.shared import baseline_of
from specseq.tables import read_parquet

COSTS = ("step_seconds", "mixing_seconds")
MEASURED = ("parameters", "standardised_nll", *COSTS, "steps_per_second")
LEAKS = ("packing_error", "alone_error", "causality_error", "causality_error_circular")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``long``, all results of the study.
        params: ``scale``; ``baselines``, group -> the group it is compared with where that is not
            ``stu/layout/attention``.
    """
    long = read_parquet(inputs["long"][0])
    whole = long[(long["benchmark"] == "measurement") & (long["step"] == -1)]
    wide = whole.pivot(index=["group", "seed"], columns="metric", values="value")
    wide = wide.reindex(columns=[*MEASURED, *LEAKS, "diverged"])
    groups = list(dict.fromkeys(whole["group"]))
    rows = [_row(wide, group, baseline_of(group, params.get("baselines", {}))) for group in groups]
    return pd.DataFrame(rows).assign(scale=params["scale"])


def _row(wide: pd.DataFrame, group: str, baseline: str) -> dict[str, Any]:
    own, other = (
        wide[wide.index.get_level_values("group") == name].droplevel("group") for name in (group, baseline)
    )
    seeds = own.index.intersection(other.index)
    ours, theirs = own.loc[seeds], other.loc[seeds]
    difference = (ours["standardised_nll"] - theirs["standardised_nll"]).dropna()
    low, high = student_interval(difference.to_numpy())
    ratios = {name: float((ours[name] / theirs[name]).mean()) for name in ("parameters", *COSTS)}
    return {
        "group": group,
        "baseline": baseline,
        "seeds": len(own),
        "parameters": own["parameters"].mean(),
        "parameter_ratio": ratios["parameters"],
        "nll": own["standardised_nll"].mean(),
        "nll_difference": difference.mean(),
        "nll_low": low,
        "nll_high": high,
        "step_ratio": ratios["step_seconds"],
        "mixing_ratio": ratios["mixing_seconds"],
        "steps_per_second": own["steps_per_second"].mean(),
        **{name: float(own[name].max()) for name in LEAKS},
        "diverged": int(own["diverged"].sum()),
    }
