"""Errors of two models side by side, task by task and seed by seed."""

from typing import Any

import numpy as np
import pandas as pd


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


def _shared(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    return theirs.loc[ours.index.intersection(theirs.index), ours.columns.intersection(theirs.columns)]
