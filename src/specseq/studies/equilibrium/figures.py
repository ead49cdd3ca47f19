"""Figures of the equilibrium study's runs: where the wall is, how modes move, and one audit in full."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from specseq.errors import InputError
from specseq.report.style import legend_below, line, plain_log, sample_sizes, spread
from specseq.tables import read_parquet

LABELS = {
    "euler": "Euler, ε = 0.1",
    "small_step": "Euler, ε = 0.05",
    "tiny_step": "Euler, ε = 0.025",
    "adaptive": "adaptive ε",
    "adaptive_naive": "adaptive ε, naive",
    "anderson": "Anderson",
    "backward_euler": "backward Euler",
    "jacreg": "Jacobian penalty",
    "jacreg_adaptive": "Jacobian penalty, adaptive",
    "resreg": "residual penalty",
    "eigreg": "eigenvalue penalty",
    "abscissa_penalty": "abscissa penalty",
    "capped": "Anderson, capped norms",
    "gated": "Euler, gated",
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
    "DOUBTFUL": "C6",
    "EULER-WALL": "C4",
    "TRANSIENT": "C5",
    "STABLE": "C2",
    "NO-ROOT": "0.45",
}
SHOWN = ("euler", "anderson", "jacreg", "bptt")
STEPS = {0.1: "-", 0.05: "--"}  # of Euler, whose discs are drawn
LINEAR = 0.5  # the real axis is linear up to this distance from zero
TICKS = (-300, -100, -30, -10, -3, -1, 0, 1, 3, 10)
RIGHT = 0.3  # at least this much of the right half-plane is shown


def walls(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Left: ε_crit of each run against its validation loss. Right: the force residual of its own solver.

    Thin lines are seeds, thick ones their mean, geometric where the axis is logarithmic. Vertical lines are
    the losses of n-gram models on the same windows. Evaluations of a run that has come apart, whose loss is
    above every run's first, are on the right only.
    """
    curves = wall_curves(inputs["long"][0])
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
    first = next(iter(next(iter(curves.values())).values()))
    for name, dashes in (("unigram_loss", ":"), ("bigram_loss", "--")):
        if name in first:
            shown_name = name.removesuffix("_loss")
            left.axvline(first[name].iloc[-1], color="0.6", lw=1, ls=dashes, label=f"{shown_name} model")
    left.set_yscale("log")
    left.invert_xaxis()
    left.set(
        xlabel="validation loss (nats per token), falling to the right",
        ylabel="ε$_{crit}$, worst of the audited samples",
        title="below a solver's ε, Euler leaves the root",
    )
    plain_log(left.yaxis)
    right.set(
        xlabel="optimiser steps",
        ylabel="force residual ‖F‖/‖z‖ of the free phase",
        yscale="log",
    )
    figure.legend(loc="outside lower center", ncols=4, fontsize=7.5, handlelength=4)
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
    """Mean over seeds by step; the geometric mean of what is drawn on a logarithmic axis."""
    drawn_on_logs = ["eps_crit", "force_residual"]
    runs = [run.copy() for run in runs]
    for run in runs:
        run[drawn_on_logs] = np.log(run[drawn_on_logs])
    found = pd.concat(runs).groupby(level=0).mean()
    found[drawn_on_logs] = np.exp(found[drawn_on_logs])
    return found


def modes(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """A panel per setting: the rightmost mode and the mode that limits Euler's step, coloured by the loss.

    The real axis is logarithmic on both sides of zero, so that one sees the far edges of Euler's discs, where
    a fast mode leaves them, and the near one, where the flow itself begins to grow.
    """
    curves = wall_curves(inputs["long"][0])
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
    legend_below(figure, [panels[0][0]], ncols=4, fontsize=7.5)
    sample_sizes(figure, seeds=spread(pd.Series([len(curves[group]) for group in groups])))
    shading = ScalarMappable(shades, "viridis")
    figure.colorbar(shading, ax=panels, label="validation loss (nats per token)", extend="max")
    return figure


def _path(axes: Axes, real: Any, imaginary: Any, loss: Any, shades: Any, marker: str) -> None:
    axes.plot(real, imaginary, "-", color="0.6", lw=0.6)
    axes.scatter(real, imaginary, c=loss, cmap="viridis", norm=shades, marker=marker, s=16, zorder=3)


def audit(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """The first audited run.

    Raises:
        InputError: there is no audited run.
    """
    if not inputs.get("spectra"):
        raise InputError(
            "spectra", "no audited run is there", "train and audit a run that has a section 'audit'"
        )
    spectrum, verdicts, summary = (
        read_parquet(inputs[name][0]) for name in ("spectra", "verdicts", "fingerprints")
    )
    step = float(summary.loc[summary["metric"] == "step", "value"].iloc[0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.2))
    kept = spectrum.merge(verdicts[["sample", "position", "verdict"]], on=["sample", "position"])
    for verdict, own in kept.groupby("verdict"):
        colour = VERDICT_COLOURS[str(verdict)]
        left.plot(own["re"], own["im"], ".", color=colour, ms=2, alpha=0.6)
    low, high = left.get_xlim()
    left.set_xlim(low, max(high, 0.3))
    euler_disc(left, step, color="C1", lw=1.2, label=f"|1 + {step:g} μ| = 1")
    left.set(xlabel="Re μ (1/time)", ylabel="Im μ (1/time)")
    samples = verdicts["sample"].nunique()
    left.set_title(f"{len(kept):,} eigenvalues of {samples} sample{'s' if samples > 1 else ''}")
    left.legend(loc="upper left")
    for verdict, colour in VERDICT_COLOURS.items():
        own = verdicts[verdicts["verdict"] == verdict]
        if len(own):
            rho, at = own["rho"], own["position"]
            right.plot(at, rho, "o", color=colour, ms=4, alpha=0.7, label=f"{verdict} ({len(own)})")
            unknown = at[rho.isna()]
            right.plot(
                unknown, [0.01] * len(unknown), "x", color=colour, transform=right.get_xaxis_transform()
            )
    right.axhline(1, color="C1", lw=1.2)
    right.set(xlabel="position", ylabel=f"ρ({step:g}) = max |1 + {step:g} μ| of the position's block")
    right.set_title("/".join(Path(str(verdicts["checkpoint"].iloc[0])).parts[-2:]))
    legend_below(figure, [right], ncols=5, fontsize=7.5)
    return figure


def label(name: str) -> str:
    """A run group or solver as the figures call it."""
    short = name.rsplit("/", 1)[-1]
    return LABELS.get(short, short.replace("_", " "))


def legend(axes: Axes, **style: object) -> None:
    """A legend, where there is anything to name."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(**style)


def wall_curves(long: Path) -> dict[str, dict[int, pd.DataFrame]]:
    """The evaluations of each group and seed of the sweep ``wall``: metrics by step."""
    of_wall = pc.starts_with(pc.field("group"), "equilibrium/wall/") & (pc.field("task") == "valid")
    rows = read_parquet(long, ["group", "seed", "step", "metric", "value"], of_wall)
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
