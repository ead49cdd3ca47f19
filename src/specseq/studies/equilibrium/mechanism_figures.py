"""Figures of the mechanisms on blocks with known answers: solvers, estimators, measures of stability."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import plain_log
from specseq.studies.equilibrium.figures import label, legend
from specseq.tables import read_parquet

BLOCKS = {"rotating": "stable for the flow", "unstable": "left by the flow"}
ORDERS = {"one_sided": 1, "two_sided": 2, "holomorphic_4": 4, "holomorphic_8": 8}
METHODS = {
    "subspace": "2-D subspace iteration",
    "power": "power method",
    "arnoldi_20": "Arnoldi, 20 vectors",
    "krylov": "Arnoldi, grown until certified",
}


def solvers(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """A panel per block; the legend gives α of the root that a solver converged on."""
    measured = read_parquet(inputs["measured"][0])
    figure, panels = plt.subplots(1, 2, figsize=(9.6, 4.4), sharey=True)
    for axes, (block, about) in zip(panels, BLOCKS.items(), strict=True):
        traces = measured[measured["task"] == f"solver_trace/{block}"]
        roots = measured[(measured["task"] == f"solver_root/{block}") & (measured["metric"] == "alpha")]
        alpha = roots.set_index("method")["value"]
        for number, (name, own) in enumerate(traces.groupby("method", sort=False)):
            found = "not settled" if pd.isna(alpha.get(name)) else f"α = {alpha[name]:+.2f}"
            shown = f"{label(str(name))}: {found}"
            axes.plot(own["at"].clip(lower=1), own["value"], color=f"C{number % 8}", lw=1.2, label=shown)
        axes.set(xscale="log", yscale="log", xlabel="evaluations of force and Jacobian products")
        axes.set_title(f"block '{block}': its root is {about}")
        legend(axes, fontsize=7, loc="lower left")
    panels[0].set_ylabel("force residual ‖F‖/‖z‖, worse of 2 samples")
    return figure


def estimators(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Left: relative error of the adjoint. Right: 1 - cosine of the weights' gradient with the exact one."""
    measured = read_parquet(inputs["measured"][0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
    bias = measured[measured["task"] == "estimator_bias"]
    for number, (name, own) in enumerate(bias.groupby("method", sort=False)):
        shown = str(name).replace("_", " ")
        left.plot(own["at"], own["value"], "o-", color=f"C{number}", ms=4, label=shown)
        order, middle = ORDERS.get(str(name)), own[np.isclose(own["at"], 0.02)]
        if order and len(middle):
            guide = middle["value"].iloc[0] * (own["at"] / 0.02) ** order
            left.plot(own["at"], guide, ":", color=f"C{number}", lw=1, label=f"slope {order}")
    left.set(
        xscale="log", yscale="log", ylim=(1e-13, 1), xlabel="nudge radius r", ylabel="relative error of a"
    )
    left.set_title("all phases converged")
    legend(left, fontsize=7.5, ncols=2, loc="lower right")
    aligned = measured[measured["task"] == "alignment"]
    for number, (name, own) in enumerate(aligned.groupby("method", sort=False)):
        gap = (1 - own["value"]).clip(lower=1e-16)
        right.plot(own["at"], gap, "o-", color=f"C{number}", ms=4, label=str(name).replace("_", " "))
    right.set(
        xscale="log",
        yscale="log",
        xlabel="force residual of the free state",
        ylabel="1 - cos(estimate, exact)",
    )
    right.set_title("free and nudged phases by Euler, ε = 0.1, r = 0.02")
    legend(right, fontsize=7.5)
    return figure


def diagnostics(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Estimates of ρ(0.1) against products spent (left) and of ω(J_nc); growth of a disturbance (right)."""
    measured = read_parquet(inputs["measured"][0])
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(10.4, 3.9), width_ratios=(4, 3, 3))
    _radius(left, measured)
    abscissa = measured[measured["task"].str.startswith("abscissa")]
    power = abscissa[abscissa["method"] == "power"]
    middle.plot(power["at"], power["value"], "o-", color="C1", ms=4, label="power iteration, no shift")
    exact = abscissa.loc[abscissa["method"] == "lanczos", "value"]
    for value in exact.unique():
        middle.axhline(value, color="0.2", lw=1.2, label=f"Lanczos: {value:.1f}")
    middle.set(xscale="log", xlabel="products", ylabel="ω of the learned part (1/time)")
    middle.set_title("numerical abscissa")
    plain_log(left.xaxis, middle.xaxis)
    legend(middle, loc="center right", fontsize=7.5)
    growth = measured[measured["task"] == "euler_growth"]
    right.axhline(1, color="0.5", lw=1)
    right.axvline(1, color="0.5", lw=1)
    right.plot(growth["at"], growth["value"], "o-", color="C0", ms=4)
    right.set(xlabel="ε / ε$_{crit}$", ylabel="growth per step", title="Euler at the critical step")
    return figure


def _radius(axes: Axes, measured: Any) -> None:
    for number, block in enumerate(("rotating", "unstable")):
        own = measured[measured["task"] == f"radius/{block}"]
        for value in own.loc[own["method"] == "exact", "value"]:
            axes.axhline(value, color=f"C{number}", lw=1.2, label=f"exact, block '{block}'")
        for (method, shown), style in zip(METHODS.items(), ("s-", "-", "^", "D"), strict=True):
            found = own[own["method"] == method]
            axes.plot(
                found["at"], found["value"], style, color=f"C{number}", ms=4, lw=0.9, alpha=0.75,
                label=shown if number == 0 else "_",
            )  # fmt: skip
    axes.axhline(1, color="0.3", lw=0.8, ls=":")
    axes.set(xscale="log", xlabel="products", ylabel="ρ(0.1)", title="spectral radius of the Euler map")
    axes.set_ylim(bottom=max(0.85, np.nanmin(axes.get_ylim())))
    legend(axes, fontsize=7, loc="lower right")
