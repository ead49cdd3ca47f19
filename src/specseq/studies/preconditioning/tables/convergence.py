"""Table of how soon trained runs reach a given validation loss, beside where they end."""

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from specseq.report.tidy import group_of
from specseq.studies.preconditioning.tables.runs import BASELINE
from specseq.tables import read_all

LOSS = "valid/raw_loss"
MARGIN = 1.05
FILE = "pretrain.parquet"
COLUMNS = (
    *("group", "seed", "target", "reached", "steps", "share"),
    *("best_loss", "end_loss", "end_steps", "files"),
)


def convergence(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """Steps to a given validation loss; one row per run that was validated in training.

    The loss is the quantile loss of the raw series, after the recursive reversal if the model is trained on a
    filtered one. All runs are validated on the same windows, so the loss compares them whatever their filter.
    ``target`` is 1.05 times the loss that ``preconditioning/baseline`` of the same seed ends at. ``steps`` is
    the first validated step at or below it, counted from where the run began, which is later for runs that
    begin from another's weights; missing where it was not ``reached``. ``share`` is ``steps`` over those
    of the baseline. ``best_loss`` and ``end_loss`` are the lowest and the last loss, after ``end_steps``.
    """
    rows = read_all(inputs["runs"], pc.field("metric") == LOSS)
    rows = rows.assign(group=group_of(rows["run"]))
    curves = {
        (str(group), int(str(seed)), str(run)): own.set_index("step")["value"].sort_index()
        for (group, seed, run), own in rows.groupby(["group", "seed", "run"], sort=False)
    }
    baselines = {seed: curve for (group, seed, _), curve in curves.items() if group == BASELINE}
    found = [
        {"group": group, "seed": seed, **_row(curve, baselines.get(seed)), "files": f"runs/{run}/{FILE}"}
        for (group, seed, run), curve in curves.items()
    ]
    table = pd.DataFrame(found, columns=list(COLUMNS)).assign(scale=params["scale"])
    return table.astype({"steps": "Int64", "end_steps": "Int64", "share": float})


def _row(curve: "pd.Series[float]", baseline: "pd.Series[float] | None") -> dict[str, Any]:
    target = float("nan") if baseline is None else MARGIN * float(baseline.iloc[-1])
    steps = _first(curve, target)
    least = None if baseline is None else _first(baseline, target)
    return {
        "target": target,
        "reached": steps is not None,
        "steps": steps,
        "share": steps / least if steps and least else None,
        "best_loss": float(curve.min()),
        "end_loss": float(curve.iloc[-1]),
        "end_steps": int(curve.index[-1]),
    }


def _first(curve: "pd.Series[float]", target: float) -> int | None:
    """The first step at or below a loss."""
    below = curve.index[curve <= target]
    return int(below[0]) if len(below) else None
