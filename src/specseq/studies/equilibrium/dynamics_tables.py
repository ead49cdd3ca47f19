"""Tables of what solvers and spectra do along runs of the equilibrium study."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from specseq.tables import read_parquet

SETTLED = 1e-5
WIDTHS = "equilibrium/width/c"
AT_WIDTH = ("jacobian_norm", "rotation", "alpha", "eps_crit", "damping_ratio")
MEASURES = ("step_residual", "force_residual", "evaluations", "time", "rho")
CONTROLLED = ("free_step", "free_floor_overshoots", "free_handed_off", "nudged_step", "nudged_handed_off")


def controllers(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Controllers of the step along training: one row per run group whose solver adapts its step.

    Every column but the first two is a mean over seeds, of the solves that were recorded:

    - ``step_first``, ``step_least``, ``step_last``: the typical step ε of the free phase (geometric mean over
      the second half of a solve and over samples);
    - ``floor_overshoots``: times per solve and sample that the step should have shrunk but was at its floor;
    - ``handed_off``: share of solves that Anderson took over;
    - ``nudged_step_last``, ``nudged_handed_off``: the same for the nudged phase;
    - ``eps_crit_last``: the largest stable step by the exact spectrum, at the last evaluation.
    """
    of_controllers = pc.field("metric").isin([*CONTROLLED, "valid/eps_crit"])
    of_controllers &= pc.field("benchmark") == "pretrain"
    long = read_parquet(inputs["long"][0], ["group", "seed", "step", "metric", "value"], of_controllers)
    columns = ["step_first", "step_least", "step_last", "floor_overshoots", "handed_off"]
    columns += ["nudged_step_last", "nudged_handed_off", "eps_crit_last"]
    rows = []
    for group, runs in long.groupby("group", sort=False):
        if "free_step" not in set(runs["metric"]):
            continue
        seeds = pd.DataFrame([_controlled(run) for _, run in runs.groupby("seed")])
        rows.append({"group": group, "seeds": len(seeds), **seeds.mean()})
    return pd.DataFrame(rows, columns=["group", "seeds", *columns]).assign(scale=params["scale"])


def _controlled(run: pd.DataFrame) -> dict[str, float]:
    values = {str(name): own["value"] for name, own in run.sort_values("step").groupby("metric")}
    none = pd.Series([float("nan")])
    step = values["free_step"]
    return {
        "step_first": step.iloc[0],
        "step_least": step.min(),
        "step_last": step.iloc[-1],
        "floor_overshoots": values["free_floor_overshoots"].mean(),
        "handed_off": values["free_handed_off"].mean(),
        "nudged_step_last": values.get("nudged_step", none).iloc[-1],
        "nudged_handed_off": values.get("nudged_handed_off", none).mean(),
        "eps_crit_last": values.get("valid/eps_crit", none).dropna().iloc[-1:].mean(),
    }


def steps(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """The ε-sweeps of audited checkpoints: one row per run and step ε, means over samples.

    ``step_residual`` ‖z' - z‖/‖z‖ as measured on one more step, ``force_residual`` ‖F‖/‖z‖, ``identity`` the
    first over ε times the second, ``settled`` the share of samples whose force residual is at most 1e-5,
    ``evaluations`` and ``time`` = ε × evaluations spent, ``rho`` the largest exact ρ(ε) of the roots. Samples
    that overflowed count in ``settled`` and ``rho`` alone.
    """
    swept = read_parquet(inputs["long"][0], where=pc.starts_with(pc.field("task"), "step_sweep/"))
    keys = ["group", "seed", "task", "step"]
    wide = swept.pivot_table(index=keys, columns="metric", values="value", sort=False, dropna=False)
    wide = wide.rename(columns=lambda name: str(name).removeprefix("swept/"))
    columns = [*MEASURES[:2], "identity", "settled", *MEASURES[2:]]
    rows = []
    for (group, seed, task), own in wide.groupby(level=keys[:3], sort=False):
        step = float(str(task).removeprefix("step_sweep/"))
        finite = own[np.isfinite(own["force_residual"])]
        means = {name: float(finite[name].mean()) for name in MEASURES}
        means["identity"] = float((finite["step_residual"] / (step * finite["force_residual"])).mean())
        means |= {"settled": float((own["force_residual"] <= SETTLED).mean()), "rho": float(own["rho"].max())}
        rows.append({"group": group, "seed": seed, "step": step, **means})
    return pd.DataFrame(rows, columns=["group", "seed", "step", *columns]).assign(scale=params["scale"])


def widths(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """The sweep ``width``: one row per width and seed, from the last evaluation with an equilibrium.

    ``jacobian_norm`` ‖J_nc‖_F/√n over the n entries of a state (root mean square of the singular values),
    ``rotation`` max |Im μ|, ``alpha`` max Re μ, ``eps_crit``, ``damping_ratio``; ``loss_best`` is the lowest
    validation loss and ``step`` that of the evaluation.
    """
    of_widths = pc.starts_with(pc.field("group"), WIDTHS) & (pc.field("task") == "valid")
    own = read_parquet(inputs["long"][0], where=of_widths)
    rows = []
    for (group, seed), run in own.groupby(["group", "seed"], sort=False):
        curves = run.pivot_table(index="step", columns="metric", values="value", dropna=False)
        curves = curves.rename(columns=lambda name: str(name).removeprefix("valid/"))
        curves = curves.reindex(columns=["loss", *AT_WIDTH])
        last = curves.dropna(subset=["alpha"]).iloc[-1:]
        values = {name: float(last[name].mean()) for name in AT_WIDTH}
        width = int(str(group).removeprefix(WIDTHS))
        step = int(last.index[0]) if len(last) else -1
        rows.append((group, seed, width, step, float(curves["loss"].min()), *values.values()))
    columns = ["group", "seed", "width", "step", "loss_best", *AT_WIDTH]
    return pd.DataFrame(rows, columns=columns).assign(scale=params["scale"])
