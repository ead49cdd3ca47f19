"""How baseline and hybrids learned, under either schedule."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import counted
from specseq.studies.stu.figures.shared import colour, in_order, label
from specseq.tables import read_parquet

SCHEDULES = {
    "stu/layout/": "10 % warm-up, cosine to 0",
    "stu/as_printed/": "warm-up as long as the run, as printed",
}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Smoothed training loss over steps, mean over seeds with their range; one panel a schedule that was run.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    long = read_parquet(inputs["long"][0])
    rows = long[(long["benchmark"] == "pretrain") & (long["metric"] == "standardised_nll")]
    shown = {start: title for start, title in SCHEDULES.items() if rows["group"].str.startswith(start).any()}
    width = max(7.2, 4.8 * len(shown))
    figure, axes = plt.subplots(1, max(1, len(shown)), figsize=(width, 4.4), sharey=True, squeeze=False)
    for panel, (start, title) in zip(axes[0], shown.items(), strict=False):
        _panel(panel, rows[rows["group"].str.startswith(start)])
        panel.set(title=title, xlabel="optimiser steps")
    axes[0, 0].set_ylabel("standardised NLL (nats a point)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    for group in in_order(rows["group"].unique()):
        own = rows[rows["group"] == group]
        curves = own.pivot(index="step", columns="seed", values="value")
        smooth = curves.ewm(halflife=max(1.0, len(curves) / 20)).mean()
        axes.plot(smooth.index, smooth.mean(axis=1), color=colour(group), label=label(group))
        axes.fill_between(
            smooth.index, smooth.min(axis=1), smooth.max(axis=1), color=colour(group), alpha=0.12, lw=0
        )
    axes.text(
        0.98, 0.96, counted(rows["seed"].nunique(), "seeds"), transform=axes.transAxes, ha="right", va="top"
    )
