"""From a claim and a measurement to a verdict, with the reason in words."""

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass

from specseq.report.claims.measured import Measured
from specseq.report.claims.quantities import files, measure
from specseq.report.claims.queries import Folder, Missing
from specseq.report.claims.schema import Claim


@dataclass(frozen=True)
class Judgement:
    """A verdict with its evidence.

    Attributes:
        verdict: one of the six.
        measured, low, high: the quantity and its range; NaN where there is none.
        evidence: files and rows, or the formula.
        explanation: why, for a reader.
        scale: where the claim can be decided; empty where no scale declares what it needs.
    """

    verdict: str
    measured: float
    low: float
    high: float
    evidence: str
    explanation: str
    scale: str


def _rule(claim: Claim, found: Measured) -> tuple[str, str]:
    relation = claim.relation
    if math.isnan(found.value):
        return "undecided", f"measured, and undefined there ({found.note or 'no finite value'})"
    if found.exact:
        if relation.meets(found.low, found.high):
            return "reproduced", ""
        is_arithmetic = "arithmetic" in claim.quantity
        return (claim.fails if is_arithmetic else "contradicted"), ""
    if math.isnan(found.low):
        return "undecided", found.note
    if relation.contains(found.low) and relation.contains(found.high):
        return "reproduced", found.note
    if not relation.meets(found.low, found.high):
        return "contradicted", found.note
    return "undecided", f"the 95 % interval straddles the bound; {found.note}".rstrip("; ")


def shown(value: float) -> str:
    """Four significant digits; whole numbers from a thousand on in full."""
    if abs(value) >= 1000 and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4g}"


def plain(value: float, low: float, high: float, relation: str) -> str:
    """The numbers of a verdict in words, e.g. ``1.021 [0.998, 1.044], wanted < 1``."""
    if math.isnan(value):
        return f"no value, wanted {relation}"
    ranged = "" if math.isnan(low) or low == high else f" [{shown(low)}, {shown(high)}]"
    return f"{shown(value)}{ranged}, wanted {relation}"


def _explain(claim: Claim, verdict: str, found: Measured, why: str) -> str:
    """The claim's own paragraph for the verdict, else the reason, else the numbers where it is against it."""
    fields = {
        "measured": shown(found.value),
        "low": shown(found.low),
        "high": shown(found.high),
        "published": claim.published,
        "n": str(found.n),
    }
    written = claim.explain.get(verdict, "")
    for name, text in fields.items():
        written = written.replace(f"{{{name}}}", text)
    if not (written or why) and verdict != "reproduced":
        why = f"measured {plain(found.value, found.low, found.high, claim.relation.text)}"
    return " ".join(part if part.endswith(".") else f"{part}." for part in (written, why) if part)


def _declaring(absent: Sequence[str], scale: str, declared: Mapping[str, Container[str]]) -> tuple[str, str]:
    """The scale at which the runs that a file lacks are declared, or nothing; and that in words."""
    having = [name for name, runs in declared.items() if all(run in runs for run in absent)]
    if scale in having:
        return scale, "no result of it is there yet"
    nowhere = "the config declares no such run at this scale"
    return (having[0], f"{nowhere}, but at scale {having[0]}") if having else ("", nowhere)


def judge(
    claim: Claim,
    folder: Folder,
    scale: str,
    declared: Mapping[str, Container[str]],
    remedy: Callable[[str], str],
) -> Judgement:
    """Judge one claim.

    Args:
        claim: the claim.
        folder: result files of the scale.
        scale: the scale's name.
        declared: scale -> its runs, with and without their seeds, as far as they are known.
        remedy: the command that makes a missing file.
    """
    nothing = (math.nan, math.nan, math.nan)
    needed = ", ".join(dict.fromkeys(files(claim.quantity)))
    if claim.scales and scale not in claim.scales:
        why = f"the figure needs the sizes of scale {' or '.join(claim.scales)}."
        return Judgement("not decidable at this scale", *nothing, needed, why, claim.scales[0])
    try:
        found = measure(claim.quantity, folder, claim.id)
    except Missing as missing:
        why, place = f"{missing.file} {missing.what}", ""
        if missing.remake:
            place = scale
            why += f"; make it with: {remedy(missing.file)}"
        elif missing.absent:
            place, where = _declaring(missing.absent, scale, declared)
            why += f"; {where}"
        if needs := claim.explain.get("not run"):
            why += f". {needs}"
        return Judgement("not run", *nothing, needed, why, place)
    verdict, why = _rule(claim, found)
    return Judgement(
        verdict,
        found.value,
        found.low,
        found.high,
        found.evidence,
        _explain(claim, verdict, found, why),
        scale,
    )
