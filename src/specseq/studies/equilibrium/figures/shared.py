"""What the figures of the equilibrium study share: names, colours, the runs' curves, Euler's disc."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

LABELS = {
    "euler": "Euler, ε = 0.1",
    "small_step": "Euler, ε = 0.05",
    "tiny_step": "Euler, ε = 0.025",
    "adaptive": "adaptive ε",
    "anderson": "Anderson",
    "backward_euler": "backward Euler",
    "jacreg": "Jacobian penalty",
    "jacreg_adaptive": "Jacobian penalty, adaptive",
    "resreg": "residual penalty",
    "eigreg": "eigenvalue penalty",
    "abscissa_penalty": "abscissa penalty",
    "capped": "Anderson, capped norms",
    "bptt": "backpropagation",
    "euler_exact_adjoint": "Euler, exact adjoint",
    "euler_nudged": "Anderson, nudged by Euler",
    "half_nudge": "Anderson, half the nudge",
    "rk4": "Runge–Kutta 4",
    "heun": "Heun–Euler",
    "imex": "IMEX Euler",
    "newton": "Newton–GMRES",
}
VERDICT_COLOURS = {
    "HOPF": "C1",
    "SADDLE": "C3",
    "EULER-WALL": "C4",
    "TRANSIENT": "C5",
    "STABLE": "C2",
    "NO-ROOT": "0.45",
}


def label(name: str) -> str:
    """A run group or solver as the figures call it."""
    short = name.rsplit("/", 1)[-1]
    return LABELS.get(short, short.replace("_", " "))


def legend(axes: Axes, **style: object) -> None:
    """A legend, where there is anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**style)


def wall_curves(long: pd.DataFrame) -> dict[str, dict[int, pd.DataFrame]]:
    """Of each group of the sweep ``wall`` and each seed, the evaluations: metrics by step."""
    rows = long[long["group"].str.startswith("equilibrium/wall/") & (long["task"] == "valid")]
    rows = rows.assign(metric=rows["metric"].str.removeprefix("valid/"))
    return {
        str(group): {
            int(str(seed)): run.pivot_table(index="step", columns="metric", values="value", dropna=False)
            for seed, run in own.groupby("seed")
        }
        for group, own in rows.groupby("group", sort=False)
    }


def highest_loss(runs: Iterable[pd.DataFrame]) -> float:
    """The highest loss of a first evaluation; a later one beyond it says that the run has come apart."""
    first = [run["loss"].dropna().iloc[0] for run in runs if run["loss"].notna().any()]
    return float(max(first, default=np.nan))


def euler_disc(axes: Axes, step: float, **style: object) -> None:
    """The circle |1 + εμ| = 1 inside which Euler with step ε contracts a mode μ."""
    angle = np.linspace(0, 2 * np.pi, 721)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot((np.cos(angle) - 1) / step, np.sin(angle) / step, **style)  # type: ignore[arg-type]
    axes.axvline(0, color="0.6", lw=0.8)
    axes.set(xlim=limits[0], ylim=limits[1])
