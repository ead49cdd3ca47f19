"""The trained configurations: how they learned, what taps they learned, how they compare."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.gates import UNDECIDABLE
from specseq.report.style import banded, counted, line, plain_log, sample_sizes, smoothed, spread, whiskers
from specseq.report.tidy import group_of
from specseq.tables import read_all, read_parquet

PANELS_PER_LINE = 4
LARGEST = 2.0
COLOURS = {"better": "C2", "worse": "C1", "undecided": "0.35", UNDECIDABLE: "0.7"}


def training(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """One line per run group: the smoothed loss, mean over seeds, with the range of the seeds.

    Losses of runs in a filtered space are in units of their own, and penalties are part of them; the figure
    shows convergence, not rank.
    """
    rows = read_all(inputs["runs"], pc.field("metric") == "loss")
    rows["group"] = group_of(rows["run"]).str.removeprefix("preconditioning/")
    seeds = rows["seed"].nunique()
    figure, axes = plt.subplots(figsize=(7.2, 3.8 + 0.045 * rows["group"].nunique()))
    for number, (group, own) in enumerate(rows.groupby("group", sort=False)):
        curves = smoothed(own.pivot_table(index="step", columns="seed", values="value"))
        colour, dashes = line(number)
        banded(axes, curves, dashes, color=colour, label=str(group))
    axes.set(xlabel="optimiser steps", ylabel="loss with penalties (scaled units)", yscale="log")
    plain_log(axes.yaxis)
    axes.set_title(f"training loss, exponentially smoothed; mean and range of {counted(seeds, 'seeds')}")
    figure.legend(loc="outside lower center", ncols=4, fontsize=7.5)
    return figure


def coefficients(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """One panel per group of runs with learned taps; lines are means over seeds, bands their range."""
    rows = read_all(inputs["runs"], pc.match_substring_regex(pc.field("metric"), r"^tap_\d+$"))
    rows["group"] = group_of(rows["run"]).str.removeprefix("preconditioning/")
    groups = list(rows["group"].unique())
    lines = max(-(-len(groups) // PANELS_PER_LINE), 1)
    width = min(max(len(groups), 1), PANELS_PER_LINE)
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
            banded(axes, curves, band=0.2, color=colour, label=f"c$_{{{number}}}$")
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


def forest(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Two panels of paired ratios of MASE with 95 % intervals: trained runs; self reversal of frozen ones.

    A dashed line is seasonal naive relative to each baseline: left of 1, the baseline is worse and decides
    nothing.
    """
    table = read_parquet(inputs["summary"][0])
    trained = table[(table["forecaster"] == "trained") & (table["reversal"] == "none")]
    trained = trained[trained["group"] != trained["baseline"]]
    frozen = table[table["group"].str.startswith("preconditioning/frozen") & (table["reversal"] == "self")]
    labels = frozen["filter"] + " (" + frozen["forecaster"] + ")"
    drawn = max(int(np.isfinite(part["ratio"]).sum()) for part in (trained, frozen))
    height = 1.6 + 0.19 * drawn
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, height))
    _forest_panel(left, trained, trained["group"].str.removeprefix("preconditioning/"))
    _forest_panel(right, frozen, labels)
    left.set_title("trained with the filter, against the trained baseline")
    right.set_title("filter around a frozen forecaster, self reversal")
    if len(table):
        # Beside the axes: where there are many rows, no corner is free.
        longest = max((left, right), key=lambda panel: len(panel.get_legend_handles_labels()[1]))
        figure.legend(*longest.get_legend_handles_labels(), loc="outside lower center", ncols=5)
        shown = pd.concat([trained, frozen])
        shown = shown[shown["ratio"] <= LARGEST]
        sample_sizes(figure, configs=spread(shown["paired_configs"]), seeds=spread(shown["seeds"]))
    return figure


def _forest_panel(axes: Axes, rows: pd.DataFrame, labels: "pd.Series[str]") -> None:
    benchmarks = rows["benchmark"].nunique() > 1
    beyond = int((rows["ratio"] > LARGEST).sum())  # unstable filters, up to 1e6
    diverged = int((rows["verdict"] == "diverged").sum())
    rows = rows[rows["ratio"] <= LARGEST]
    rows = rows.assign(label=labels + (", " + rows["benchmark"] if benchmarks else "")).sort_values("ratio")
    place = np.arange(len(rows))
    for verdict, colour in COLOURS.items():
        own = (rows["verdict"] == verdict).to_numpy()
        part = rows[own]
        axes.errorbar(
            part["ratio"],
            place[own],
            xerr=whiskers(part),
            fmt="o",
            ms=4,
            lw=1.1,
            color=colour,
            label=verdict,
        )
    axes.axvline(1, color="0.4", lw=1)
    naive = (1 / rows["worth"].dropna()).round(6).unique()
    for number, value in enumerate(naive):
        axes.axvline(value, color="C0", lw=1, ls="--", label="_" if number else "seasonal naive")
    axes.set_yticks(place, rows["label"], fontsize=7)
    # One seed has no interval.
    drawn = np.concatenate([rows["low"], rows["high"], rows["ratio"], naive]).astype(float)
    drawn = drawn[np.isfinite(drawn)]
    low, high = (drawn.min(), drawn.max()) if len(drawn) else (0.9, 1.1)
    axes.set(xscale="log", xlim=(low * 0.97, min(high, 2 * LARGEST) * 1.03), ylim=(-1, max(len(rows), 1)))
    counts = [f"{beyond} above {LARGEST:g}"] * (beyond > 0) + [f"{diverged} diverged"] * (diverged > 0)
    left_out = f"; left out: {', '.join(counts)}" if counts else ""
    axes.set_xlabel(f"ratio of MASE (below 1 is better){left_out}")
    plain_log(axes.xaxis)
