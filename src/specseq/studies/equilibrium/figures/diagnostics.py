"""Measurements of stability in use beside the exact values, and Euler's growth around the critical step."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import plain_log
from specseq.studies.equilibrium.figures.shared import legend
from specseq.tables import read_parquet

METHODS = {
    "subspace": "2-D subspace iteration",
    "power": "power method",
    "arnoldi_20": "Arnoldi, 20 vectors",
    "krylov": "Arnoldi, grown until certified",
}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Left: estimates of ρ(0.1) against products spent. Middle: of ω(J_nc). Right: growth of a disturbance.

    Args:
        inputs: ``measured``, the table of the stage ``mechanisms``.
        params: none.
    """
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
    right.set(xlabel="ε / ε$_{crit}$", ylabel="growth a step", title="Euler at the critical step")
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
