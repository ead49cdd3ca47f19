"""The ledger: every claim judged against the result files of one scale, as one table.

Columns: id, note, place, quote (the note's own line), statement, ours (whether the test is ours rather than
the note's statement), published (as printed), measured, low, high (the 95 % interval of a measurement, or the
range that rounding leaves to arithmetic), relation, verdict, kind (the kind of evidence: ``figures``, the
printed digits; ``mechanism``, a closed form or a constructed test; ``measured``, trained or scored at a size
or on data other than the published; ``measured as published``), conditions (data, configs, parameters, steps,
seeds), family (the search that the claim belongs to), comparisons (how many claims of that search were
measured), p_corrected (Holm's), verdict_corrected, gate (for a claim on trained models: whether their
baseline beats the trivial reference), deciding_seeds, deciding_configs, deciding_scale, power (for an
undecided claim: how many seeds and configs would decide it at the observed spread, the smallest scale with
those seeds, and both in words), evidence, cites (outside records), command (makes the evidence, at the first
scale that can decide the claim, or shows the arithmetic), status (live, superseded, retracted), scale,
explanation, consequences.
"""

import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from specseq.report.claims.conditions import Conditions, conditions, groups_of
from specseq.report.claims.correction import Correction, holm, p_value
from specseq.report.claims.estimates import measure
from specseq.report.claims.gating import gates_of
from specseq.report.claims.intervals import Measured
from specseq.report.claims.language import PUBLISHED_SCALE, Kind, Verdict, files
from specseq.report.claims.loading import Claim
from specseq.report.claims.power import Power, power_of
from specseq.report.claims.queries import Folder, Missing, check_scale
from specseq.report.gates import UNDECIDABLE
from specseq.sweeps import without_seed

