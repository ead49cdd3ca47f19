"""The note's tables of sections 2 and 3: every trained configuration against a baseline of as many steps.

One row a (benchmark, group). ``mase_raw`` is the plain geometric mean over configs and seeds and is what the
note prints, ``mase_normalised`` divides by seasonal naive first; ``percent`` with ``low`` and ``high`` is the
change against ``baseline``, paired over configs and seeds, and ``seed_sd`` the spread of single seeds, in per
cent. A forecast of a trained model undoes its own filter by the self reversal. ``oracle_percent`` and
``fir_percent`` are the same models under the other reversals, against the same baseline;
``control_percent`` is what seasonal naive "gains" under that oracle. They are NaN where there is nothing to
undo. ``basis`` names what ``percent`` is of; ``taps`` and ``norm`` are means over seeds of what was learned.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from specseq.studies.preconditioning.tables.shared import percent, taps_text
from specseq.tables import read_parquet

COLUMNS = (
    *("benchmark", "group", "taps", "norm", "mase_raw", "mase_normalised"),
    *("percent", "low", "high", "seed_sd", "verdict", "baseline"),
    *("fir_percent", "oracle_percent", "control_percent", "basis", "configs", "seeds", "files"),
)


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``summary``, the table ``preconditioning``; ``taps``, the table ``preconditioning_taps``.
        params: ``scale``.
    """
    summary = read_parquet(inputs["summary"][0])
    own = summary[summary["forecaster"] == "trained"]
    rows = own[own["reversal"] == "none"]
    others = own.drop_duplicates(["benchmark", "group", "reversal"])
    others = others.set_index(["reversal", "benchmark", "group"])[["ratio", "control"]]
    learned = read_parquet(inputs["taps"][0])
    means = learned.groupby(["group", "tap"])["value"].mean()
    norms = learned.groupby("group")["tap_norm"].mean()
    made = []
    for row in rows.to_dict("records"):
        group = row["group"]

        def other(reversal: str, column: str = "ratio", row: dict[Any, Any] = row) -> float:
            key = (reversal, row["benchmark"], row["group"])
            return percent(others.at[key, column]) if key in others.index else float("nan")

        made.append(
            {
                "benchmark": row["benchmark"],
                "group": group,
                "taps": taps_text(means[group], 3) if group in norms.index else "",
                "norm": norms.get(group, float("nan")),
                "mase_raw": row["mase_raw"],
                "mase_normalised": row["mase_normalised"],
                "percent": percent(row["ratio"]),
                "low": percent(row["low"]),
                "high": percent(row["high"]),
                "seed_sd": 100 * row["seed_sd"],
                "verdict": row["verdict"],
                "baseline": row["baseline"],
                "fir_percent": other("fir"),
                "oracle_percent": other("oracle"),
                "control_percent": other("oracle", "control"),
                "basis": "raw",
                "configs": row["paired_configs"],
                "seeds": row["seeds"],
                "files": row["files"],
            }
        )
    return pd.DataFrame(made, columns=list(COLUMNS)).assign(scale=params["scale"])
