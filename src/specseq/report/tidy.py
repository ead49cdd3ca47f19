"""All long results of a study in one table, for queries that pair runs over tasks and seeds.

Columns as in :mod:`specseq.tables.long` with the stages' own key columns, and besides

- ``group``: the run without its seed, so that the seeds of one point share it;
- ``progress``: the step as a share of the run's last step in that file, NaN where there is no step.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.errors import InputError
from specseq.sweeps import without_seed
from specseq.tables import read_parquet


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: lists of long results under any names.
        params: not needed.
    """
    frames = [_one(path) for paths in inputs.values() for path in paths]
    if not frames:
        raise InputError("long results", "no files given", "name the results of at least one run")
    return pd.concat(frames, ignore_index=True)


def group_of(runs: "pd.Series[str]") -> "pd.Series[str]":
    """Run ids without their seed: ``zeta/a/b_seed0`` and ``zeta/a/b_seed1`` share ``zeta/a/b``."""
    # A map of nothing would be numbers.
    return runs.map({run: without_seed(run) for run in runs.unique()}) if len(runs) else runs


def _one(path: Path) -> pd.DataFrame:
    frame = read_parquet(path)
    steps = frame["step"].where(frame["step"] >= 0)
    last = steps.groupby(frame["run"]).transform("max")
    return frame.assign(group=group_of(frame["run"]), progress=(steps / last.where(last > 0)).astype(float))
