"""Figures of the zeta study: likelihood and leak, context, rollouts, statistics, training size, masks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import banded, plain_log, sample_sizes, spread
from specseq.spacings.attention import attention_mask
from specseq.spacings.config import AttentionMask
from specseq.studies.zeta.tables import ORDERS, REFERENCES, autoregression_nll, of_runs
from specseq.tables import read_parquet

# The note's models and what goes beyond them: all models in one panel would be too many curves.
COMPARED = ("zeta/models/", "zeta/beyond/")
DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))  # of reference lines
SHOWN = ("wigner", "ar32", "ar127", "ar255")
SLOTS, LENGTH = 8, 24  # of the masks drawn
# What the bars show, by whether there are several seeds.
BARS = {True: "range of several seeds", False: "one seed, block bootstrap"}


def leak(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """NLL of every model and seed, beside the iid floor and autoregressions at the same contexts."""
    of_references = of_runs(REFERENCES) & (pc.field("metric") == "nll_at")
    long = read_parquet(inputs["long"][0], where=of_metrics("nll", "windows") | of_references)
    rows = long[(long["metric"] == "nll") & long["run"].str.startswith((*COMPARED, "zeta/leak/"))]
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=False)
    labels = model_labels(rows)
    for panel, name in zip(axes, ("real", "shuffled"), strict=True):
        panel.set(title=f"{name} spacings", xlabel="negative log-likelihood (nats per spacing)")
        shown = rows[rows["task"] == f"{name}/test"]
        groups = list(dict.fromkeys(shown["group"]))
        for place, group in enumerate(groups):
            values = shown.loc[shown["group"] == group, "value"].to_numpy()
            colour = "C1" if "published" in group else "C0"
            panel.plot(values, np.full(len(values), place), "o", color=colour, alpha=0.8)
        lengths = shown["length"].dropna()
        window = int(lengths.mode().max()) if len(lengths) else 0
        for number, (reference, value) in enumerate(_lines(long, f"{name}/test", window).items()):
            label = f"{reference}: {value:.3f}"
            panel.axvline(value, color="0.35", lw=1, ls=DASHES[number % len(DASHES)], label=label)
        panel.set_yticks(range(len(groups)), [labels[group] for group in groups], fontsize=8.5)
        panel.invert_yaxis()
        panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=7.5)
    sample_sizes(figure, **counts(long, rows))
    return figure


def context(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """NLL of a prediction from c spacings and no more, for models and autoregressions."""
    measured = of_metrics("nll_truncated", "nll", "nll_at", "windows")
    long = read_parquet(inputs["long"][0], where=measured)
    real = long[long["task"] == "real/test"]
    figure, axes = plt.subplots()
    models = real[(real["metric"] == "nll_truncated") & real["run"].str.startswith(COMPARED)]
    _model_curves(axes, models, "context")
    nll = real[real["metric"] == "nll"]
    linear = real[(real["run"] == "zeta/references/ar") & (real["metric"] == "nll_at")].sort_values("context")
    axes.plot(linear["context"], linear["value"], "--", color="0.4", lw=1, label="autoregression AR(c)")
    for value in nll.loc[nll["run"] == "zeta/references/wigner", "value"]:
        axes.axhline(value, color="0.4", lw=1, ls=":", label=reference_label("wigner"))
    axes.set(
        xscale="log",
        xlabel="spacings known",
        ylabel="negative log-likelihood (nats per spacing)",
        title="truncated context, real spacings of the test band; bands: range over seeds",
    )
    plain_log(axes.xaxis)
    figure.legend(loc="outside lower center", ncols=3, fontsize=7.5)
    sample_sizes(figure, **counts(long, models))
    return figure


def rollout(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Mean |accumulated error| of mean rollouts on real spacings from the longest context."""
    long = read_parquet(inputs["long"][0], where=of_metrics("err_mean", "windows"))
    rows = long[(long["metric"] == "err_mean") & (long["task"] == "real/test")]
    longest = int(rows["context"].max())
    rows = rows[rows["context"] == longest]
    figure, axes = plt.subplots()
    models = rows[rows["run"].str.startswith(COMPARED)]
    _model_curves(axes, models, "step")
    linear = {
        name: rows[rows["run"] == f"zeta/references/{name}"] for name in ("constant", "ar32", "ar64", "ar127")
    }
    for number, (name, errors) in enumerate((name, own) for name, own in linear.items() if len(own)):
        line = errors.set_index("step")["value"].sort_index()
        label = reference_label(name)
        axes.plot(line.index, line, color="0.4", lw=1, ls=DASHES[number % len(DASHES)], label=label)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="horizon h (spacings)",
        ylabel="mean |accumulated error| (mean spacings)",
        title=f"mean rollouts from {longest} spacings; bands: range over seeds",
    )
    figure.legend(loc="outside lower center", ncols=4, fontsize=7)
    plain_log(axes.xaxis, axes.yaxis)
    sample_sizes(figure, **counts(long, models))
    return figure


