"""All long results of a study in one table, for queries that pair runs over tasks and seeds.

Columns are those of :mod:`specseq.tables.long`, the stages' own key columns, and

- ``group``: the run without its seed, so that the seeds of one point share it;
- ``progress``: the step as a share of the run's last step in that file, NaN where there is no step.

At the published sizes these are millions of rows. They are written in parts; readers ask for what they need.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from specseq.errors import InputError
from specseq.sweeps import without_seed
from specseq.tables.arrays import numpy_values
from specseq.tables.joint import fitted, joint_schema
from specseq.tables.parquet import ROW_GROUP, readable

if TYPE_CHECKING:
    import pandas as pd

ADDED = (pa.field("group", pa.string()), pa.field("progress", pa.float64()))


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pa.RecordBatchReader:
    # Without a docstring, so that the page shows the module's, which explains the columns.
    paths = [path for paths in inputs.values() for path in paths]
    if not paths:
        raise InputError("long results", "no files given", "name the results of at least one run")
    return fitted((batch for path in paths for batch in _rows(path)), joint_schema(paths, ADDED))


def group_of(runs: "pd.Series[str]") -> "pd.Series[str]":
    """Run ids without their seed: ``zeta/a/b_seed0`` and ``zeta/a/b_seed1`` share ``zeta/a/b``."""
    # Mapping an empty column would give numbers.
    return runs.map({run: without_seed(run) for run in runs.unique()}) if len(runs) else runs


def _rows(path: Path) -> Iterator[pa.RecordBatch]:
    """The rows of a file with the columns added."""
    with readable(path), pq.ParquetFile(path) as file:
        last = _last_steps(file)
        for batch in file.iter_batches(ROW_GROUP):
            runs = batch.column("run").dictionary_encode()
            names = runs.dictionary.to_pylist()
            groups = pa.array([without_seed(name) for name in names], pa.string()).take(runs.indices)
            steps = numpy_values(batch.column("step")).astype(float)
            ends = np.array([last[name] for name in names])[numpy_values(runs.indices)]
            progress = np.where(steps >= 0, steps, np.nan) / ends
            yield batch.append_column("group", groups).append_column("progress", pa.array(progress))


def _last_steps(file: pq.ParquetFile) -> dict[str, float]:
    """The last step of each run; NaN where there is none above 0."""
    last = file.read(["run", "step"]).group_by("run").aggregate([("step", "max")])
    ends = zip(last["run"].to_pylist(), last["step_max"].to_pylist(), strict=True)
    return {run: float(step) if step is not None and step > 0 else float("nan") for run, step in ends}
