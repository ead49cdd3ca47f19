"""Does a hybrid forecast as well as attention: ratios of MASE with intervals."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import counted, plain_log
from specseq.studies.stu.figures.shared import in_order, label
from specseq.tables import read_parquet

TRAINED = {"layout": "", "as_printed": ", schedule as printed"}
MARKS = {"all": "o", "short": "v", "medium": "s", "long": "^"}


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """One row a model: MASE over attention's of the same schedule, paired over configs and seeds.

    Terms stand below each other where several were evaluated.

    Args:
        inputs: ``summary``, the study's comparison table.
        params: none.
    """
    table = read_parquet(inputs["summary"][0])
    table = table[(table["benchmark"] == "gift_eval") & (table["group"] != table["baseline"])]
    groups = in_order(table["group"].unique())
    groups = [group for sweep in TRAINED for group in groups if group.split("/")[1] == sweep]
    figure, axes = plt.subplots(figsize=(7.2, 1.6 + 0.34 * max(1, len(groups))))
    axes.axvline(1, color="0.4", lw=1)
    terms = [term for term in MARKS if term in set(table["term"])]
    for number, term in enumerate(terms):
        _rows(axes, table[table["term"] == term].set_index("group"), groups, term, number, len(terms))
    names = [f"{label(group)}{TRAINED[group.split('/')[1]]}" for group in groups]
    axes.set_yticks(range(len(groups)), names)
    axes.set_ylim(len(groups) - 0.5, -0.5)
    configs, seeds = (int(table[name].max()) if len(table) else 0 for name in ("configs", "seeds"))
    axes.set(
        xscale="log",
        xlabel="MASE over that of attention (below 1 is better)",
        title=f"{counted(configs, 'configs')}, {counted(seeds, 'seeds')}; 95 % intervals over both",
    )
    plain_log(axes.xaxis)
    if len(terms) > 1:
        axes.legend(title="term", loc="best")
    return figure


def _rows(axes: Axes, table: pd.DataFrame, groups: list[str], term: str, number: int, terms: int) -> None:
    own = table.reindex(groups)
    place = np.arange(len(groups)) + 0.6 * ((number + 0.5) / terms - 0.5)
    reach = np.array([own["ratio"] - own["low"], own["high"] - own["ratio"]])
    axes.errorbar(
        own["ratio"], place, xerr=reach, fmt=MARKS[term], color=f"C{number}", ms=5, lw=1.2, label=term
    )
