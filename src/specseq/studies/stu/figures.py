"""Figures of the STU study."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.errors import InputError
from specseq.models.stu.hankel import hankel_eigenpairs
from specseq.report.style import banded, counted, plain_log, sample_sizes, smoothed, whiskers
from specseq.tables import read_parquet

TRAINED = {"layout": "", "as_printed": ", schedule as printed"}
MARKS = {"all": "o", "short": "v", "medium": "s", "long": "^"}
SCHEDULES = {
    "stu/layout/": "10 % warm-up, cosine to 0",
    "stu/as_printed/": "warm-up as long as the run, as printed",
}
PANELS = {"step_seconds": "whole training step", "mixing_seconds": "token mixing, all layers"}
LENGTH, COUNT, DRAWN = 512, 24, (0, 1, 2, 4, 8, 12)
RESPONSES = ("stu/layout/alternating", "stu/layout/signed")
NAMES = {
    "attention": "attention",
    "alternating": "alternating, shared filter",
    "signed": "alternating, signed filters",
    "matched_shared": "shared, matched parameters",
    "matched": "signed, matched parameters",
    "sandwich": "signed, sandwich",
    "stu_only": "STU only",
    "first_half": "STU first",
    "last_half": "STU last",
    "parallel": "gated beside attention",
    "full": "full matrices",
    "by_variate": "signed, by variate",
    "published": "alternating, circular",
}


def ratios(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """One row per model: MASE over attention's of the same schedule, paired over configs and seeds.

    Terms stand below each other where several were evaluated. A dashed line beside the rows of a schedule is
    seasonal naive over its attention: left of 1, attention is worse and decides nothing.
    """
    table = read_parquet(inputs["summary"][0])
    table = table[(table["benchmark"] == "gift_eval") & (table["group"] != table["baseline"])]
    groups = sorted(table["group"].unique(), key=_place)
    groups = [group for sweep in TRAINED for group in groups if group.split("/")[1] == sweep]
    figure, axes = plt.subplots(figsize=(7.2, 1.6 + 0.34 * max(1, len(groups))))
    axes.axvline(1, color="0.4", lw=1)
    terms = [term for term in MARKS if term in set(table["term"])]
    for number, term in enumerate(terms):
        _term_rows(axes, table[table["term"] == term].set_index("group"), groups, term, number, len(terms))
    shown = table[table["term"] == terms[0]] if terms else table
    shown = shown[shown["group"].isin(groups)].dropna(subset="worth")
    for number, (_, rows) in enumerate(shown.groupby("baseline", sort=False)):
        places = [groups.index(group) for group in rows["group"]]
        label = "_" if number else "seasonal naive"
        span = min(places) - 0.5, max(places) + 0.5
        axes.vlines(1 / rows["worth"].iloc[0], *span, color="C7", lw=1, ls="--", label=label)
    names = [f"{_label(group)}{TRAINED[group.split('/')[1]]}" for group in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    configs, seeds = (int(table[name].max()) if len(table) else 0 for name in ("configs", "seeds"))
    axes.set(
        xscale="log",
        xlabel="MASE over that of attention (below 1 is better)",
        title=f"{counted(configs, 'configs')}, {counted(seeds, 'seeds')}; 95 % intervals over both",
    )
    plain_log(axes.xaxis)
    if terms:
        figure.legend(loc="outside lower center", ncols=5)
    return figure


def _term_rows(
    axes: Axes, table: pd.DataFrame, groups: list[str], term: str, number: int, terms: int
) -> None:
    own = table.reindex(groups)
    place = np.arange(len(groups)) + 0.6 * ((number + 0.5) / terms - 0.5)
    label = f"{term} term{'s' if term == 'all' else ''}"
    style: dict[str, Any] = {"fmt": MARKS[term], "color": f"C{number}", "ms": 5, "lw": 1.2}
    axes.errorbar(own["ratio"], place, xerr=whiskers(own), label=label, **style)


def training(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Smoothed training loss over steps, mean over seeds with their range; one panel per schedule."""
    of_losses = (pc.field("benchmark") == "pretrain") & (pc.field("metric") == "standardised_nll")
    rows = read_parquet(inputs["long"][0], where=of_losses)
    shown = {start: title for start, title in SCHEDULES.items() if rows["group"].str.startswith(start).any()}
    width = max(7.2, 4.8 * len(shown))
    figure, axes = plt.subplots(1, max(1, len(shown)), figsize=(width, 4.4), sharey=True, squeeze=False)
    for panel, (start, title) in zip(axes[0], shown.items(), strict=False):
        _loss_panel(panel, rows[rows["group"].str.startswith(start)])
        panel.set(title=title, xlabel="optimiser steps")
    axes[0, 0].set_ylabel("standardised NLL (nats a point)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _loss_panel(axes: Axes, rows: pd.DataFrame) -> None:
    for group in sorted(rows["group"].unique(), key=_place):
        own = rows[rows["group"] == group]
        curves = smoothed(own.pivot(index="step", columns="seed", values="value"))
        banded(axes, curves, band=0.12, color=_colour(group), label=_label(group))
    axes.text(
        0.98, 0.96, counted(rows["seed"].nunique(), "seeds"), transform=axes.transAxes, ha="right", va="top"
    )


def speed(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """CPU time of a training step and of its mixing, one dot per seed; models of a seed took turns."""
    of_layouts = pc.starts_with(pc.field("group"), "stu/layout/")
    rows = read_parquet(inputs["long"][0], where=(pc.field("benchmark") == "measurement") & of_layouts)
    if rows.empty:
        raise InputError("stu_measurements", "no model has been measured yet", "train all runs of the study")
    groups = sorted(rows.loc[rows["metric"] == "step_seconds", "group"].unique(), key=_place)
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 1.6 + 0.32 * max(1, len(groups))), sharey=True)
    for panel, (metric, title) in zip(axes, PANELS.items(), strict=True):
        _time_panel(panel, rows[rows["metric"] == metric], groups)
        panel.set(title=title, xlabel="CPU time (ms), one thread")
    axes[0].set_yticks(range(len(groups)), [_label(group) for group in groups])
    axes[0].invert_yaxis()
    sample_sizes(figure, seeds=rows["seed"].nunique())
    return figure


