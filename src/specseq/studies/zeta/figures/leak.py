"""What the published attention mask does: likelihood on real and on shuffled spacings under each mask."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import sample_sizes
from specseq.studies.zeta.figures.shared import DASHES, counts, model_labels, reference_label, references
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
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=False)
    labels = model_labels(rows)
    for panel, (task, title) in zip(axes, SETS.items(), strict=True):
        _panel(panel, rows[rows["task"] == task], labels, references(long, task, "nll"))
        panel.set(title=title, xlabel="negative log-likelihood (nats a spacing)")
    sample_sizes(figure, **counts(long, rows))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, labels: dict[str, str], known: dict[str, float]) -> None:
    groups = list(dict.fromkeys(rows["group"]))
    for place, group in enumerate(groups):
        values = rows.loc[rows["group"] == group, "value"].to_numpy()
        colour = "C1" if "published" in group else "C0"
        axes.plot(values, np.full(len(values), place), "o", color=colour, alpha=0.8)
    for number, (name, value) in enumerate(known.items()):
        axes.axvline(
            value, color="0.35", lw=1, ls=DASHES[number % 4], label=f"{reference_label(name)}: {value:.3f}"
        )
    axes.set_yticks(range(len(groups)), [labels[group] for group in groups], fontsize=8.5)
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=2, fontsize=7.5)