COLUMNS = (
    "id", "note", "place", "quote", "statement", "ours", "published", "measured", "low", "high", "relation",
    "verdict", "kind", "conditions", "family", "comparisons", "p_corrected", "verdict_corrected", "gate",
    "deciding_seeds", "deciding_configs", "deciding_scale", "power", "evidence",
    "cites", "command", "status", "scale", "explanation", "consequences",
)  # fmt: skip
UNLEARNT = "The baseline has learnt no more than the trivial reference, so that runs of it decide nothing:"
AGAINST = ("contradicted", "inconsistent")
_NUMBERS = (
    "measured", "low", "high", "comparisons", "p_corrected", "deciding_seeds", "deciding_configs",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A claim with its verdict and the evidence for it.

    Attributes:
        verdict: one of those of :mod:`specseq.report.claims.language`.
        measured, low, high: the quantity and its range; NaN where there is none.
        evidence: files and rows, or the formula.
        explanation: why, for a reader.
        command: makes the evidence; empty where no scale has it.
        kind: kind of evidence behind the verdict.
        conditions: data, configs, parameters, steps and seeds of what was measured.
        p: two-sided p-value of the measurement; NaN without an interval.
        correction: for a claim that belongs to a search, its verdict after correction.
        gate: for a claim on trained models, whether their baseline beats the reference.
        power: for an undecided claim, what would decide it; None where more replicates are not the issue.
    """

    claim: Claim
    verdict: Verdict
    measured: float
    low: float
    high: float
    evidence: str
    explanation: str
    command: str
    kind: Kind
    conditions: str = ""
    p: float = math.nan
    correction: Correction | None = None
    gate: str = ""
    power: Power | None = None


def verdict_of(claim: Claim, found: Measured, kind: Kind) -> tuple[Verdict, str]:
    """The verdict on a claim by evidence of a kind, and the reason where it is not obvious."""
    region = claim.region
    if math.isnan(found.value):
        return "undecided", f"measured, and undefined there ({found.note or 'no finite value'})"
    if found.exact:
        if region.meets(found.low, found.high):
            return "reproduced", ""
        return claim.against(kind), ""
    if math.isnan(found.low) or (found.same and not region.contains(found.value)):
        return "undecided", found.note
    if region.contains(found.low) and region.contains(found.high):
        return "reproduced", found.note
    if not region.meets(found.low, found.high):
        return claim.against(kind), found.note
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

    ``declared`` holds the runs of each scale, with and without their seeds, as far as they are known; it says
    where a claim could be decided.
    """

    folder: Folder
    scale: str
    declared: Mapping[str, Collection[str]]

    def judge(self, claim: Claim) -> Entry:
        """The claim with its verdict; a missing file or missing rows make it *not run*."""
        needed, scales = files(claim.quantity), claim.spec.scales
        if scales and self.scale not in scales:
            sized = " or ".join(self._sized(scale, claim) for scale in scales)
            why = f"It needs the sizes of scale {sized}."
            return self._without_value(claim, "not decidable at this scale", why, scales[0])
        try:
            found = measure(claim, self.folder)
        except Missing as missing:
            return self._without_value(claim, "not run", *self._missing(claim, missing))
        kind, where = claim.kind, Conditions("", False)
        if kind == "measured":
            where = conditions(claim, self.folder)
            short = "embedded" if where.embedded else where.lacking
            kind = "measured" if short or self.scale != PUBLISHED_SCALE else "measured as published"
            if short and scales == (PUBLISHED_SCALE,):
                why = f"It is about published data, and these are {short}: {where.text}."
                return self._without_value(claim, "not decidable at this scale", why, scales[0])
        verdict, why = verdict_of(claim, found, kind)
        gates, passes = gates_of(claim, self.folder) if kind.startswith("measured") else ([], True)
        explanation = _explain(claim, verdict, found, why)
        if not passes:
            verdict = UNDECIDABLE
            failed = [text.partition(": ")[2] for text in gates if text.startswith(UNDECIDABLE)]
            explanation = f"{UNLEARNT} {'; '.join(failed)}."
        power = None
        if verdict == "undecided":
            power = power_of(found, claim.region, groups_of(claim, self.folder), self.declared)
        command = make_command(self.scale, needed) if needed else f"specseq claims show {claim.id}"
        return Entry(
            claim, verdict, found.value, found.low, found.high, found.evidence,
            explanation, command, kind, where.text, p_value(claim.region, found),
            gate="; ".join(gates), power=power,
        )  # fmt: skip

    def _without_value(self, claim: Claim, verdict: Verdict, why: str, scale: str) -> Entry:
        needed = files(claim.quantity)
        command = make_command(scale, needed) if scale and needed else ""
        return Entry(
            claim, verdict, math.nan, math.nan, math.nan, ", ".join(needed), why, command, claim.kind
        )

    def _missing(self, claim: Claim, missing: Missing) -> tuple[str, str]:
        """What is missing, in words, and the scale whose command makes it; empty where none declares it."""
        why, scale = f"{missing.file} {missing.what}", ""
        if missing.remake:
            scale = self.scale
            why += f"; make it with: {make_command(scale, [missing.file])}"
        elif missing.absent:
            scale, where = self._declaring(missing.absent, claim)
            why += f"; {where}"
        if needs := claim.spec.explain.get("not run"):
            why += f". {needs}"
        return why, scale

    def _sized(self, scale: str, claim: Claim) -> str:
        """A scale's name, the number of the study's runs in it, if known, and the command for their cost."""
        own = [run for run in self.declared.get(scale, ()) if run.startswith(f"{claim.study}/")]
        runs = sum(run != without_seed(run) for run in own)
        cost = f"specseq cost --scale {scale} --only {claim.study}"
        return f"{scale} ({runs:,} runs of {claim.study}; see {cost})" if runs else scale

    def _declaring(self, absent: Sequence[str], claim: Claim) -> tuple[str, str]:
        """The scale that declares the runs that a file lacks, or an empty text; and the same in words."""
        having = [name for name, runs in self.declared.items() if all(run in runs for run in absent)]
        if self.scale in having:
            return self.scale, "no result of it is there yet"
        nowhere = "the config declares no such run at this scale"
        return (
            (having[0], f"{nowhere}, but at scale {self._sized(having[0], claim)}")
            if having
            else ("", nowhere)
        )


def make_command(scale: str, wanted: Sequence[str]) -> str:
    """The command that makes result files of a scale, as a shell takes it."""
    return shlex.join(["snakemake", "--cores", "all", *(f"results/{scale}/{file}" for file in wanted)])


def ledger(
    claims: Sequence[Claim],
    folder: str | Path,
    scale: str,
    declared: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> list[Entry]:
    """Judge every claim, in the given order; see :class:`Ledger` for ``declared``.

    Raises:
        InputError: the results are those of another scale.
    """
    check_scale(Path(folder), scale)
    judging = Ledger(Folder(Path(folder)), scale, declared)
    entries = [judging.judge(claim) for claim in claims]
    searches: dict[str, dict[int, float]] = {}
    for place, entry in enumerate(entries):
        decidable = entry.kind.startswith("measured") and entry.verdict != UNDECIDABLE
        if entry.claim.family and decidable and math.isfinite(entry.p):
            searches.setdefault(entry.claim.family, {})[place] = entry.p
    for found in searches.values():
        if len(found) > 1:
            for place, corrected in zip(found, holm(list(found.values())), strict=True):
                entry = entries[place]
                verdict = entry.verdict if corrected < 0.05 else "undecided"
                correction = Correction(len(found), corrected, verdict)
                entries[place] = replace(entry, correction=correction)
    return entries


def ledger_frame(entries: Sequence[Entry], scale: str) -> pd.DataFrame:
    """The ledger as a frame with :data:`COLUMNS`, all text but the three numbers."""
    of_spec = ("place", "quote", "statement", "status")
    own = (
        *("measured", "low", "high", "verdict", "kind", "conditions", "gate"),
        *("evidence", "command", "explanation"),
    )
    rows = [
        {
            **{name: getattr(entry.claim.spec, name) for name in of_spec},
            **{name: getattr(entry, name) for name in own},
            "id": entry.claim.id,
            "note": entry.claim.note,
            "ours": "ours" if entry.claim.spec.ours else "",
            "published": str(entry.claim.spec.published),
            "relation": entry.claim.region.text,
            "family": entry.claim.family if entry.correction else "",
            "comparisons": entry.correction.comparisons if entry.correction else math.nan,
            "p_corrected": entry.correction.p if entry.correction else math.nan,
            "verdict_corrected": entry.correction.verdict if entry.correction else "",
            "deciding_seeds": entry.power.seeds if entry.power else None,
            "deciding_configs": entry.power.configs if entry.power else None,
            "deciding_scale": entry.power.scale if entry.power else "",
            "power": entry.power.text if entry.power else "",
            "cites": "; ".join(cited.text for cited in entry.claim.spec.cites),
            "scale": scale,
            "consequences": "; ".join(entry.claim.spec.consequences) if entry.verdict in AGAINST else "",
        }
        for entry in entries
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype({name: "float64" if name in _NUMBERS else "string" for name in COLUMNS})
