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

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

LONG_COLUMNS = ("study", "run", "seed", "benchmark", "task", "step", "metric", "value")
_PANDAS = {"string": "unicode", "Int64": "int64"}
_NUMBERS: dict[str, tuple[pa.DataType, type]] = {
    "seed": (pa.int64(), int),
    "step": (pa.int64(), int),
    "value": (pa.float64(), float),
}


def long_table(rows: Iterable[Mapping[str, Any]], keys: tuple[str, ...] = ()) -> pa.Table:
    """Collect rows into the long shape, with the stage's own columns ``keys``; seed and step default to -1.

    Order and types of the columns are fixed, also when there are no rows; types of key columns are those of
    their values.
    """
    columns = [*LONG_COLUMNS[:6], *keys, *LONG_COLUMNS[6:]]
    filled = [{"seed": -1, "step": -1, **row} for row in rows]
    unknown = {name for row in filled for name in row} - set(columns)
    if unknown:
        raise ValueError(f"columns {sorted(unknown)} do not belong to the long shape; name them in keys")
    arrays = {name: _array(name, [row.get(name) for row in filled], name in keys) for name in columns}
    texts = [name for name in columns if name not in keys and name not in _NUMBERS]
    return pa.table(arrays).replace_schema_metadata(pandas_types(dict.fromkeys(texts, "string")))


def _array(name: str, values: list[Any], key: bool) -> pa.Array:
    if key:
        return pa.array(values)
    kind, convert = _NUMBERS.get(name, (pa.string(), str))
    return pa.array([None if value is None else convert(value) for value in values], kind)


def pandas_types(kinds: Mapping[str, str]) -> dict[str, str]:
    """Metadata of a schema that tells pandas to read columns as its own types ``string`` or ``Int64``; others
    are of the type that it takes by default.
    """
    described = [
        {"name": name, "field_name": name, "pandas_type": _PANDAS[kind], "numpy_type": kind, "metadata": None}
        for name, kind in kinds.items()
    ]
    return {"pandas": json.dumps({"index_columns": [], "column_indexes": [], "columns": described})}


def kinds_in_pandas(schema: pa.Schema) -> dict[str, str]:
    """The columns of a schema that pandas reads as a type of its own, as in :func:`pandas_types`."""
    known = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    return {
        column["name"]: column["numpy_type"]
        for column in known.get("columns", ())
        if column["numpy_type"] in _PANDAS
    }
