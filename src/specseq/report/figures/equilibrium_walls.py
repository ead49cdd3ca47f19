"""Where the Euler wall is: the critical step along the loss, and how well the free phase settles."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from specseq.report.figures.equilibrium import highest_loss, label, line, wall_curves
from specseq.report.figures.style import plain_log
from specseq.tables import read_parquet


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Left: ε_crit of each run against its validation loss. Right: the force residual of its own solver.

    Evaluations with a loss beyond that of any first one, when a run has come apart, are on the right only.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    curves = wall_curves(read_parquet(inputs["long"][0]))
    top = 1.05 * highest_loss(run for runs in curves.values() for run in runs.values())
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4))
    for number, (group, runs) in enumerate(curves.items()):
        colour, dashes = line(number)
        for seed, run in runs.items():
            style = dict(color=colour, ls=dashes, lw=1.1, marker="o", ms=2.5, alpha=0.8)
            shown = label(group) if seed == min(runs) else "_"
            shown_loss = run["loss"].where(run["loss"] <= top)
            left.plot(shown_loss, run["eps_crit"].where(run["eps_crit"] > 0), label=shown, **style)
            right.plot(run.index, run["force_residual"].where(np.isfinite(run["force_residual"])), **style)
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
        title=f"{max(map(len, curves.values()), default=0)} seed(s) a setting",
    )
    figure.legend(loc="outside lower center", ncols=4, fontsize=7.5)
    return figure
