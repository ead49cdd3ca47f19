"""Every trained configuration, and every filter around a frozen forecaster, against its baseline."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import plain_log, sample_sizes, spread
from specseq.tables import read_parquet

LARGEST = 2.0
COLOURS = {"better": "C2", "worse": "C1", "undecided": "0.35"}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Two panels of paired ratios of MASE with 95 % intervals: trained runs; self reversal of frozen ones.

    Args:
        inputs: ``summary``, the study's comparison table.
        params: none.
    """
    table = read_parquet(inputs["summary"][0])
    trained = table[(table["forecaster"] == "trained") & (table["reversal"] == "none")]
    trained = trained[trained["group"] != trained["baseline"]]
    frozen = table[table["group"].str.startswith("preconditioning/frozen") & (table["reversal"] == "self")]
    labels = frozen["filter"] + " (" + frozen["forecaster"] + ")"
    drawn = max(int(np.isfinite(part["ratio"]).sum()) for part in (trained, frozen))
    height = 1.6 + 0.19 * drawn
    figure, (left, right) = plt.subplots(1, 2, figsize=(10.4, height))
    _panel(left, trained, trained["group"].str.removeprefix("preconditioning/"))
    _panel(right, frozen, labels)
    left.set_title("trained with the filter, against the trained baseline")
    right.set_title("filter around a frozen forecaster, self reversal")
    if len(table):
        shown = pd.concat([trained, frozen])
        shown = shown[shown["ratio"] <= LARGEST]
        sample_sizes(figure, configs=spread(shown["paired_configs"]), seeds=spread(shown["seeds"]))
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, labels: "pd.Series[str]") -> None:
    benchmarks = rows["benchmark"].nunique() > 1
    beyond = int((rows["ratio"] > LARGEST).sum())  # unstable filters, up to 1e6
    diverged = int((rows["verdict"] == "diverged").sum())
    rows = rows[rows["ratio"] <= LARGEST]
    rows = rows.assign(label=labels + (", " + rows["benchmark"] if benchmarks else "")).sort_values("ratio")
    place = np.arange(len(rows))
    for verdict, colour in COLOURS.items():
        own = (rows["verdict"] == verdict).to_numpy()
        part = rows[own]
        axes.errorbar(
            part["ratio"],
            place[own],
            xerr=np.array([part["ratio"] - part["low"], part["high"] - part["ratio"]]),
            fmt="o",
            ms=4,
            lw=1.1,
            color=colour,
            label=verdict,
        )
    axes.axvline(1, color="0.4", lw=1)
    axes.set_yticks(place, rows["label"], fontsize=7)
    low, high = (rows["low"].min(), rows["high"].max()) if len(rows) else (0.9, 1.1)
    axes.set(xscale="log", xlim=(low * 0.97, min(high, 2 * LARGEST) * 1.03), ylim=(-1, max(len(rows), 1)))
    counts = [f"{beyond} above {LARGEST:g}"] * (beyond > 0) + [f"{diverged} diverged"] * (diverged > 0)
    left_out = f"; left out: {', '.join(counts)}" if counts else ""
    axes.set_xlabel(f"ratio of MASE (below 1 is better){left_out}")
    plain_log(axes.xaxis)
    if len(rows):
        axes.legend(loc="lower right")
