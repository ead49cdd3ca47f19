"""The ledger: every claim judged against the result files of one scale, as one table.

Columns: id, note, place, statement, published (as printed), measured, low, high (the 95 % interval of a
measurement, or the range that rounding leaves to arithmetic), relation, verdict, evidence, command (makes the
evidence, at the first scale that can decide the claim, or shows the arithmetic), status (live, superseded,
retracted), scale, explanation.
"""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from specseq.report.claims.estimates import measure
from specseq.report.claims.intervals import Measured
from specseq.report.claims.language import Verdict, files
from specseq.report.claims.loading import Claim
from specseq.report.claims.queries import Folder, Missing

COLUMNS = (
    "id", "note", "place", "statement", "published", "measured", "low", "high", "relation", "verdict",
    "evidence", "command", "status", "scale", "explanation",
)  # fmt: skip
_NUMBERS = ("measured", "low", "high")


@dataclass(frozen=True)
class Entry:
    """A claim with its verdict and the evidence for it.

    Attributes:
        verdict: one of the six.
        measured, low, high: the quantity and its range; NaN where there is none.
        evidence: files and rows, or the formula.
        explanation: why, for a reader.
        command: makes the evidence; empty where no scale has it.
    """

    claim: Claim
    verdict: Verdict
    measured: float
    low: float
    high: float
    evidence: str
    explanation: str
    command: str


def verdict_of(claim: Claim, found: Measured) -> tuple[Verdict, str]:
    """The verdict on a measured claim, and the reason where it is not plain."""
    region = claim.region
    if math.isnan(found.value):
        return "undecided", f"measured, and undefined there ({found.note or 'no finite value'})"
    if found.exact:
        if region.meets(found.low, found.high):
            return "reproduced", ""
        return (claim.spec.fails if claim.compute else "contradicted"), ""
    if math.isnan(found.low):
        return "undecided", found.note
    if region.contains(found.low) and region.contains(found.high):
        return "reproduced", found.note
    if not region.meets(found.low, found.high):
        return "contradicted", found.note
    return "undecided", f"the 95 % interval straddles the bound; {found.note}".rstrip("; ")


def shown(value: float) -> str:
    """Four significant digits; whole numbers from a thousand on in full."""
    if abs(value) >= 1000 and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


def in_words(value: float, low: float, high: float, relation: str) -> str:
    """The numbers of a verdict in words, e.g. ``1.021 [0.998, 1.044], to be < 1``."""
    if math.isnan(value):
        return f"no value, to be {relation}"
    interval = "" if math.isnan(low) or low == high else f" [{shown(low)}, {shown(high)}]"
    return f"{shown(value)}{interval}, to be {relation}"


def _explain(claim: Claim, verdict: Verdict, found: Measured, why: str) -> str:
    """The claim's own paragraph for the verdict, else the reason, else the numbers where it is against it."""
    fields = {
        "measured": shown(found.value),
        "low": shown(found.low),
        "high": shown(found.high),
        "published": str(claim.spec.published),
        "n": str(found.n),
    }
    written = claim.spec.explain.get(verdict, "")
    for name, text in fields.items():
        written = written.replace(f"{{{name}}}", text)
    if not (written or why) and verdict != "reproduced":
        why = f"measured {in_words(found.value, found.low, found.high, claim.region.text)}"
    return " ".join(part if part.endswith(".") else f"{part}." for part in (written, why) if part)


@dataclass(frozen=True)
class Ledger:
    """Judges claims against the result files of one scale.

    Attributes:
        folder: the scale's result files.
        scale: its name.
        declared: scale -> its runs, with and without their seeds, as far as they are known; says where a
            claim could be decided.
    """

    folder: Folder
    scale: str
    declared: Mapping[str, Container[str]]

    def judge(self, claim: Claim) -> Entry:
        """The claim with its verdict; a missing file or missing rows make it *not run*."""
        needed, scales = files(claim.quantity), claim.spec.scales
        if scales and self.scale not in scales:
            why = f"the figure needs the sizes of scale {' or '.join(scales)}."
            return self._without_value(claim, "not decidable at this scale", why, scales[0])
        try:
            found = measure(claim, self.folder)
        except Missing as missing:
            return self._without_value(claim, "not run", *self._missing(claim, missing))
        verdict, why = verdict_of(claim, found)
        command = make_command(self.scale, needed) if needed else f"specseq claims show {claim.id}"
        explanation = _explain(claim, verdict, found, why)
        return Entry(claim, verdict, found.value, found.low, found.high, found.evidence, explanation, command)

    def _without_value(self, claim: Claim, verdict: Verdict, why: str, scale: str) -> Entry:
        needed = files(claim.quantity)
        command = make_command(scale, needed) if scale and needed else ""
        return Entry(claim, verdict, math.nan, math.nan, math.nan, ", ".join(needed), why, command)

    def _missing(self, claim: Claim, missing: Missing) -> tuple[str, str]:
        """What is missing, in words, and the scale whose command makes it; empty where none declares it."""
        why, scale = f"{missing.file} {missing.what}", ""
        if missing.remake:
            scale = self.scale
            why += f"; make it with: {make_command(scale, [missing.file])}"
        elif missing.absent:
            scale, where = self._declaring(missing.absent)
            why += f"; {where}"
        if needs := claim.spec.explain.get("not run"):
            why += f". {needs}"
        return why, scale

    def _declaring(self, absent: Sequence[str]) -> tuple[str, str]:
        """The scale at which the runs that a file lacks are declared, or nothing; and that in words."""
        having = [name for name, runs in self.declared.items() if all(run in runs for run in absent)]
        if self.scale in having:
            return self.scale, "no result of it is there yet"
        nowhere = "the config declares no such run at this scale"
        return (having[0], f"{nowhere}, but at scale {having[0]}") if having else ("", nowhere)


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
        declared: see :class:`Ledger`.

    Returns:
        One entry per claim, in the claims' order.
    """
    judging = Ledger(Folder(Path(folder)), scale, declared)
    return [judging.judge(claim) for claim in claims]


def ledger_frame(entries: Sequence[Entry], scale: str) -> pd.DataFrame:
    """The ledger as a frame with :data:`COLUMNS`, all text but the three numbers."""
    rows = [
        {
            "id": entry.claim.id,
            "note": entry.claim.note,
            "place": entry.claim.spec.place,
            "statement": entry.claim.spec.statement,
            "published": str(entry.claim.spec.published),
            "measured": entry.measured,
            "low": entry.low,
            "high": entry.high,
            "relation": entry.claim.region.text,
            "verdict": entry.verdict,
            "evidence": entry.evidence,
            "command": entry.command,
            "status": entry.claim.spec.status,
            "scale": scale,
            "explanation": entry.explanation,
        }
        for entry in entries
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({name: "float64" if name in _NUMBERS else "string" for name in COLUMNS})
