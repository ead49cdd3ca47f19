"""What more training data are worth: likelihood and error against the number of training spacings."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import plain_log, sample_sizes
from specseq.studies.zeta.figures.shared import counts, reference_label, references
from specseq.tables import read_parquet

MEASURES = {
    "nll": "NLL (nats a spacing)",
    "mae": "mean |error| (mean spacings)",
}
SETS = {"real": "C0", "shuffled": "C7"}
# What the bars are, by whether there are several seeds.
BARS = {True: "range of several seeds", False: "one seed, block bootstrap"}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Test scores with half a window known by training size, and selection NLL as training goes on.

    Args:
        inputs: ``long``, all results of the study, and ``sizes``, the table ``zeta_size``.
        params: none.
    """
    long, size = read_parquet(inputs["long"][0]), read_parquet(inputs["sizes"][0])
    size = size[size["seeds"] > 0]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    for panel, (metric, label) in zip(axes, MEASURES.items(), strict=False):
        _by_size(panel, size, f"{metric}_long")
        for name, value in references(long, "real/test", metric).items():
            panel.axhline(value, color="0.4", lw=1, ls={"wigner": ":", "ar255": "-"}.get(name, "--"))
            panel.annotate(
                reference_label(name),
                (0.02, value),
                xycoords=("axes fraction", "data"),
                fontsize=7,
                va="bottom",
            )
        panel.set(xscale="log", xlabel="training spacings", ylabel=label)
    axes[0].set_title("at least half a window known")
    _along_training(axes[2], long, size)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=7.5)
    models = long[long["group"].isin(size["group"]) & (long["metric"] == "nll_long")]
    sample_sizes(figure, **counts(long, models))
    return figure


def _by_size(axes: Axes, size: pd.DataFrame, metric: str) -> None:
    for name, colour in SETS.items():
        own = size[size["set"] == name]
        if own.empty:
            continue
        axes.plot(own["training_spacings"], own[metric], color=colour, lw=1)
        for several, bars in BARS.items():
            part = own[(own["seeds"] > 1) == several]
            ends = (part[metric] - part[f"{metric}_low"], part[f"{metric}_high"] - part[metric])
            if len(part):
                axes.errorbar(
                    part["training_spacings"],
                    part[metric],
                    [end.clip(lower=0).to_numpy() for end in ends],
                    fmt="o",
                    color=colour,
                    mfc=colour if several else "white",
                    ms=4,
                    lw=1,
                    capsize=2,
                    label=f"{name} spacings, {bars}",
                )


def _along_training(axes: Axes, long: pd.DataFrame, size: pd.DataFrame) -> None:
    """NLL of the training batches, smoothed, over the spacings read so far."""
    rows = long[(long["benchmark"] == "pretrain") & (long["task"] == "train") & (long["metric"] == "nll")]
    known = size[size["set"] == "real"].set_index("group")
    for number, (group, sizes) in enumerate(known[["training_spacings", "spacings_read"]].iterrows()):
        own = rows[rows["group"] == group]
        curve = own.groupby("step")["value"].mean().rolling(5, min_periods=1).mean()
        if curve.empty:
            continue
        read = curve.index / curve.index.max() * sizes["spacings_read"]
        label = f"{sizes['training_spacings']:,} training spacings"
        axes.plot(read, curve, color=f"C{number % 8}", lw=1, label=label)
    axes.set(xscale="log", xlabel="spacings read", ylabel="NLL of training batches", title="along training")
    axes.legend(fontsize=7.5)
    plain_log(axes.xaxis)
