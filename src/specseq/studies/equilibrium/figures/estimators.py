"""Estimators of the adjoint: bias in the nudge radius, and what an unsettled free phase does to it."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from specseq.studies.equilibrium.figures.shared import legend
from specseq.tables import read_parquet

ORDERS = {"one_sided": 1, "two_sided": 2, "holomorphic_4": 4, "holomorphic_8": 8}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Left: relative error of the adjoint. Right: 1 - cosine of the weights' gradient with the exact one.

    Args:
        inputs: ``measured``, the table of the stage ``mechanisms``.
        params: none.
    """
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
