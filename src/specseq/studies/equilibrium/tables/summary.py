"""The runs of the equilibrium study, seeds pooled: how far each got, and what its operator had become.

One row a run group, every column but the first three a mean over seeds:

- ``loss_best``: lowest validation loss with the run's own solver and budget; ``loss_low``, ``loss_high`` its
  95 % interval over seeds (Student); ``loss_converged``: the last one at roots found by every means;
- ``against_euler``: ``loss_best`` less that of Euler at 0.1, seed by seed, with ``against_low`` and
  ``against_high``; ``verdict`` says whether the interval excludes zero;
- ``broke``: share of seeds whose free phase at the end leaves a force residual above 0.01, or that diverged;
- ``loss_at_break``: validation loss at the evaluation from which on no free phase converged any more, of the
  seeds that broke after having converged; the last one where a run diverged behind it. ``alpha_at_break``:
  max Re μ there. ``crossed``: share of seeds with α > 0 at some evaluation, ``im_at_crossing``: |Im μ| of the
  leading mode at the first such. ``<column>_low`` and ``<column>_high`` are their 95 % intervals, where every
  seed has a value;
- ``force_residual``, ``alpha``, ``im``, ``rotation``, ``eps_crit``, ``omega``, ``gap``, ``rho``,
  ``jacobian_norm``, ``cos_exact``: at the last evaluation where they could be measured;
- ``evaluations``: of the free and the nudged phase, a training step.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from specseq.scoring.comparison import student_interval
from specseq.tables import read_parquet

BASELINE = "equilibrium/wall/euler"
BROKEN = 0.01
LAST = (
    *("force_residual", "alpha", "im", "rotation", "eps_crit", "omega", "gap", "rho"),
    *("jacobian_norm", "cos_exact", "loss_converged"),
)
AT_EVENTS = ("loss_at_break", "alpha_at_break", "im_at_crossing")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``long``, all results of the study.
        params: ``scale``.
    """
    long = read_parquet(inputs["long"][0])
    long = long[long["benchmark"] == "pretrain"]
    runs = {group: per_seed(own) for group, own in long.groupby("group", sort=False)}
    rows = [_summary(str(group), seeds, runs.get(BASELINE)) for group, seeds in runs.items()]
    return pd.DataFrame(rows).assign(scale=params["scale"])


def per_seed(own: pd.DataFrame) -> pd.DataFrame:
    """One row a seed of one run group."""
    made = {}
    for seed, run in own.groupby("seed"):
        curves = run.pivot_table(index="step", columns="metric", values="value", dropna=False)
        made[seed] = _seed(curves)
    return pd.DataFrame.from_dict(made, orient="index")


def _seed(curves: pd.DataFrame) -> dict[str, float]:
    def column(name: str) -> "pd.Series[float]":
        return curves[name].dropna() if name in curves else pd.Series(dtype=float)

    loss, residual, alpha = column("valid/loss"), column("valid/force_residual"), column("valid/alpha")
    diverged = "diverged" in curves
    at = _break(residual, diverged)
    crossing = next(iter(alpha.index[alpha > 0]), None)
    values = {
        "steps": float(curves.index.max()),
        "loss_best": float(loss.min()),
        "broke": float(diverged or (len(residual) > 0 and residual.iloc[-1] > BROKEN)),
        "loss_at_break": float(loss.get(at, np.nan)),
        "alpha_at_break": float(alpha.get(at, np.nan)),
        "crossed": float(crossing is not None),
        "im_at_crossing": abs(float(column("valid/im").get(crossing, np.nan))),
        "diverged": float(diverged),
        "evaluations": float(column("free_evaluations").mean()),
    }
    if len(column("nudged_evaluations")):
        values["evaluations"] += float(column("nudged_evaluations").mean())
    for name in LAST:
        last = column(f"valid/{name}")
        values[name] = float(last.iloc[-1]) if len(last) else np.nan
    return values


def _break(residual: "pd.Series[float]", diverged: bool) -> Any:
    """Step of the evaluation from which on no free phase converged; None where the last one or none did."""
    settled = residual.index[residual <= BROKEN]
    if not len(settled):
        return None
    lost = residual.index[residual.index > settled[-1]]
    if len(lost):
        return lost[0]
    return settled[-1] if diverged else None


def _summary(group: str, seeds: pd.DataFrame, baseline: pd.DataFrame | None) -> dict[str, Any]:
    made: dict[str, Any] = {"group": group, "seeds": len(seeds)}
    made |= {str(name): float(value) for name, value in seeds.mean().items()}
    made["loss_low"], made["loss_high"] = interval(seeds["loss_best"].to_numpy())
    for name in AT_EVENTS:
        values = seeds[name].to_numpy()
        ends = interval(values) if np.isfinite(values).all() else (np.nan, np.nan)
        made[f"{name}_low"], made[f"{name}_high"] = ends
    made |= dict.fromkeys(("against_euler", "against_low", "against_high"), np.nan) | {"verdict": ""}
    if baseline is not None and group != BASELINE:
        shared = seeds.index.intersection(baseline.index)
        less = (seeds.loc[shared, "loss_best"] - baseline.loc[shared, "loss_best"]).to_numpy()
        if len(less):
            low, high = interval(less)
            made["against_euler"], made["against_low"], made["against_high"] = less.mean(), low, high
            made["verdict"] = "lower" if high < 0 else "higher" if low > 0 else "undecided"
    return made


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Student's 95 % interval of the mean of those that are finite; NaN for fewer than two."""
    return student_interval(values[np.isfinite(values)])
