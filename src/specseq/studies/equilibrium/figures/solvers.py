"""Solvers on two blocks whose leading modes rotate: force residual against evaluations."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from specseq.studies.equilibrium.figures.shared import label, legend
from specseq.tables import read_parquet

BLOCKS = {"rotating": "stable for the flow", "unstable": "left by the flow"}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """A panel a block; the legend gives α of the root that a solver converged on.

    Args:
        inputs: ``measured``, the table of the stage ``mechanisms``.
        params: none.
    """
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
