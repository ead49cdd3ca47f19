"""Rollouts with memory kept, zeroed and faded, and how far they drift: a table and its figure."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import legend_below, nothing, plain_log, sample_sizes, spread
from specseq.studies.zeta.figures import model_label
from specseq.studies.zeta.tables import OF_ROLLOUTS
from specseq.tables import read_parquet

KEYS = ["group", "set", "context", "step"]
MEASURES = {
    "err": "err_mean",
    "err_zeroed": "err_mean_zeroed",
    "err_faded": "err_mean_faded",
    "distance": "drift_distance_sampled",
    "distance_true": "drift_distance_true",
    "entropy": "drift_entropy_sampled",
    "entropy_true": "drift_entropy_true",
    "bias": "drift_bias_mean",
    "bias_zeroed": "drift_bias_mean_zeroed",
    "attention": "drift_attention_sampled",
    "attention_true": "drift_attention_true",
    "gate": "drift_gate_sampled",
    "gate_true": "drift_gate_true",
}
MODES = {
    "err": ("kept", "C0", "o-"),
    "err_zeroed": ("zeroed", "C1", "s--"),
    "err_faded": ("faded", "C2", "^:"),
}
BASELINE = "zeta/models/baseline"


def memory(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Rollouts of each model with memory kept, zeroed or faded, and what tells the note's explanations apart.

    One row per run group, test set, ``context`` and ``step`` that a run measured with ``rollout.memory`` or
    ``rollout.drift``; means over ``seeds``. ``err`` is the accumulated error of mean rollouts with memory
    kept, ``err_zeroed`` and ``err_faded`` the errors with memory zeroed and faded. ``distance`` is the
    distance of sampled rollouts from training windows, ``entropy`` the entropy of the mixtures predicted
    along them, ``attention`` the share of attention that memory takes in them, ``bias`` the mean error of
    mean rollouts at the step alone, ``gate`` how far a gate of memory is open; ``_true`` is the same on the
    true spacings.
    """
    names = {metric: name for name, metric in MEASURES.items()}
    rows = read_parquet(inputs["long"][0], where=OF_ROLLOUTS & pc.field("metric").isin(list(names)))
    rows = rows.assign(set=rows["task"].str.split("/").str[0], measure=rows["metric"].map(names))
    means = rows.groupby([*KEYS, "measure"])["value"].mean().unstack("measure").reindex(columns=[*MEASURES])
    means.insert(0, "seeds", rows.groupby(KEYS)["seed"].nunique())
    measured = means[means.drop(columns=["seeds", "err"]).notna().any(axis=1)]
    return measured.rename_axis(columns=None).reset_index().assign(scale=params["scale"])


def figure(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """|accumulated error| of mean rollouts by horizon, memory kept, zeroed and faded; one panel per model.

    Shows models of real spacings that were also rolled out without memory, each from its longest context.
    """
    table = read_parquet(inputs["memory"][0])
    table = table[table["set"] == "real"]
    table = table[table["context"] == table.groupby("group")["context"].transform("max")]
    shown = table[table["err_zeroed"].notna() | table["err_faded"].notna()]
    groups = list(dict.fromkeys(shown["group"]))
    if not groups:
        return nothing("This scale rolls no model out without its memory; scale workstation does.")
    width = max(5.0, 3.2 * len(groups))
    figure, axes = plt.subplots(1, len(groups), figsize=(width, 3.8), sharey=True, squeeze=False)
    for panel, group in zip(axes[0], groups, strict=True):
        _panel(panel, shown[shown["group"] == group].set_index("step"), table[table["group"] == BASELINE])
        panel.set(title=model_label(group), xlabel="horizon h (spacings)")
    axes[0, 0].set_ylabel("mean |accumulated error| (mean spacings)")
    legend_below(figure, axes[0], ncols=4)
    sample_sizes(figure, seeds=spread(shown["seeds"]))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, baseline: pd.DataFrame) -> None:
    for name, (label, colour, mark) in MODES.items():
        line = rows[name].dropna()
        if len(line):
            axes.plot(line.index, line, mark, color=colour, ms=4, label=f"memory {label}")
    same = baseline[baseline["context"] == rows["context"].iloc[0]].set_index("step")["err"]
    if len(same):
        axes.plot(same.index, same, color="0.5", lw=1, label="baseline without memory")
    axes.set(xscale="log", yscale="log")
    plain_log(axes.xaxis, axes.yaxis)
