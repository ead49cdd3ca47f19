"""How the leading modes move in the complex plane as the loss falls."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from specseq.report.style import sample_sizes, spread
from specseq.studies.equilibrium.figures.shared import euler_disc, highest_loss, label, wall_curves
from specseq.tables import read_parquet

SHOWN = ("euler", "anderson", "jacreg", "bptt")
STEPS = {0.1: "-", 0.05: "--"}  # of Euler, whose discs are drawn
LINEAR = 0.5  # how far from zero the real axis is not logarithmic
TICKS = (-300, -100, -30, -10, -3, -1, 0, 1, 3, 10)
RIGHT = 0.3  # what is seen at least of the right half-plane


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """A panel a setting: the rightmost mode and the mode that limits Euler's step, coloured by the loss.

    The real axis is logarithmic on both sides of zero, so that one sees the far edges of Euler's discs, where
    a fast mode leaves them, and the near one, where the flow itself begins to grow.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    curves = wall_curves(read_parquet(inputs["long"][0]))
    groups = [f"equilibrium/wall/{name}" for name in SHOWN if f"equilibrium/wall/{name}" in curves]
    figure, panels = plt.subplots(
        1, len(groups), figsize=(2.2 + 2.5 * len(groups), 3.9), sharex=True, sharey=True, squeeze=False
    )
    runs = [run for group in groups for run in curves[group].values()]
    lowest = min(run["loss"].min() for run in runs)
    shades = Normalize(lowest, highest_loss(runs))
    for axes, group in zip(panels[0], groups, strict=True):
        for run in curves[group].values():
            _path(axes, run["limit_re"], run["limit_im"], run["loss"], shades, "s")
            _path(axes, run["alpha"], run["im"], run["loss"], shades, "o")
        axes.set(title=label(group), xlabel="Re μ (1/time)")
    low = np.nanmin([-2 / min(STEPS), *(run["limit_re"].min() for run in runs)])
    high = np.nanmax([RIGHT, *(run["alpha"].max() for run in runs)])
    for axes in panels[0]:
        # Where the linear part has this size, circles have no kink at its end.
        axes.set_xscale("symlog", linthresh=LINEAR, linscale=1 / np.log(10))
        axes.xaxis.set_major_locator(FixedLocator(TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
        axes.set_xlim(1.1 * low, 1.1 * high)
        for step, dashes in STEPS.items():
            euler_disc(axes, step, color="C1", lw=1, ls=dashes, label=f"|1 + {step:g} μ| = 1")
    panels[0][0].set_ylabel("|Im μ| (1/time)")
    panels[0][0].plot([], [], "o-", color="0.4", ms=4, lw=0.7, label="rightmost mode")
    panels[0][0].plot([], [], "s-", color="0.4", ms=4, lw=0.7, label="mode that limits ε")
    handles, names = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, fontsize=7.5)
    sample_sizes(figure, seeds=spread(pd.Series([len(curves[group]) for group in groups])))
    shading = ScalarMappable(shades, "viridis")
    figure.colorbar(shading, ax=panels, label="validation loss (nats a token)", extend="max")
    return figure


def _path(axes: Axes, real: Any, imaginary: Any, loss: Any, shades: Any, marker: str) -> None:
    axes.plot(real, imaginary, "-", color="0.6", lw=0.6)
    axes.scatter(real, imaginary, c=loss, cmap="viridis", norm=shades, marker=marker, s=16, zorder=3)
