"""The memory model changed in one respect at a time: a table of paired differences and its figure."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow.compute as pc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from specseq.report.gates import UNDECIDABLE
from specseq.report.style import nothing, plain_log, sample_sizes, spread
from specseq.scoring.comparison import student_interval
from specseq.studies.zeta.tables import OF_ROLLOUTS
from specseq.tables import read_parquet

MASKS = ("published", "causal")
CHANGES = {
    "zeta/ablation/residual_{mask}": "residuals s - 1",
    "zeta/ablation/rope_{mask}": "rotary positions",
    "zeta/ablation/length_{mask}": "window twice as long",
    "zeta/entropy/entropy_weight0_{mask}": "entropy weight 0",
    "zeta/ablation/entropy_{mask}": "entropy weight .01",
    "zeta/entropy/entropy_weight0.02_{mask}": "entropy weight .02",
    "zeta/entropy/entropy_weight0.05_{mask}": "entropy weight .05",
    "zeta/rollout_training/memory_{mask}": "own rollouts, draws",
    "zeta/rollout_training/mean_{mask}": "own rollouts, means",
    "zeta/gating/memory_{mask}": "gate of memory",
    "zeta/models/flash_{mask}": "Flash",
    "zeta/ablation/flash512_{mask}": "Flash, window of 512",
}
HORIZON = 100
COLUMNS = (
    *("change", "mask", "group", "baseline", "seeds", "context", "nll", "nll_low", "nll_high"),
    *("rollout_context", "ratio", "low", "high", "gate", "scale"),
)


def changes(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """What one change is worth to the memory model, paired over seeds.

    One row per ``change`` and ``mask``, on real spacings. ``nll`` is the NLL of the changed model less that
    of the ``baseline`` (nats per spacing), of predictions from ``context`` known spacings and no others:
    no leak can help there, and windows of any length compare. ``ratio`` is the error accumulated over 100
    spacings of mean rollouts from ``rollout_context`` over that of the baseline. Both contexts are the
    longest that both models have. Ends are of Student's intervals over ``seeds``, missing for one seed.
    ``gate`` is that of the baseline in the table ``zeta``.
    """
    measured = pc.field("metric").isin(["nll_truncated", "err_mean"])
    long = read_parquet(inputs["long"][0], where=OF_ROLLOUTS & measured)
    long = long[(long["task"] == "real/test") & np.isfinite(long["value"])]
    models = read_parquet(inputs["zeta"][0])
    gates = models[models["set"] == "real"].set_index("group")["gate"].to_dict()
    rows = [
        {"change": change, "mask": mask, **row, "gate": gates.get(row["baseline"]), "scale": params["scale"]}
        for name, change in CHANGES.items()
        for mask in MASKS
        if (row := _compared(long, name.format(mask=mask), f"zeta/models/memory_{mask}"))
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _compared(long: pd.DataFrame, group: str, baseline: str) -> dict[str, Any]:
    """Differences between two models; empty without a seed that both have."""
    likelihoods = long[long["metric"] == "nll_truncated"]
    errors = long[(long["metric"] == "err_mean") & (long["step"] == HORIZON)]
    context, nll = _pairs(likelihoods, group, baseline)
    start, error = _pairs(errors, group, baseline)
    if nll.empty or error.empty:
        return {}
    differences = (nll[group] - nll[baseline]).to_numpy()
    log_ratios = np.log((error[group] / error[baseline]).to_numpy())
    low, high = student_interval(differences)
    least, most = np.exp(student_interval(log_ratios))
    return {
        "group": group,
        "baseline": baseline,
        "seeds": min(len(nll), len(error)),
        **{"context": context, "nll": differences.mean(), "nll_low": low, "nll_high": high},
        "rollout_context": start,
        **{"ratio": np.exp(log_ratios.mean()), "low": least, "high": most},
    }


def _pairs(rows: pd.DataFrame, *groups: str) -> tuple[int, pd.DataFrame]:
    """The longest context that all groups have, and their values there: one row per seed of all."""
    own = rows[rows["group"].isin(groups)]
    table = own.pivot_table(index=["context", "seed"], columns="group", values="value")
    table = table.reindex(columns=list(groups)).dropna()
    if table.empty:
        return 0, table
    context = table.index.get_level_values("context").max()
    return int(context), table.loc[context]


def figure(inputs: dict[str, list[Path]], params: dict[str, Any]) -> Figure:
    """One row per change: its effect on the NLL (left) and on rollouts (right), a mark per mask.

    Rows whose baseline is no better than its reference are hollow: they decide nothing.
    """
    table = read_parquet(inputs["changes"][0])
    if table.empty:
        return nothing(
            "This scale leaves out the sweeps that change the memory model; scale workstation has them."
        )
    names = list(dict.fromkeys(table["change"]))
    drawn, axes = plt.subplots(1, 2, figsize=(9.6, 1.6 + 0.36 * len(names)), sharey=True)
    for number, mask in enumerate(MASKS):
        rows = table[table["mask"] == mask].set_index("change").reindex(names)
        place = np.arange(len(names)) + 0.3 * (number - 0.5)
        style = {"color": "C1" if mask == "published" else "C0", "label": f"{mask} mask"}
        _marks(axes[0], rows, ["nll", "nll_low", "nll_high"], place, style)
        _marks(axes[1], rows, ["ratio", "low", "high"], place, style)
    axes[0].axvline(0, color="0.4", lw=1)
    axes[1].axvline(1, color="0.4", lw=1)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    known, start = (spread(table[name])[1] for name in ("context", "rollout_context"))
    axes[0].set(
        xlabel="NLL less that of the memory model (nats per spacing)", title=f"from {known} known spacings"
    )
    axes[1].set(
        xscale="log",
        xlabel=f"rollout error after {HORIZON} spacings over the memory model's",
        title=f"mean rollouts from {start} spacings",
    )
    plain_log(axes[1].xaxis)
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    sample_sizes(drawn, seeds=spread(table["seeds"]))
    return drawn


def _marks(
    axes: Axes, rows: pd.DataFrame, columns: list[str], place: NDArray[Any], style: dict[str, Any]
) -> None:
    """Values with their intervals, from the columns of value, low and high."""
    known = rows["group"].notna().to_numpy()
    gated = rows["gate"].astype("string").str.startswith(UNDECIDABLE).fillna(False).to_numpy(bool)
    for some, face in ((known & ~gated, style["color"]), (gated, "white")):
        if not some.any():
            continue
        value, low, high = rows.loc[some, columns].to_numpy(float).T
        reach = np.nan_to_num(np.array([value - low, high - value]))
        axes.errorbar(value, place[some], xerr=reach, fmt="o", ms=5, lw=1.2, mfc=face, **style)
        style = {**style, "label": "_"}
