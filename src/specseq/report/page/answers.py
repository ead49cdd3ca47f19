"""The answer that opens a study on the page: what was found, how sure it is, what would make it surer.

The finding is a sentence or two that the study makes from its tables; the rest follows from the ledger.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from specseq.errors import InputError
from specseq.report.claims.ledger import shown
from specseq.report.gates import UNDECIDABLE
from specseq.tables import read_parquet

DECIDED = ("reproduced", "contradicted", "inconsistent", "does not hold")


@dataclass(frozen=True)
class Finding:
    """Answer of a study, in a sentence or two of Markdown.

    ``gates`` are those of the comparisons that it mentions, as their tables hold them.
    """

    text: str
    gates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """A study's answer in three parts, Markdown: the finding, how sure it is, what would make it surer."""

    finding: str
    sure: str
    surer: str


@dataclass(frozen=True)
class Found:
    """Input of a finding: the folder of the scale's results, and the ledger."""

    folder: Path
    claims: pd.DataFrame

    def table(self, name: str) -> pd.DataFrame:
        """A comparison table; one without rows and columns if it is not made."""
        try:
            return read_parquet(self.folder / "tables" / f"{name}.parquet")
        except InputError:
            return pd.DataFrame()

    def claim(self, name: str) -> "pd.Series | None":
        """The ledger's row of a claim; None if the claim was not measured."""
        rows = self.claims[self.claims["id"] == name] if "id" in self.claims else self.claims
        return rows.iloc[0] if len(rows) and pd.notna(rows["measured"].iloc[0]) else None


Find = Callable[[Found], Finding | None]


def in_brackets(value: float, low: float, high: float) -> str:
    """``0.996 [0.957, 1.036]``, or the value alone where it has no interval."""
    number = f"{value:.3f}" if abs(value) < 100 else shown(value)
    if pd.isna(low) or pd.isna(high):
        return f"{number} (no interval)"
    return f"{number} [{low:.3f}, {high:.3f}]"


def one(rows: pd.DataFrame, **where: str) -> "pd.Series | None":
    """The first row of a table with these values; None where there is none."""
    for name, value in where.items():
        if name not in rows:
            return None
        rows = rows[rows[name] == value]
    return rows.iloc[0] if len(rows) else None


def answer_of(find: Find, folder: Path, claims: pd.DataFrame, own: pd.DataFrame) -> Answer:
    """A study's answer: ``find`` makes its finding, ``own`` are its rows of the ledger ``claims``."""
    found = find(Found(folder, claims))
    if found is None:
        return Answer("There are no runs of this study yet.", _sure(own), _surer(own, ()))
    failed = [text for text in dict.fromkeys(found.gates) if text.startswith(UNDECIDABLE)]
    numbers = "; ".join(text.partition(": ")[2] for text in failed)
    closed = (
        f"**Not decidable at this scale:** the baseline has learnt no more than the reference ({numbers}). "
    )
    return Answer((closed if failed else "") + found.text, _sure(own), _surer(own, failed))


def _sure(own: pd.DataFrame) -> str:
    """Text on how many claims are decided by runs, before and after correction, and by arithmetic."""
    if "kind" not in own:
        return "No claim is judged yet."
    by_runs = own["kind"].astype(str).str.startswith("measured")
    decided = own["verdict"].isin(DECIDED)
    measured, counts = int(by_runs.sum()), own.loc[by_runs, "verdict"].value_counts()
    others = [
        f"{int(counts[name])} {name}" for name in ("undecided", UNDECIDABLE, "not run") if name in counts
    ]
    text = f"Runs decide {int((by_runs & decided).sum())} of {measured} claims on trained or scored models"
    text += f" ({', '.join(others)})." if others else "."
    lost = by_runs & decided & (own["verdict_corrected"] == "undecided")
    if lost.any():
        number = int(lost.sum())
        do, its = ("does", "its search") if number == 1 else ("do", "their searches")
        text += f" Of those decided, {number} {do} not survive Holm's correction within {its}."
    arithmetic = int((~by_runs & decided).sum())
    return f"{text} Arithmetic and constructed tests decide {arithmetic} more. Intervals are 95 %."


def _surer(own: pd.DataFrame, failed: Iterable[str]) -> str:
    """Text on what would decide more: a better baseline, more seeds, more configs."""
    parts = []
    if failed:
        parts.append("First, a baseline that beats its reference, by longer training or at a larger scale.")
    open_ = own[own["verdict"] == "undecided"] if "deciding_seeds" in own else own.iloc[:0]
    for unit in ("seeds", "configs"):
        numbers = open_[f"deciding_{unit}"].dropna() if len(open_) else pd.Series(dtype=float)
        if len(numbers):
            few = int(numbers.median())
            need = f"{few:,} {unit}"
            if len(numbers) > 1:
                need = f"more {unit}, half of them by {few:,} or fewer"
            parts.append(
                f"At the observed spread, {len(numbers)} of {len(open_)} undecided claims would be decided "
                f"by {need}."
            )
    if len(open_):
        scales = open_.loc[open_["deciding_scale"].fillna("") != "", "deciding_scale"].value_counts()
        parts += [
            f"Scale {scale} has enough seeds for {count} of these claims." for scale, count in scales.items()
        ]
    return " ".join(parts) or "More seeds or configs would decide none of the undecided claims."
