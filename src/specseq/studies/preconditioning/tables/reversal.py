"""The note's tables of section 1, row by row: a frozen forecaster behind each filter, under each reversal.

One row a (benchmark, forecaster, filter). ``row`` is the note's name of the row and ``source`` says whether
its taps are those the note prints or those that minimise its objective; both are empty for filters that the
note does not have. ``*_mase`` are plain (``basis``: raw) geometric means over configs and seeds,
``*_percent`` their change against the same forecaster without a filter, with 95 % intervals;
``control_percent`` is what seasonal naive "gains" under the same oracle, and ``gap`` self minus oracle in
points. Percentages stand on the ``configs`` that can be scored, and are NaN of a reversal that diverged on
one. Taps of a matched filter are those for the first seed.
"""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from specseq.studies.preconditioning.tables.shared import FROZEN, known_filters, percent, taps_text
from specseq.tables import read_parquet

REVERSALS = ("oracle", "self", "plug_in", "hybrid", "fir")


def make(inputs: dict[str, list[Path]], params: dict[str, Any]) -> pd.DataFrame:
    """
    Args:
        inputs: ``summary``, the table ``preconditioning``; ``filters``, the design stage's; ``matched``,
            the same of filters designed for a run's residuals.
        params: ``scale``.
    """
    summary = read_parquet(inputs["summary"][0])
    frozen = summary[summary["group"].str.startswith(FROZEN)]
    filters = known_filters(inputs["filters"], inputs.get("matched", []))
    lams = read_parquet(inputs["filters"][0]).set_index("name")["lam"]
    scored = frozen.loc[frozen["reversal"] == "self", ["group", "forecaster"]].drop_duplicates()
    frozen = frozen.merge(scored, on=["group", "forecaster"])
    made = []
    for (benchmark, group, forecaster), own in frozen.groupby(["benchmark", "group", "forecaster"]):
        plain = own[own["reversal"] == "none"].iloc[0]
        for name, rows in own[own["reversal"] != "none"].groupby("filter", sort=False):
            row: dict[str, Any] = {"benchmark": benchmark, "group": group, "forecaster": forecaster}
            row |= {"filter": name, **_note_row(str(name))}
            known = filters.get((str(group), str(name))) or filters.get(("", str(name)))
            if known is not None:
                filter, sizes = known
                row |= {"degree": filter.degree, "lam": lams.get(name, float("nan"))}
                row |= {"coefficients": taps_text(filter.taps)}
                row |= {"largest": sizes["tap_max"], "absolute_gain": sizes["absolute_gain"]}
            row |= {"baseline_mase": plain["mase_raw"]}
            for scored_row in rows.to_dict("records"):
                if scored_row["reversal"] in REVERSALS:
                    row |= _scores(scored_row)
                if scored_row["reversal"] == "oracle":
                    row["control_percent"] = percent(scored_row["control"])
            row["gap"] = row.get("self_percent", float("nan")) - row.get("oracle_percent", float("nan"))
            row |= {"basis": "raw", "configs": plain["paired_configs"], "seeds": plain["seeds"]}
            made.append({**row, "files": plain["files"]})
    return pd.DataFrame(made).assign(scale=params["scale"])


def _scores(row: dict[Any, Any]) -> dict[str, float]:
    mode = row["reversal"]
    return {f"{mode}_mase": row["mase_raw"]} | {
        f"{mode}_{name}": percent(row[column])
        for name, column in (("percent", "ratio"), ("low", "low"), ("high", "high"))
    }


def _note_row(name: str) -> dict[str, str]:
    """``printed_lyapunov_d3_l1`` and ``lyapunov_d3_l1`` are the note's row lyap_d3_l1."""
    found = re.fullmatch(r"(printed_)?(lyapunov_d[34]_l[1-5]|chebyshev_d[345])", name)
    if found is None:
        return {"row": "", "source": ""}
    return {"row": found[2].replace("lyapunov", "lyap"), "source": "printed" if found[1] else "recomputed"}
