"""How much of what a model was evaluated on lies in its training corpus."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from specseq.tables import read_parquet

_COLUMNS = ("benchmark", "task", "points", "leaked_points", "history_series")
NONE = {"leaked": 0.0, "leaked_share": 0.0, "history": 0.0}
"""Columns of a forecaster that is trained on nothing."""
UNKNOWN = dict.fromkeys(NONE, float("nan"))
"""Columns of a forecaster whose training is not known, or not searched."""


def read_leakage(paths: Iterable[Path]) -> pd.DataFrame:
    """Leakage that the stage ``leakage`` measured, by benchmark and task."""
    parts = [read_parquet(path) for path in paths]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(_COLUMNS))
    return table.set_index(["benchmark", "task"])


def leak_columns(measured: pd.DataFrame, benchmark: str, tasks: Iterable[str]) -> dict[str, float]:
    """Number of a benchmark's configs or tasks that the training corpus holds, and the share of points.

    Returns:
        ``leaked``, those with a test point in the corpus; ``leaked_share`` of all test points; and
        ``history``, those whose earlier parts the corpus holds. NaN where one was not searched for.
    """
    wanted = pd.MultiIndex.from_product([[benchmark], sorted(set(tasks))])
    if not len(wanted) or not wanted.isin(measured.index).all():
        return UNKNOWN
    rows = measured.loc[wanted]
    return {
        "leaked": float((rows["leaked_points"] > 0).sum()),
        "leaked_share": float(rows["leaked_points"].sum() / rows["points"].sum()),
        "history": float((rows["history_series"] > 0).sum()),
    }
