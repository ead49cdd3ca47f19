"""What the spectral units filter with: Hankel eigenvectors, their eigenvalues, and the responses learned."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.models.stu.hankel import hankel_eigenpairs
from specseq.report.style import sample_sizes
from specseq.studies.stu.figures.shared import colour, label
from specseq.tables import read_parquet

LENGTH, COUNT, DRAWN = 512, 24, (0, 1, 2, 4, 8, 12)
RESPONSES = ("stu/layout/alternating", "stu/layout/signed")


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Three panels: filters of the published length; their eigenvalues; gains of the trained first unit.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    long = read_parquet(inputs["long"][0])
    figure, axes = plt.subplots(1, 3, figsize=(11.4, 3.8))
    values, vectors = hankel_eigenpairs(LENGTH, COUNT)
    shades = plt.get_cmap("viridis")(np.linspace(0, 0.9, len(DRAWN)))
    for number, shade in zip(DRAWN, shades, strict=True):
        axes[0].plot(np.arange(1, LENGTH + 1), vectors[:, number], color=shade, lw=1.2, label=f"{number + 1}")
    axes[0].set(
        xscale="log",
        xlabel="lag (tokens)",
        ylabel="eigenvector",
        title=f"Hankel filters, length {LENGTH}",
    )
    axes[0].legend(title="number", ncols=2)
    _eigenvalues(axes[1], np.abs(values))
    _responses(axes[2], long)
    drawn = long[(long["metric"] == "gain") & long["task"].str.startswith("layer0/")]
    sample_sizes(figure, channels=drawn["task"].nunique(), seeds=min(1, len(drawn)))
    return figure


def _eigenvalues(axes: Axes, values: np.ndarray[Any, Any]) -> None:
    rounding = np.finfo(np.float64).eps * values[0]
    sound = values > 10 * rounding
    number = np.arange(1, len(values) + 1)
    axes.plot(number[sound], values[sound], "o", color="C0", ms=4)
    axes.plot(number[~sound], values[~sound], "o", mfc="none", color="C1", ms=4)
    axes.axhline(rounding, color="0.4", lw=1, ls="--")
    axes.text(1, rounding * 1.6, "rounding of the first", fontsize=8.5)
    axes.set(
        yscale="log", xlabel="number", ylabel="|eigenvalue|", title="eigenvalues (hollow: near rounding)"
    )


def _responses(axes: Axes, long: pd.DataFrame) -> None:
    rows = long[(long["metric"] == "gain") & long["task"].str.startswith("layer0/")]
    for group in RESPONSES:
        own = rows[rows["group"] == group]
        own = own[own["seed"] == own["seed"].min()]
        for number, (_, channel) in enumerate(own.groupby("task")):
            name = label(group) if number == 0 else "_"
            omega = channel["step"] / channel["step"].max()
            axes.plot(omega, channel["value"], color=colour(group), lw=1.1, label=name)
    axes.set(
        xlabel="frequency ω / π (1 is two tokens a cycle)",
        ylabel="gain",
        ylim=(0, None),
        title="learned: channels of the first unit",
    )
    axes.legend(loc="upper center")
