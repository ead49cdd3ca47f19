"""The ledger: every claim judged against the result files of one scale, as one table.

Columns: id, note, place, statement, published (as printed), measured, low, high (the 95 % interval of a
measurement, or the range that rounding leaves to arithmetic), relation, verdict, evidence, command (makes the
evidence, at the first scale that can decide the claim, or shows the arithmetic), status (live, superseded,
retracted), scale, explanation.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from specseq.report.claims.quantities import files
from specseq.report.claims.queries import Folder
from specseq.report.claims.schema import Claim
from specseq.report.claims.verdicts import Judgement, judge

COLUMNS = (
    "id", "note", "place", "statement", "published", "measured", "low", "high", "relation", "verdict",
    "evidence", "command", "status", "scale", "explanation",
)  # fmt: skip
_NUMBERS = ("measured", "low", "high")


@dataclass(frozen=True)
class Entry:
    """A claim with its judgement and the command that makes the evidence; empty where no scale has it."""

    claim: Claim
    judgement: Judgement
    command: str


def make_command(scale: str, wanted: Sequence[str]) -> str:
    """The command that makes result files of a scale."""
    return "snakemake " + " ".join(f"results/{scale}/{file}" for file in wanted)


def ledger(
    claims: Sequence[Claim],
    folder: str | Path,
    scale: str,
    declared: Mapping[str, Container[str]] = MappingProxyType({}),
) -> list[Entry]:
    """Judge every claim.

    Args:
        claims: from :func:`specseq.report.claims.load`.
        folder: the scale's result folder, e.g. ``results/laptop``.
        scale: the scale's name.
        declared: scale -> its runs, with and without their seeds, to say where a claim could be decided.

    Returns:
        One entry a claim, in the claims' order. A missing file makes its claims ``not run`` and no other.
    """
    results = Folder(Path(folder))
    entries = []
    for claim in claims:
        found = judge(claim, results, scale, declared, lambda file: make_command(scale, [file]))
        wanted = list(dict.fromkeys(files(claim.quantity)))
        command = f"specseq claims show {claim.id}"
        if wanted:
            command = make_command(found.scale, wanted) if found.scale else ""
        entries.append(Entry(claim, found, command))
    return entries


def ledger_frame(entries: Sequence[Entry], scale: str) -> pd.DataFrame:
    """The ledger as a frame with :data:`COLUMNS`, all text but the three numbers."""
    rows = [
        {
            "id": entry.claim.id,
            "note": entry.claim.note,
            "place": entry.claim.place,
            "statement": entry.claim.statement,
            "published": entry.claim.published,
            "measured": entry.judgement.measured,
            "low": entry.judgement.low,
            "high": entry.judgement.high,
            "relation": entry.claim.relation.text,
            "verdict": entry.judgement.verdict,
            "evidence": entry.judgement.evidence,
            "command": entry.command,
            "status": entry.claim.status,
            "scale": scale,
            "explanation": entry.judgement.explanation,
        }
        for entry in entries
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({name: "float64" if name in _NUMBERS else "string" for name in COLUMNS})
