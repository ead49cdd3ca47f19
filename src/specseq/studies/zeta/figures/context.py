"""What context is worth: one-step likelihood by the number of spacings known."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from specseq.report.style import sample_sizes
from specseq.studies.zeta.figures.shared import COMPARED, counts, model_labels, reference_label
from specseq.tables import read_parquet


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """NLL of a prediction from c spacings and no more, for models and autoregressions.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    long = read_parquet(inputs["long"][0])
    real = long[long["task"] == "real/test"]
    figure, axes = plt.subplots()
    models = real[(real["metric"] == "nll_truncated") & real["run"].str.startswith(COMPARED)]
    labels = model_labels(models)
    for number, (group, own) in enumerate(models.groupby("group", sort=False)):
        curve = own.groupby("context")["value"].agg(["mean", "min", "max"])
        axes.plot(curve.index, curve["mean"], "o-", color=f"C{number % 8}", ms=4, label=labels[str(group)])
        axes.fill_between(curve.index, curve["min"], curve["max"], color=f"C{number % 8}", alpha=0.15, lw=0)
    linear = real[(real["metric"] == "nll") & real["run"].str.startswith("zeta/references/ar")]
    linear = linear.sort_values("context")
    axes.plot(linear["context"], linear["value"], "s--", color="0.4", ms=4, lw=1, label="autoregression")
    for name, value in zip(
        *[
            real.loc[(real["metric"] == "nll") & (real["run"] == "zeta/references/wigner"), c]
            for c in ("run", "value")
        ],
        strict=True,
    ):
        axes.axhline(value, color="0.4", lw=1, ls=":", label=reference_label(name.rsplit("/", 1)[-1]))
    axes.set(
        xscale="log",
        xlabel="spacings known",
        ylabel="negative log-likelihood (nats a spacing)",
        title="truncated context, real spacings of the test band; bands: range over seeds",
    )
    figure.legend(loc="outside lower center", ncols=3, fontsize=7.5)
    sample_sizes(figure, **counts(long, models))
    return figure
