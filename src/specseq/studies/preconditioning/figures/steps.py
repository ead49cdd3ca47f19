"""Error by horizon step under every reversal; beside the oracle, its control."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.filters import Filter, impulse_response
from specseq.report.style import plain_log, sample_sizes, spread
from specseq.tables import read_parquet

# In the order drawn: self reversal lies on others, FIR's above all, and has to be seen.
MODES = {"oracle": "C0", "hybrid": "C2", "plug_in": "C4", "fir": "C3", "self": "C1"}
WIDTHS = {"plug_in": 2.4, "fir": 4.0, "self": 1.1}
WANTED = ("lyapunov_d4_l5", "lyapunov_d4_l1", "chebyshev_d4", "matched_d2")


def draw(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """A panel a filter around one forecaster: error relative to no filter over the steps of the horizon.

    Args:
        inputs: ``steps``, the table ``preconditioning_steps``; ``filters``, the design stage's.
        params: none.
    """
    table = read_parquet(inputs["steps"][0])
    filters = read_parquet(inputs["filters"][0]).set_index("name")
    scored = table[table["group"].str.startswith("preconditioning/frozen") & (table["reversal"] == "self")]
    forecaster = "moirai2" if "moirai2" in set(scored["forecaster"]) else "seasonal_naive"
    scored = scored[scored["forecaster"] == forecaster]
    names = [name for name in WANTED if name in set(scored["filter"])]
    figure, panels = plt.subplots(
        1, max(len(names), 1), figsize=(2.8 * max(len(names), 2), 3.9), squeeze=False
    )
    for axes, name in zip(panels[0], names, strict=False):
        own = table[(table["forecaster"] == forecaster) & (table["filter"] == name)]
        own = own[own["group"].isin(set(scored["group"]))]
        for mode, colour in MODES.items():
            rows = own[own["reversal"] == mode].sort_values("step")
            style = {"color": colour, "lw": WIDTHS.get(mode, 1.6), "alpha": 0.45 if mode == "fir" else 1}
            axes.plot(rows["step"], rows["ratio"], label=mode, **style)
            axes.fill_between(rows["step"], rows["low"], rows["high"], color=colour, alpha=0.12, lw=0)
        oracle = own[own["reversal"] == "oracle"].sort_values("step")
        axes.plot(
            oracle["step"], oracle["control"], ":", color=MODES["oracle"], label="oracle, seasonal naive"
        )
        if name in filters.index:
            _white(axes, oracle, filters.loc[name])
        axes.axhline(1, color="0.4", lw=1)
        axes.set(xscale="log", yscale="log", xlabel="horizon step", title=name)
        plain_log(axes.xaxis, axes.yaxis)
    panels[0][0].set(ylabel="error relative to no filter")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    sample_sizes(figure, configs=spread(scored["configs"]))
    figure.suptitle(f"{forecaster}; bands are 95 % over configs, of which few reach late steps", fontsize=10)
    return figure


def _white(axes: Axes, oracle: Any, row: Any) -> None:
    """Self reversal as it would be if the errors that the oracle leaves were white: times √v(t)."""
    filter = Filter(row["family"], tuple(row["taps"]), int(row["stride"]))
    steps = oracle["step"].to_numpy()
    if not len(steps):
        return
    response = impulse_response(filter.array, int(steps.max()) // filter.stride + 1)
    gains = np.sqrt(np.cumsum(response**2))[(steps - 1) // filter.stride]
    axes.plot(steps, oracle["ratio"] * gains, "--", color="0.3", lw=1.2, label="oracle × √v(t)")
