"""What undoing a filter costs: MASE under each reversal against the gains of the reversal 1/A."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from specseq.report.style import plain_log, sample_sizes, spread
from specseq.tables import read_parquet

MARKS = {
    "self": ("C1", "o"),
    "plug_in": ("C4", "s"),
    "hybrid": ("C2", "D"),
    "fir": ("C3", "v"),
    "oracle": ("C0", "^"),
}
GAINS = {
    "absolute_gain": "worst-case gain of the reversal, Σ|h|",
    "noise_gain": "noise gain of the reversal, Σh²",
}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """MASE relative to no filter, with bootstrap intervals, over Σ|h| and over Σh².

    Of the designed filters those whose gains are finite; filters matched to errors are others in each config.

    Args:
        inputs: ``summary``, the study's comparison table, and ``filters``, the design stage's.
        params: none.
    """
    table = read_parquet(inputs["summary"][0])
    filters = read_parquet(inputs["filters"][0]).set_index("name")
    frozen = table["group"].str.startswith("preconditioning/frozen") & table["filter"].isin(filters.index)
    scored = table.loc[frozen & (table["reversal"] == "self"), ["group", "forecaster"]].drop_duplicates()
    designed = table[frozen].merge(scored, on=["group", "forecaster"])
    numbers = filters.loc[designed["filter"], list(GAINS)].assign(ratio=designed["ratio"].to_numpy())
    shown = designed[np.isfinite(numbers.to_numpy()).all(axis=1)]
    figure, panels = plt.subplots(1, 2, figsize=(9.6, 4.4), sharey=True)
    for axes, (gain, label) in zip(panels, GAINS.items(), strict=True):
        for number, (forecaster, of_one) in enumerate(shown.groupby("forecaster", sort=False)):
            for reversal, (colour, mark) in MARKS.items():
                own = of_one[of_one["reversal"] == reversal]
                x = filters[gain].reindex(own["filter"]).to_numpy()
                axes.errorbar(
                    x * 1.02**number,
                    own["ratio"],
                    np.array([own["ratio"] - own["low"], own["high"] - own["ratio"]]),
                    fmt=mark,
                    color=colour,
                    mfc=colour if number == 0 else "white",
                    ms=4.5,
                    lw=0.7,
                    alpha=0.85,
                    label=reversal if number == 0 else f"{reversal}, {forecaster}",
                )
        axes.axhline(1, color="0.4", lw=1)
        axes.set(xscale="log", yscale="log", xlabel=label)
        plain_log(axes.xaxis, axes.yaxis)
    panels[0].set(ylabel="MASE relative to no filter")
    unstable = int((~filters["stable"].reindex(designed["filter"].unique())).sum())
    names = ", ".join(shown["forecaster"].unique())
    figure.suptitle(
        f"{names} inside each filter; 95 % intervals; {unstable} unstable left out",
        fontsize=10.5,
    )
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower left", ncols=5)
    sample_sizes(
        figure,
        filters=shown["filter"].nunique(),
        configs=spread(shown["paired_configs"]),
        seeds=spread(shown["seeds"]),
    )
    return figure
