"""Measured against predicted: how much of a filter's effect the errors without it foretell."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from specseq.report.style import plain_log, sample_sizes
from specseq.tables import read_parquet

PANELS = (
    ("predicted_white", "self_over_oracle", "self / oracle, if errors are white: mean √v(t)"),
    ("predicted_residual", "self_over_oracle", "self / oracle, from the errors without a filter"),
    ("predicted_oracle", "oracle_ratio", "oracle / no filter, if the forecaster is linear"),
)


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Three panels: self over oracle by the white-noise law and by measured residuals, and the oracle's gain.

    Args:
        inputs: ``theory``, the table ``preconditioning_theory``.
        params: none.
    """
    table = read_parquet(inputs["theory"][0])
    stable = table[table["spectral_radius"] < 1]
    figure, panels = plt.subplots(1, 3, figsize=(10.8, 4.0))
    for axes, (predicted, measured, title) in zip(panels, PANELS, strict=True):
        for number, (forecaster, own) in enumerate(stable.groupby("forecaster", sort=False)):
            single, pooled = own[own["task"] != "all"], own[own["task"] == "all"]
            axes.plot(single[predicted], single[measured], ".", color=f"C{number}", ms=3, alpha=0.25)
            axes.plot(
                pooled[predicted], pooled[measured], "o", color=f"C{number}", ms=5, label=str(forecaster)
            )
        both = stable[[predicted, measured]].to_numpy(float)
        both = both[np.isfinite(both).all(axis=1)]
        if len(both):
            axes.plot([both.min(), both.max()], [both.min(), both.max()], color="0.4", lw=1)
        axes.set(xscale="log", yscale="log", xlabel="predicted", title=title)
        axes.title.set_fontsize(9)
        plain_log(axes.xaxis, axes.yaxis)
    panels[0].set(ylabel="measured ratio of MASE")
    if len(stable):
        panels[0].legend()
    configs = stable.loc[stable["task"] != "all", "task"].nunique()
    sample_sizes(figure, filters=stable["filter"].nunique(), configs=configs)
    return figure
