"""How far rollouts stray: accumulated error over the horizon, with the linear predictors as reference."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from specseq.report.style import plain_log, sample_sizes
from specseq.studies.zeta.figures.shared import COMPARED, DASHES, counts, model_labels, reference_label
from specseq.tables import read_parquet


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Mean |accumulated error| of mean rollouts on real spacings from the longest context.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    long = read_parquet(inputs["long"][0])
    rows = long[(long["metric"] == "err_mean") & (long["task"] == "real/test")]
    context = int(rows["context"].max())
    rows = rows[rows["context"] == context]
    figure, axes = plt.subplots()
    models = rows[rows["run"].str.startswith(COMPARED)]
    labels = model_labels(models)
    for number, (group, own) in enumerate(models.groupby("group", sort=False)):
        curve = own.groupby("step")["value"].agg(["mean", "min", "max"])
        axes.plot(curve.index, curve["mean"], "o-", color=f"C{number % 8}", ms=4, label=labels[str(group)])
        axes.fill_between(curve.index, curve["min"], curve["max"], color=f"C{number % 8}", alpha=0.15, lw=0)
    for number, (name, line) in enumerate(_reference_curves(rows).items()):
        axes.plot(
            line.index,
            line,
            color="0.4",
            lw=1,
            ls=DASHES[number % 4],
            label=reference_label(name),
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="horizon h (spacings)",
        ylabel="mean |accumulated error| (mean spacings)",
        title=f"mean rollouts from {context} spacings; bands: range over seeds",
    )
    figure.legend(loc="outside lower center", ncols=4, fontsize=7)
    plain_log(axes.xaxis, axes.yaxis)
    sample_sizes(figure, **counts(long, models))
    return figure


def _reference_curves(rows: pd.DataFrame) -> "dict[str, pd.Series[Any]]":
    names = ("constant", "ar32", "ar64", "ar127")
    found = {name: rows[rows["run"] == f"zeta/references/{name}"] for name in names}
    return {name: own.set_index("step")["value"].sort_index() for name, own in found.items() if len(own)}
