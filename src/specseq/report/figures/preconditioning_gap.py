"""What undoing a filter costs: MASE under self and oracle reversal against the filter's noise gain."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from specseq.tables import read_parquet

MARKS = {"self": ("C1", "o"), "plug_in": ("C4", "s"), "fir": ("C3", "v"), "oracle": ("C0", "^")}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """MASE relative to no filter, with bootstrap intervals, over the absolute gain Σ|h| of the reversal.

    Args:
        inputs: ``summary``, the study's comparison table, and ``filters``, the design stage's.
        params: none.
    """
    table = read_parquet(inputs["summary"][0])
    gains = read_parquet(inputs["filters"][0]).set_index("name")["absolute_gain"]
    shown = table[table["filter"].isin(gains.index) & (table["forecaster"] == "seasonal_naive")]
    shown = shown.assign(gain=gains.reindex(shown["filter"]).to_numpy())
    finite = np.isfinite(shown["gain"]) & np.isfinite(shown["ratio"])
    figure, axes = plt.subplots(figsize=(7.2, 4.4))
    for reversal, (colour, mark) in MARKS.items():
        own = shown[finite & (shown["reversal"] == reversal)]
        errors = [own["ratio"] - own["low"], own["high"] - own["ratio"]]
        axes.errorbar(
            own["gain"],
            own["ratio"],
            errors,
            fmt=mark,
            color=colour,
            ms=5,
            lw=0.8,
            label=reversal,
            alpha=0.85,
        )
    axes.axhline(1, color="0.4", lw=1)
    configs = int(shown["configs"].max()) if len(shown) else 0
    unstable = shown.loc[~np.isfinite(shown["gain"]), "filter"].nunique()
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="absolute gain of the reversal, Σ|h|",
        ylabel="MASE relative to no filter",
        title=f"seasonal naive, {configs} configs, 95 % intervals; {unstable} unstable filter(s) left out",
    )
    axes.legend(title="reversal")
    return figure
