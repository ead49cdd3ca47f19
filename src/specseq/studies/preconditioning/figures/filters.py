"""What filters do around a forecaster: their responses, what undoing them costs, what theory predicts."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from specseq.filters import Filter, frequency_response, impulse_response
from specseq.report.style import plain_log, sample_sizes, spread, whiskers
from specseq.tables import read_parquet

FAMILIES = {"identity": "identity", "chebyshev": "Chebyshev", "lyapunov": "Lyapunov", "literal": "as printed"}
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
PANELS = (
    ("predicted_white", "self_over_oracle", "self / oracle, if errors are white: mean √v(t)"),
    ("predicted_residual", "self_over_oracle", "self / oracle, from the errors without a filter"),
    ("predicted_oracle", "oracle_ratio", "oracle / no filter, if the forecaster is linear"),
)
# In drawing order: self reversal overlaps other curves, most of all FIR's, and must stay visible.
MODES = {"oracle": "C0", "hybrid": "C2", "plug_in": "C4", "fir": "C3", "self": "C1"}
WIDTHS = {"plug_in": 2.4, "fir": 4.0, "self": 1.1}
WANTED = ("lyapunov_d4_l5", "lyapunov_d4_l1", "chebyshev_d4", "matched_d2")


def filters(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Two panels: |A(e^{iω})| over frequency, and the roots of p in the complex plane."""
    table = read_parquet(inputs["filters"][0])
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.6, 4.4), width_ratios=(3, 2))
    for number, (family, rows) in enumerate(table.groupby("family", sort=False)):
        colour, label = f"C{number}", FAMILIES.get(str(family), str(family))
        row: Any
        for row in rows.itertuples():
            omega, response = frequency_response(Filter(row.family, tuple(row.taps), int(row.stride)))
            style = "-" if row.stable else "--"
            left.plot(omega / np.pi, np.abs(response), style, color=colour, lw=1.2, alpha=0.8, label=label)
            right.plot(
                row.roots_real, row.roots_imag, "o" if row.stable else "x", color=colour, ms=5, alpha=0.8
            )
            label = "_"
    circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
    right.plot(circle.real, circle.imag, color="0.5", lw=1)
    right.set_aspect("equal")
    right.set(xlabel="real part", ylabel="imaginary part", title="roots of p(x)")
    left.set(
        xlabel="frequency ω / π (1 is two steps a cycle)",
        ylabel="gain |A(e$^{iω}$)|",
        title=f"{len(table)} filters; dashed and ×: the reversal 1/A is unstable",
        yscale="log",
    )
    left.legend(loc="lower center", ncols=2)
    return figure


def gap(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """MASE relative to no filter, with bootstrap intervals, over Σ|h| and over Σh².

    Shows the designed filters with finite gains, not matched filters, which differ between configs. A dashed
    line is seasonal naive relative to the forecaster without a filter.
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
                    whiskers(own),
                    fmt=mark,
                    color=colour,
                    mfc=colour if number == 0 else "white",
                    ms=4.5,
                    lw=0.7,
                    alpha=0.85,
                    label=reversal if number == 0 else f"{reversal}, {forecaster}",
                )
        axes.axhline(1, color="0.4", lw=1)
        for value in (1 / shown["worth"].dropna()).round(6).unique():
            axes.axhline(value, color="C0", lw=1, ls="--", label="seasonal naive")
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


def theory(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """Self over oracle by the white-noise law and by measured residuals, and the oracle's gain."""
    table = read_parquet(inputs["theory"][0])
    stable = table[table["spectral_radius"] < 1]
    figure, panels = plt.subplots(1, 3, figsize=(10.8, 4.0))
    for axes, (predicted, measured, title) in zip(panels, PANELS, strict=True):
        # Residuals are measured of runs with matched filters alone: elsewhere nothing is predicted from them.
        known = stable[np.isfinite(stable[[predicted, measured]].to_numpy(float)).all(axis=1)]
        for number, forecaster in enumerate(stable["forecaster"].unique()):
            own = known[known["forecaster"] == forecaster]
            single, pooled = own[own["task"] != "all"], own[own["task"] == "all"]
            axes.plot(single[predicted], single[measured], ".", color=f"C{number}", ms=3, alpha=0.25)
            axes.plot(
                pooled[predicted], pooled[measured], "o", color=f"C{number}", ms=5, label=str(forecaster)
            )
        both = known[[predicted, measured]].to_numpy(float)
        if len(both):
            axes.plot([both.min(), both.max()], [both.min(), both.max()], color="0.4", lw=1)
            axes.set(xscale="log", yscale="log")
            plain_log(axes.xaxis, axes.yaxis)
        axes.set(xlabel="predicted", title=title)
        axes.title.set_fontsize(9)
    panels[0].set(ylabel="measured ratio of MASE")
    if len(stable):
        panels[0].legend()
    configs = stable.loc[stable["task"] != "all", "task"].nunique()
    sample_sizes(figure, filters=stable["filter"].nunique(), configs=configs)
    return figure


def steps(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """One panel per filter around one forecaster: error relative to no filter over the horizon."""
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
        if forecaster != "seasonal_naive":
            axes.plot(oracle["step"], oracle["reference"], "--", color="C0", lw=1, label="seasonal naive")
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
