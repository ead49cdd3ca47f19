"""What spectral mixing costs beside attention."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import sample_sizes
from specseq.studies.stu.figures.shared import in_order, label
from specseq.tables import read_parquet

PANELS = {"step_seconds": "whole training step", "mixing_seconds": "token mixing, all layers"}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """CPU milliseconds of a training step and of its mixing, one dot a seed; models of a seed took turns.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    long = read_parquet(inputs["long"][0])
    rows = long[(long["benchmark"] == "measurement") & long["group"].str.startswith("stu/layout/")]
    groups = in_order(rows.loc[rows["metric"] == "step_seconds", "group"].unique())
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 1.6 + 0.32 * max(1, len(groups))), sharey=True)
    for panel, (metric, title) in zip(axes, PANELS.items(), strict=True):
        _panel(panel, rows[rows["metric"] == metric], groups)
        panel.set(title=title, xlabel="CPU time (ms), one thread")
    axes[0].set_yticks(range(len(groups)), [label(group) for group in groups])
    axes[0].invert_yaxis()
    sample_sizes(figure, seeds=rows["seed"].nunique())
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, groups: list[str]) -> None:
    baseline = 1000 * rows.loc[rows["group"] == "stu/layout/attention", "value"].median()
    axes.axvline(baseline, color="0.4", lw=1)
    for place, group in enumerate(groups):
        values = 1000 * rows.loc[rows["group"] == group, "value"].to_numpy()
        axes.plot(values, np.full(len(values), place), "o", color="C0", alpha=0.7, ms=5)
        note = f"{np.median(values) / baseline:.2f}×"
        axes.annotate(
            note,
            (values.max(), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"},
        )
    axes.set_xlim(0, 1250 * rows["value"].max())
