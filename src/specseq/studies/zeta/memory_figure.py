"""Figure of rollouts with memory kept, zeroed and faded."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import legend_below, nothing, plain_log, sample_sizes, spread
from specseq.studies.zeta.figures import model_label
from specseq.tables import read_parquet

MODES = {
    "err": ("kept", "C0", "o-"),
    "err_zeroed": ("zeroed", "C1", "s--"),
    "err_faded": ("faded", "C2", "^:"),
}
BASELINE = "zeta/models/baseline"


def memory(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
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