def statistics(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Spectral form factor and number variance of sampled rollouts, and histograms of the PIT."""
    both = (f"{whose}_{name}" for whose in ("rollout", "data") for name in ("form_factor", "number_variance"))
    long = read_parquet(inputs["long"][0], where=of_metrics(*both, "pit_share", "windows"))
    # Only models that roll out equally far: statistics depend on the length of the window.
    real = long[(long["task"] == "real/test") & long["run"].str.startswith(COMPARED)]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    _statistic(axes[0], real, "form_factor", 1e-3)
    tau = np.linspace(0, 0.45, 50)
    axes[0].plot(tau, tau, color="0.5", lw=1, ls=":")
    axes[0].set(xlabel="τ", ylabel="form factor K(τ)", title="sampled rollouts (dotted: GUE ramp)")
    _statistic(axes[1], real, "number_variance", 1.0)
    axes[1].set(xlabel="length L (mean spacings)", ylabel="number variance Σ²(L)", xscale="log")
    shares = real[real["metric"] == "pit_share"]
    for colour, label, runs in _models(shares):
        axes[2].plot(runs.groupby("step")["value"].mean() * 10, color=colour, label=label)
    axes[2].axhline(1, color="0.5", lw=1, ls=":")
    axes[2].set(xlabel="tenth of the PIT", ylabel="density", title="calibration (flat: calibrated)")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7.5)
    sample_sizes(figure, **counts(long, shares))
    return figure


def size(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Test scores with half a window known by training size, and training NLL as training goes on."""
    long = read_parquet(inputs["long"][0], where=of_metrics("nll", "mae", "nll_long", "mae_long", "windows"))
    sizes = read_parquet(inputs["sizes"][0])
    sizes = sizes[sizes["seeds"] > 0]
    measures = {"nll": "NLL (nats per spacing)", "mae": "mean |error| (mean spacings)"}
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    for panel, (metric, label) in zip(axes, measures.items(), strict=False):
        for name, colour in {"real": "C0", "shuffled": "C7"}.items():
            _by_size(panel, sizes[sizes["set"] == name], f"{metric}_long", name, colour)
        for name, value in references(long, "real/test", metric).items():
            panel.axhline(value, color="0.4", lw=1, ls={"wigner": ":", "ar255": "-"}.get(name, "--"))
            place = {"xy": (0.02, value), "xycoords": ("axes fraction", "data")}
            panel.annotate(reference_label(name), **place, fontsize=7, va="bottom")
        panel.set(xscale="log", xlabel="training spacings", ylabel=label)
    axes[0].set_title("at least half a window known")
    _along_training(axes[2], long, sizes)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=7.5)
    models = long[long["group"].isin(sizes["group"]) & (long["metric"] == "nll_long")]
    sample_sizes(figure, **counts(long, models))
    return figure


