"""What the preconditioning study found, in a sentence or two."""

import pandas as pd

from specseq.report.page.answers import Finding, Found, in_brackets
from specseq.studies.preconditioning.tables.runs import TRIVIAL

NAMES = {"moirai2": "Moirai2", "chronos2": "Chronos-2"}


def finding(found: Found) -> Finding | None:
    """Does any filter beat no filter once it is undone, around a frozen forecaster and trained with it?"""
    best = found.table("preconditioning_best")
    if best.empty:
        return None
    rows = best[(best["reversal"] == "self") & best["set"].isin(["all", "trained"])]
    rows = rows[rows["benchmark"] == rows["benchmark"].iloc[-1]] if len(rows) else rows
    trivial = rows["forecaster"].isin(TRIVIAL)
    rows = rows[~trivial] if (~trivial).any() else rows
    gates = tuple(rows["gate"].dropna())
    return Finding(" ".join(_sentence(row) for _, row in rows.iterrows()), gates) if len(rows) else None


def _sentence(row: "pd.Series") -> str:
    around = NAMES.get(row["forecaster"], row["forecaster"].replace("_", " "))
    where = "In models trained with a filter," if row["set"] == "trained" else f"Around {around},"
    best = in_brackets(row["ratio"], row["low"], row["high"])
    chosen = in_brackets(row["chosen_ratio"], row["chosen_low"], row["chosen_high"])
    hindsight = f"the best of {row['filters']} filters, picked in hindsight, has {best}"
    honest = f"the filter chosen for each config on all other configs has {chosen}"
    unit = "times the unfiltered MASE"
    if row["verdict"] == "better":
        return f"{where} a filter beats the unfiltered model once undone: {honest} {unit}; {hindsight}."
    if row["verdict"] == "worse":
        return f"{where} no filter beats the unfiltered model once undone: even {hindsight} {unit}."
    return (
        f"{where} no filter is shown to beat the unfiltered model once undone: {hindsight} {unit}; {honest}."
    )
