"""The one shape of long results.

========== ======= ==================================================================
column     type    meaning
========== ======= ==================================================================
study      string  preconditioning, stu, equilibrium or zeta
run        string  run id, ``study/sweep/point``
seed       int64   seed of the run; -1 where nothing was drawn
benchmark  string  gift_eval, fev, pretrain, audit, rollout, ...
task       string  config, dataset, split or operator within the benchmark
step       int64   training step, horizon step or sample; -1 where it is an aggregate
metric     string  name of the quantity, as the field calls it
value      float64 its value; NaN means measured and undefined, absence means not measured
========== ======= ==================================================================

A stage may add key columns of its own (``reversal``, ``position`` ...), which stand between ``step`` and
``metric`` and are documented beside that stage.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

LONG_COLUMNS = ("study", "run", "seed", "benchmark", "task", "step", "metric", "value")
_TYPES = {"seed": "int64", "step": "int64", "value": "float64"}


def long_frame(rows: Iterable[Mapping[str, Any]], keys: tuple[str, ...] = ()) -> pd.DataFrame:
    """Collect rows into the long shape.

    Args:
        rows: mappings with the keys of :data:`LONG_COLUMNS` (``seed`` and ``step`` default to -1) and
            of ``keys``.
        keys: the stage's own key columns.

    Returns:
        A frame with fixed column order and types, also when there are no rows.
    """
    columns = [*LONG_COLUMNS[:6], *keys, *LONG_COLUMNS[6:]]
    filled = [{"seed": -1, "step": -1, **row} for row in rows]
    unknown = {name for row in filled for name in row} - set(columns)
    if unknown:
        raise ValueError(f"columns {sorted(unknown)} are no part of the long shape; name them in keys")
    frame = pd.DataFrame(filled, columns=columns)
    return frame.astype({name: _TYPES.get(name, "string") for name in columns if name not in keys})
