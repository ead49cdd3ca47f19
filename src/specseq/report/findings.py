"""The findings of one scale as a document: the answer to each question, then the claims behind it.

It is made from the ledger and the tables alone, so that a reader can check each line by the claim it names.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from specseq.errors import InputError
from specseq.report.claims.conditions import study_conditions
from specseq.report.claims.ledger import AGAINST, in_words
from specseq.report.gates import UNDECIDABLE
from specseq.report.page.answers import Answer, Find, answer_of
from specseq.report.sections import Section
from specseq.tables import read_parquet

OPEN = "What remains open"
PARTS = {
    "Where the notes disagree with themselves or with what can be computed": ("any", AGAINST),
    "What holds in trained or scored models": ("measured", ("reproduced",)),
    "Which of our own tests fail": ("any", ("does not hold",)),
    OPEN: ("measured", ("undecided",)),
}
"""Heading -> the claims below it: of any kind or only measured on trained or scored models, and verdicts."""


def findings(
    results: Path, sections: Iterable[Section], scale: str, answers: Mapping[str, Find], made_by: str
) -> str:
    """The document, Markdown, from the results of a scale; ``made_by`` is the command that made them.

    Raises:
        InputError: the scale has no ledger yet.
    """
    path = results / "claims.parquet"
    if not path.is_file():
        raise InputError(path, "not there", f"make it: snakemake --cores all {path}")
    claims = read_parquet(path)
    lines = [
        f"# Findings at scale {scale}",
        "",
        f"Made by `specseq findings --scale {scale}` from the claims and tables of that scale, which "
        f"`{made_by}` makes. `specseq claims show ID --scale {scale}` shows the evidence for a claim. The "
        "text in italics gives the measured value, its 95 % interval, and what the value has to be for the "
        "statement to hold.",
        "",
    ]
    studies = []
    for section in sections:
        own, find = claims[claims["note"].astype(str).isin(section.notes)], answers.get(section.study)
        answer = None if find is None else answer_of(find, results, claims, own)
        if answer is not None:
            lines.append(f"- **{section.title}.** {_line(answer.finding)}")
        studies += _study(results, section, own, answer)
    return "\n".join([*lines, "", *studies]).rstrip() + "\n"


def _study(results: Path, section: Section, own: pd.DataFrame, answer: Answer | None) -> list[str]:
    lines = [f"## {section.title}", "", _line(section.question), ""]
    if answer is not None:
        lines += [f"**How sure.** {_line(answer.sure)} {_line(answer.surer)}", ""]
    if used := study_conditions(results, section.study):
        lines += [f"**Data and runs:** {_line(used)}.", ""]
    measured = own["kind"].astype(str).str.startswith("measured")
    verdict = own["verdict"].mask(measured & (own["verdict_corrected"] == "undecided"), "undecided")
    for heading, (kind, verdicts) in PARTS.items():
        rows = own[verdict.isin(verdicts) & (measured | (kind == "any"))]
        if len(rows):
            lines += [f"### {heading}", "", *(_open(rows) if heading == OPEN else _claims(rows)), ""]
    counts = own["verdict"].value_counts()
    agreed = int(((own["verdict"] == "reproduced") & ~measured).sum())
    rest = [f"{agreed} claims that hold by arithmetic or on constructed cases"]
    rest += [f"{counts[name]} that are {name}" for name in (UNDECIDABLE, "not run") if name in counts]
    return [*lines, f"Not listed: {', '.join(rest)}.", ""]


def _claims(rows: pd.DataFrame) -> Iterator[str]:
    """A list of claims; those that share an explanation stand below the first of them."""
    explained = ""
    for row in rows.to_dict("records"):
        against = row["verdict"] in (*AGAINST, "does not hold")
        text = f"{_line(row['statement'])} {_measured(row)}."
        if against and row["explanation"] == explained:
            yield f"  - {text}"
            continue
        explained = row["explanation"] if against else ""
        if explained and not explained.startswith("measured "):
            text += f" {_line(explained)}"
        yield f"- {text}"


def _open(rows: pd.DataFrame) -> Iterator[str]:
    """A table of undecided claims with what would decide them."""
    yield from ("| Statement | Measured | What would decide it |", "|---|---|---|")
    for row in rows.to_dict("records"):
        alone = "Holds" if row["verdict"] == "reproduced" else "Does not hold"
        corrected = f"{alone} on its own, undecided after Holm's correction for its search"
        cells = (
            row["statement"],
            _measured(row),
            row["power"] if row["verdict"] == "undecided" else corrected,
        )
        yield f"| {' | '.join(_line(cell).replace('|', chr(92) + '|') for cell in cells)} |"


def _measured(row: Mapping[Hashable, Any]) -> str:
    """Measured value and id of a claim, and its verdict if that is against a note."""
    value, low, high = (float(row[name]) for name in ("measured", "low", "high"))
    verdict = f", {row['verdict']}" if row["verdict"] in AGAINST else ""
    return f"*{in_words(value, low, high, str(row['relation']))}* (`{row['id']}`{verdict})"


def _line(text: object) -> str:
    """Text in one line, its whitespace collapsed."""
    return " ".join(str(text).split())
