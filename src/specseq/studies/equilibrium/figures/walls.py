"""Where the Euler wall is: the critical step along the loss, and how well the free phase settles."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from specseq.report.style import line, plain_log, sample_sizes, spread
from specseq.studies.equilibrium.figures.shared import highest_loss, label, wall_curves
from specseq.tables import read_parquet


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Left: ε_crit of each run against its validation loss. Right: the force residual of its own solver.

    Thin lines are seeds, thick ones their mean, geometric where the axis is logarithmic. Evaluations with a
    loss beyond that of any first one, when a run has come apart, are on the right only.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    curves = wall_curves(read_parquet(inputs["long"][0]))
    top = 1.05 * highest_loss(run for runs in curves.values() for run in runs.values())
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4))
    for number, (group, runs) in enumerate(curves.items()):
        colour, dashes = line(number)
        seeds = [shown(run, top) for run in runs.values()]
        for run in seeds:
            left.plot(run["loss"], run["eps_crit"], color=colour, ls=dashes, lw=0.6, alpha=0.3)
            right.plot(run.index, run["force_residual"], color=colour, ls=dashes, lw=0.6, alpha=0.3)
        middle = mean(seeds)
        style = dict(color=colour, ls=dashes, lw=1.6, marker="o", ms=3)
        left.plot(middle["loss"], middle["eps_crit"], label=label(group), **style)
        right.plot(middle.index, middle["force_residual"], **style)
    for step in (0.1, 0.05):
        left.axhline(step, color="0.4", lw=1, ls="-.")
        left.annotate(
            f"ε = {step:g}", (0.99, step), xycoords=("axes fraction", "data"), ha="right", va="bottom"
        )
    left.set_yscale("log")
    left.invert_xaxis()
    left.set(
        xlabel="validation loss (nats a token), falling to the right",
        ylabel="ε$_{crit}$, worst of the audited samples",
        title="below a solver's ε, Euler leaves the root",
    )
    plain_log(left.yaxis)
    right.set(
        xlabel="optimiser steps",
        ylabel="force residual ‖F‖/‖z‖ of the free phase",
        yscale="log",
    )
    figure.legend(loc="outside lower center", ncols=4, fontsize=7.5)
    sample_sizes(figure, seeds=spread(pd.Series([len(runs) for runs in curves.values()])))
    return figure


def shown(run: pd.DataFrame, top: float) -> pd.DataFrame:
    """A run's curves where the axes can show them: the loss at most ``top``, step and residual finite."""
    inside = run["loss"] <= top
    return pd.DataFrame(
        {
            "loss": run["loss"].where(inside),
            "eps_crit": run["eps_crit"].where(inside & (run["eps_crit"] > 0)),
            "force_residual": run["force_residual"].where(np.isfinite(run["force_residual"])),
        }
    )


def mean(runs: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean over seeds by step, of what is drawn on a logarithmic axis the geometric one."""
    drawn_on_logs = ["eps_crit", "force_residual"]
    runs = [run.copy() for run in runs]
    for run in runs:
        run[drawn_on_logs] = np.log(run[drawn_on_logs])
    found = pd.concat(runs).groupby(level=0).mean()
    found[drawn_on_logs] = np.exp(found[drawn_on_logs])
    return found
