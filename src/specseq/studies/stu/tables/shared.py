"""What the tables of the STU study share."""

import pandas as pd

ATTENTION = "stu/layout/attention"


def baseline_of(group: str, baselines: dict[str, str]) -> str:
    """The group that was trained alike with attention alone."""
    return baselines.get(group, ATTENTION)


def mean_of(rows: pd.DataFrame, group: str) -> float:
    """Mean of a group's values; NaN where it has none."""
    return float(rows.loc[rows["group"] == group, "value"].mean())
