"""The note's table of section 4: sizes of designed filters beside those of learned ones.

``kind`` is ``designed``, ``printed`` or ``learned``; of a learned filter there is a row a seed. ``norm`` is
the Euclidean norm of the taps. Equal norms do not make equal filters: lags count in strides.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.studies.preconditioning.tables.shared import taps_text
from specseq.tables import read_parquet

SIZES = ("tap_sum", "noise_gain", "absolute_gain", "spectral_radius")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``filters``, the design stage's table; ``taps``, the table ``preconditioning_taps``.
        params: ``scale``.
    """
    made = []
    for row in read_parquet(inputs["filters"][0]).to_dict("records"):
        kind = "printed" if row["name"].startswith("printed_") else "designed"
        found = {"source": row["name"], "kind": kind, "seed": -1, "stride": row["stride"]} | _sizes(row)
        made.append({**found, "files": "filters.parquet"})
    learned = read_parquet(inputs["taps"][0])
    for (group, seed), own in learned.sort_values("tap").groupby(["group", "seed"]):
        row = {**own.iloc[0].to_dict(), "taps": own["value"].tolist()}
        found = {"source": group, "kind": "learned", "seed": seed, "stride": row["stride"]} | _sizes(row)
        made.append({**found, "files": row["files"]})
    return pd.DataFrame(made).assign(scale=params["scale"])


def _sizes(row: dict[Any, Any]) -> dict[str, Any]:
    sizes = {"coefficients": taps_text(row["taps"], 3), "norm": row["tap_norm"]}
    return sizes | {name: row[name] for name in SIZES}
