"""How the runs of the preconditioning study learned: training loss over steps."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from specseq.report.style import counted, line
from specseq.report.tidy import group_of
from specseq.tables import read_parquet


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """One line a run group: the smoothed loss, mean over seeds, with the range of the seeds.

    Losses of runs in a filtered space are in units of their own; the figure shows convergence, not rank.

    Args:
        inputs: ``runs``, the training metrics of each run.
        params: none.
    """
    rows = pd.concat([read_parquet(path) for path in inputs["runs"]], ignore_index=True)
    rows = rows[rows["metric"] == "loss"]
    rows["group"] = group_of(rows["run"]).str.removeprefix("preconditioning/")
    seeds = rows["seed"].nunique()
    figure, axes = plt.subplots(figsize=(7.2, 4.6))
    for number, (group, own) in enumerate(rows.groupby("group", sort=False)):
        curves = own.pivot_table(index="step", columns="seed", values="value")
        smooth = curves.ewm(halflife=max(1.0, len(curves) / 20)).mean()
        colour, dashes = line(number)
        axes.plot(smooth.index, smooth.mean(axis=1), dashes, color=colour, label=str(group))
        low, high = smooth.min(axis=1), smooth.max(axis=1)
        axes.fill_between(smooth.index, low, high, color=colour, alpha=0.15, lw=0)
    axes.set(xlabel="optimiser steps", ylabel="quantile loss (scaled units)")
    axes.set_title(f"training loss, exponentially smoothed; mean and range of {counted(seeds, 'seeds')}")
    figure.legend(loc="outside lower center", ncols=4, fontsize=7.5)
    return figure
