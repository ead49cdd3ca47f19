"""What the published attention mask does: likelihood on real and on shuffled spacings under each mask."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.figures.style import sample_sizes
from specseq.report.figures.zeta import DASHES, model_label, reference_label, references, scored_windows
from specseq.tables import read_parquet

SETS = {"real/test": "real spacings", "shuffled/test": "shuffled spacings"}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """NLL of every model and seed, beside the iid floor and the best autoregression.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    long = read_parquet(inputs["long"][0])
    rows = long[
        (long["metric"] == "nll") & long["run"].str.startswith(("zeta/models/", "zeta/leak/", "zeta/beyond/"))
    ]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 4.2), sharey=False)
    for panel, (task, title) in zip(axes, SETS.items(), strict=True):
        _panel(panel, rows[rows["task"] == task], long, task)
        panel.set(title=title, xlabel="negative log-likelihood (nats a spacing)")
    sample_sizes(figure, windows=scored_windows(long, rows), seeds=rows["seed"].nunique())
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, long: pd.DataFrame, task: str) -> None:
    groups = list(dict.fromkeys(rows["group"]))
    for place, group in enumerate(groups):
        values = rows.loc[rows["group"] == group, "value"].to_numpy()
        colour = "C1" if "published" in group else "C0"
        axes.plot(values, np.full(len(values), place), "o", color=colour, alpha=0.8)
    for number, (name, value) in enumerate(references(long, task, "nll").items()):
        axes.axvline(
            value, color="0.35", lw=1, ls=DASHES[number % 4], label=f"{reference_label(name)}: {value:.3f}"
        )
    axes.set_yticks(range(len(groups)), [model_label(group) for group in groups])
    axes.invert_yaxis()
    axes.legend(loc="lower left", fontsize=7.5, frameon=True, framealpha=1, edgecolor="none")
