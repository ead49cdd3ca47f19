"""The gates of a measured claim: whether the baselines of its runs beat their references.

A row that carries a gate (:mod:`specseq.report.gates`) uses it. The runs of other rows use the gate of their
group in the table named after their study, ``tables/<study>.parquet``. If one side of a claim is itself a
reference, or was not trained, the claim compares no trained models and has no gate.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

import pandas as pd

from specseq.report.claims.language import Query, queries_of
from specseq.report.claims.loading import Claim
from specseq.report.claims.queries import Folder, Missing, rows_of
from specseq.report.gates import UNDECIDABLE
from specseq.sweeps import without_seed


def gates_of(claim: Claim, folder: Folder) -> tuple[list[str], bool]:
    """The gates of a measured claim's comparison in words, and whether it passes all of them."""
    sides = []
    for query in queries_of(claim.quantity):
        if any(fnmatchcase(name, pattern) for name in _measures(query) for pattern in claim.ungated):
            return [], True
        try:
            sides.append(set(_texts(folder, rows_of(folder, query)[0])))
        except Missing:
            return [], True
    if not all(sides):
        return [], True
    texts = sorted(set().union(*sides))
    return texts, not any(text.startswith(UNDECIDABLE) for text in texts)


def _measures(query: Query) -> list[str]:
    """The metrics, or the column, that a query measures."""
    metric = query.where.get("metric", query.value)
    return [str(name) for name in (metric if isinstance(metric, tuple) else (metric,))]


def _texts(folder: Folder, rows: pd.DataFrame) -> Iterator[str]:
    if "gate" in rows:
        yield from rows["gate"].dropna().unique()
        return
    named = rows["group"] if "group" in rows else rows["run"] if "run" in rows else pd.Series(dtype=str)
    for group in named.dropna().astype(str).unique():
        try:
            table = folder.frame(f"tables/{group.partition('/')[0]}.parquet")
        except Missing:
            continue
        if "gate" in table:
            own = table[table["group"] == without_seed(group)]
            if "benchmark" in rows and "benchmark" in own:
                scored = own["benchmark"].isin(rows["benchmark"].unique())
                own = own[scored] if scored.any() else own
            yield from own["gate"].dropna().unique()
