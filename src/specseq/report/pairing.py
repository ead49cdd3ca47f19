"""Errors of two models side by side, task by task and seed by seed."""

from typing import Any

import numpy as np
import pandas as pd

from specseq.scoring.comparison import compare

_COMPARED = {
    **{name: name for name in ("ratio", "low", "high", "seed_sd")},
    **{"config_sd": "task_sd", "wilcoxon_p": "wilcoxon_p", "wins": "wins", "losses": "losses"},
}
"""Columns of tables -> fields of a comparison."""


def matrix(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """A metric by task and seed."""
    return rows.pivot(index="task", columns="seed", values=column)


def geometric(values: Any) -> float:
    """Geometric mean; NaN if a value is, or if there are none."""
    logs = np.log(np.asarray(values, dtype=float))
    return float(np.exp(logs.mean())) if len(logs) else float("nan")


def scorable(plain: Any) -> Any:
    """Whether errors can be compared with these: finite and above zero."""
    return np.isfinite(plain) & (plain > 0)


def paired(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables of errors (task by seed) on the seeds that both have and the tasks that can be scored.

    Args:
        ours: may hold errors that are not finite: what was lost stays visible.
        theirs: the baseline's. A task on which it has no finite error above zero (every scale is zero, or
            there is nothing to improve) says nothing about ours and is left out.
    """
    theirs = _shared(ours, theirs)
    theirs = theirs[scorable(theirs).all(axis=1)]
    return ours.loc[theirs.index, theirs.columns], theirs


def unpaired(ours: pd.DataFrame, theirs: pd.DataFrame) -> str:
    """The verdict where :func:`paired` leaves nothing: it is missing, diverged or cannot be scored."""
    shared = _shared(ours, theirs)
    if shared.empty:
        return "no baseline"
    return "undecided" if np.isfinite(shared.to_numpy(float)).all() else "diverged"


def compared(ours: pd.DataFrame, theirs: pd.DataFrame, diverged: bool = False) -> dict[str, Any]:
    """Errors against a baseline's, paired over the tasks and seeds that both have, with the ratio's interval.

    Where a task that can be scored was lost, the ratio is NaN and the verdict ``diverged``, because the
    remaining tasks are only those that went well. ``paired_configs`` still counts the remaining tasks.
    Where none is left, ours may be known to have ``diverged``.
    """
    a, b = (errors.to_numpy() for errors in paired(ours, theirs))
    usable = scorable(a).all(axis=1)
    found: dict[str, Any] = dict.fromkeys(_COMPARED, np.nan) | {"wins": 0, "losses": 0, "paired_configs": 0}
    found["paired_seeds"] = a.shape[1]
    if not a.size:
        return {**found, "verdict": "diverged" if diverged else unpaired(ours, theirs)}
    found["paired_configs"] = int(usable.sum())
    if not np.isfinite(a).all():
        return {**found, "verdict": "diverged"}
    if not usable.any():
        return {**found, "verdict": "undecided"}
    comparison = compare(a, b)
    found |= {column: getattr(comparison, name) for column, name in _COMPARED.items()}
    return {**found, "verdict": comparison.verdict}


def _shared(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    return theirs.loc[ours.index.intersection(theirs.index), ours.columns.intersection(theirs.columns)]
