"""Learned taps along training."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from specseq.report.style import sample_sizes
from specseq.report.tidy import group_of
from specseq.tables import read_parquet

COLUMNS = 4


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """A panel a group of runs with learned taps; lines are means over seeds, bands their range.

    Args:
        inputs: ``runs``, the training metrics of each run; ``filters``, the design stage's table, for
            the taps of Lyapunov d = 4, λ = 5 beside the learned ones.
        params: none.
    """
    rows = pd.concat([read_parquet(path) for path in inputs["runs"]], ignore_index=True)
    rows = rows[rows["metric"].str.fullmatch(r"tap_\d+")]
    rows["group"] = group_of(rows["run"]).str.removeprefix("preconditioning/")
    groups = list(rows["group"].unique())
    lines = max(-(-len(groups) // COLUMNS), 1)
    width = min(max(len(groups), 1), COLUMNS)
    figure, panels = plt.subplots(
        lines, width, figsize=(2.7 * max(width, 2), 2.9 * lines), squeeze=False, sharey=True
    )
    filters = read_parquet(inputs["filters"][0]).set_index("name")["taps"]
    designed = list(filters.get("lyapunov_d4_l5", []))
    for axes, group in zip(panels.flat, groups, strict=False):
        own = rows[rows["group"] == group]
        for name, of_tap in own.groupby("metric"):
            number = int(str(name).removeprefix("tap_"))
            curves = of_tap.pivot(index="step", columns="seed", values="value")
            colour = f"C{(number - 1) % 8}"
            axes.plot(curves.index, curves.mean(axis=1), color=colour, label=f"c$_{{{number}}}$")
            axes.fill_between(
                curves.index, curves.min(axis=1), curves.max(axis=1), color=colour, alpha=0.2, lw=0
            )
            if number <= len(designed):
                axes.plot(curves.index[-1] * 1.03, designed[number - 1], "<", color=colour, ms=6)
        axes.axhline(0, color="0.4", lw=0.8)
        axes.set(title=group, xlabel="optimiser steps")
        axes.title.set_fontsize(8.5)
    for axes in list(panels.flat)[len(groups) :]:
        axes.set_visible(False)
    panels[0][0].set(ylabel="tap")
    longest = max(panels.flat, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    figure.legend(*longest.get_legend_handles_labels(), loc="outside lower center", ncols=8)
    sample_sizes(figure, seeds=rows["seed"].nunique())
    figure.suptitle("learned taps; triangles: Lyapunov d = 4, λ = 5", fontsize=10)
    return figure