def masks(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Both attention masks, of 24 spacings behind 8 memory slots; dark where a row reads a column."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4.2), sharey=True)
    titles: dict[AttentionMask, str] = {
        "published": "published: memory rows read the future",
        "causal": "causal: memory rows read memory",
    }
    for panel, (kind, title) in zip(axes, titles.items(), strict=True):
        panel.imshow(attention_mask(SLOTS, LENGTH, kind).numpy(), cmap="Blues", vmin=0, vmax=1.4)
        panel.axhline(SLOTS - 0.5, color="C1", lw=1)
        panel.axvline(SLOTS - 0.5, color="C1", lw=1)
        panel.grid(visible=False)
        panel.set(title=title, xlabel=f"token read ({SLOTS} memory slots, then spacings)")
    axes[0].set_ylabel("token reading")
    return figure


def of_metrics(*names: str) -> pc.Expression:
    """Rows of these metrics."""
    return pc.field("metric").isin(names)


def _lines(long: pd.DataFrame, task: str, window: int) -> dict[str, float]:
    """NLL of the references over the contexts of a window of the models shown."""
    wigner = references(long, task, "nll").get("wigner")
    lines = {} if wigner is None else {"iid Wigner": wigner}
    for order in ORDERS:
        value = autoregression_nll(long, task, order, window)
        if order < window and not np.isnan(value):
            lines[f"AR({order}), contexts 1–{window - 1}"] = value
    return lines


def _models(rows: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Colour, label and rows of each model."""
    labels = model_labels(rows)
    for number, (group, runs) in enumerate(rows.groupby("group", sort=False)):
        yield f"C{number % 8}", labels[str(group)], runs


def _model_curves(axes: Axes, rows: pd.DataFrame, along: str) -> None:
    """The mean over seeds of each model along a column, with a band from the least to the greatest."""
    for colour, label, runs in _models(rows):
        curves = runs.pivot_table(index=along, columns="seed", values="value")
        banded(axes, curves, "o-", color=colour, ms=4, label=label)


def _statistic(axes: Axes, real: pd.DataFrame, quantity: str, unit: float) -> None:
    """A statistic of each model's rollouts, and of the true continuations."""
    for colour, _, runs in _models(real[real["metric"] == f"rollout_{quantity}"]):
        curve = runs.groupby("step")["value"].mean()
        axes.plot(curve.index * unit, curve, "o-", ms=3, color=colour, lw=1)
    # All runs are rolled out beside the same zeros.
    data = real[real["metric"] == f"data_{quantity}"].drop_duplicates("step").sort_values("step")
    axes.plot(data["step"] * unit, data["value"], "k--", lw=1.2)


def _by_size(axes: Axes, sizes: pd.DataFrame, metric: str, name: str, colour: str) -> None:
    if sizes.empty:
        return
    axes.plot(sizes["training_spacings"], sizes[metric], color=colour, lw=1)
    for several, bars in BARS.items():
        part = sizes[(sizes["seeds"] > 1) == several]
        if part.empty:
            continue
        ends = (part[metric] - part[f"{metric}_low"], part[f"{metric}_high"] - part[metric])
        axes.errorbar(
            part["training_spacings"],
            part[metric],
            [end.clip(lower=0).to_numpy() for end in ends],
            fmt="o",
            color=colour,
            mfc=colour if several else "white",
            ms=4,
            lw=1,
            capsize=2,
            label=f"{name} spacings, {bars}",
        )


def _along_training(axes: Axes, long: pd.DataFrame, sizes: pd.DataFrame) -> None:
    """NLL of the training batches, smoothed, over the spacings read so far."""
    rows = long[(long["benchmark"] == "pretrain") & (long["task"] == "train") & (long["metric"] == "nll")]
    real = sizes[sizes["set"] == "real"].set_index("group")
    for number, (group, size) in enumerate(real[["training_spacings", "spacings_read"]].iterrows()):
        runs = rows[rows["group"] == group]
        curve = runs.groupby("step")["value"].mean().rolling(5, min_periods=1).mean()
        if curve.empty:
            continue
        read = curve.index / curve.index.max() * size["spacings_read"]
        label = f"{size['training_spacings']:,} training spacings"
        axes.plot(read, curve, color=f"C{number % 8}", lw=1, label=label)
    axes.set(xscale="log", xlabel="spacings read", ylabel="NLL of training batches", title="along training")
    if axes.lines:
        axes.legend(fontsize=7.5)
    plain_log(axes.xaxis)


def model_labels(rows: pd.DataFrame) -> dict[str, str]:
    """The models of rows as the figures call them, by run group; with their windows where those differ."""
    lengths = rows.groupby("group", sort=False)["length"].max()
    windows = [f", window {length}" if lengths.nunique() > 1 else "" for length in lengths]
    groups = [str(group) for group in lengths.index]
    return {group: model_label(group) + window for group, window in zip(groups, windows, strict=True)}


def model_label(group: str) -> str:
    """``zeta/models/memory_causal_shuffled`` as ``memory (causal mask)``.

    Models of the sweep ``leak`` are small, those of ``size`` spectral.
    """
    name = group.rsplit("/", 1)[-1].removesuffix("_shuffled").removesuffix("_gue")
    if name.startswith("limit"):
        return f"spectral, {int(name.removeprefix('limit')):,} spacings"
    name = f"small memory_{name}" if group.startswith("zeta/leak/") else name
    for mask in ("published", "causal"):
        if name.endswith(f"_{mask}"):
            return f"{name.removesuffix(f'_{mask}')} ({mask} mask)"
    return name


def reference_label(name: str) -> str:
    """``ar32`` as ``AR(32)``."""
    order = name.removeprefix("ar")
    return f"AR({order})" if order.isdigit() else {"wigner": "iid Wigner"}.get(name, name)


def references(long: pd.DataFrame, task: str, metric: str, step: int = -1) -> dict[str, float]:
    """A metric of the reference predictors on a test set such as ``real/test``, by name."""
    rows = long[(long["task"] == task) & (long["metric"] == metric) & (long["step"] == step)]
    named = rows[rows["run"].str.startswith(REFERENCES)]
    values = dict(zip(named["run"].str.removeprefix(REFERENCES), named["value"], strict=True))
    return {name: values[name] for name in SHOWN if name in values}


def counts(long: pd.DataFrame, shown: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Sample sizes of the models shown: the range of a run's ``windows`` and of a model's ``seeds``."""
    windows = long.loc[(long["metric"] == "windows") & long["run"].isin(shown["run"]), "value"]
    return {"windows": spread(windows), "seeds": spread(shown.groupby("group")["seed"].nunique())}