def _time_panel(axes: Axes, rows: pd.DataFrame, groups: list[str]) -> None:
    baseline = 1000 * rows.loc[rows["group"] == "stu/layout/attention", "value"].median()
    axes.axvline(baseline, color="0.4", lw=1)
    for place, group in enumerate(groups):
        values = 1000 * rows.loc[rows["group"] == group, "value"].to_numpy()
        axes.plot(values, np.full(len(values), place), "o", color="C0", alpha=0.7, ms=5)
        note = f"{np.median(values) / baseline:.2f}×"
        axes.annotate(
            note,
            (values.max(), place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            bbox={"boxstyle": "square,pad=0.1", "fc": "white", "ec": "none"},
        )
    axes.set_xlim(0, 1250 * rows["value"].max())


def filters(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Three panels: filters of the published length; their eigenvalues; gains of the trained first unit."""
    of_gains = (pc.field("metric") == "gain") & pc.starts_with(pc.field("task"), "layer0/")
    rows = read_parquet(inputs["long"][0], where=of_gains)
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
    _responses(axes[2], rows)
    sample_sizes(figure, channels=rows["task"].nunique(), seeds=min(1, len(rows)))
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


def _responses(axes: Axes, rows: pd.DataFrame) -> None:
    for group in RESPONSES:
        own = rows[rows["group"] == group]
        own = own[own["seed"] == own["seed"].min()]
        for number, (_, channel) in enumerate(own.groupby("task")):
            name = _label(group) if number == 0 else "_"
            omega = channel["step"] / channel["step"].max()
            axes.plot(omega, channel["value"], color=_colour(group), lw=1.1, label=name)
    axes.set(
        xlabel="frequency ω / π (1 is two tokens a cycle)",
        ylabel="gain",
        ylim=(0, None),
        title="learned: channels of the first unit",
    )
    axes.legend(loc="upper center")


def _label(group: str) -> str:
    """``stu/as_printed/matched`` as ``signed, matched parameters``."""
    point = group.rsplit("/", 1)[-1]
    return NAMES.get(point, point)


def _place(group: str) -> int:
    """A model's place in :data:`NAMES`."""
    names, point = list(NAMES), group.rsplit("/", 1)[-1]
    return names.index(point) if point in names else len(names)


def _colour(group: str) -> str:
    """The same colour for a model in every figure; attention, the first, is dark."""
    return f"C{(_place(group) - 1) % 8}" if _place(group) else "0.15"
