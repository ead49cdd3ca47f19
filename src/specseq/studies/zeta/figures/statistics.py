"""Do rollouts look like zeros: form factor, number variance and calibration."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.report.style import sample_sizes
from specseq.studies.zeta.figures.shared import COMPARED, counts, model_labels
from specseq.tables import read_parquet


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Spectral form factor and number variance of sampled rollouts, and histograms of the PIT.

    Args:
        inputs: ``long``, all results of the study.
        params: none.
    """
    long = read_parquet(inputs["long"][0])
    # The models compared roll out equally far; statistics of windows of other lengths are others.
    real = long[(long["task"] == "real/test") & long["run"].str.startswith(COMPARED)]
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.8))
    _curves(axes[0], real, "form_factor", 1e-3)
    tau = np.linspace(0, 0.45, 50)
    axes[0].plot(tau, tau, color="0.5", lw=1, ls=":")
    axes[0].set(xlabel="τ", ylabel="form factor K(τ)", title="sampled rollouts (dotted: GUE ramp)")
    _curves(axes[1], real, "number_variance", 1.0)
    axes[1].set(xlabel="length L (mean spacings)", ylabel="number variance Σ²(L)", xscale="log")
    shares = real[real["metric"] == "pit_share"]
    labels = model_labels(shares)
    for number, (group, own) in enumerate(shares.groupby("group", sort=False)):
        axes[2].plot(
            own.groupby("step")["value"].mean() * 10, color=f"C{number % 8}", label=labels[str(group)]
        )
    axes[2].axhline(1, color="0.5", lw=1, ls=":")
    axes[2].set(xlabel="tenth of the PIT", ylabel="density", title="calibration (flat: calibrated)")
    figure.legend(*axes[2].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=7.5)
    sample_sizes(figure, **counts(long, shares))
    return figure


def _curves(axes: Axes, real: pd.DataFrame, quantity: str, unit: float) -> None:
    rolled = real[real["metric"] == f"rollout_{quantity}"]
    for number, (_, own) in enumerate(rolled.groupby("group", sort=False)):
        curve = own.groupby("step")["value"].mean()
        axes.plot(curve.index * unit, curve, "o-", ms=3, color=f"C{number % 8}", lw=1)
    # All runs are rolled out beside the same zeros.
    data = real[real["metric"] == f"data_{quantity}"].drop_duplicates("step").sort_values("step")
    axes.plot(data["step"] * unit, data["value"], "k--", lw=1.2)
