"""The findings of one scale as a document: question by question the answer, then the claims behind it.

It is made of the ledger and the tables alone, so that a reader can check each line by the claim it names.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from specseq.errors import InputError
from specseq.report.claims.conditions import study_conditions
from specseq.report.claims.ledger import AGAINST, in_words
from specseq.report.gates import UNDECIDABLE
from specseq.report.page.answers import Find, answer_of
from specseq.report.page.sections import Section
from specseq.tables import read_parquet

PARTS = {
    "What speaks against the notes": ("any", AGAINST),
    "What holds, trained or scored": ("measured", ("reproduced",)),
    "What does not hold of what we tested beside the notes": ("any", ("does not hold",)),
    "What is open": ("measured", ("undecided",)),
}
"""Headings, and the claims below: of any kind or of trained and scored models, and with which verdicts."""


def findings(
    results: Path, sections: Iterable[Section], scale: str, answers: Mapping[str, Find], made_by: str
) -> str:
    """The document, Markdown.

    Args:
        results: the scale's results, with its ledger.
        sections: of the studies, in order.
        scale: its name.
        answers: study -> what makes its finding.
        made_by: the command that made the results.

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
        f"Made by `specseq findings --scale {scale}` from the claims and tables of that scale (`{made_by}`); "
        f"`specseq claims show ID --scale {scale}` tells the evidence of a line. Intervals are 95 %.",
        "",
    ]
    for section in sections:
        own = claims[claims["note"].astype(str).isin(section.notes)]
        lines += _study(results, section, claims, own, answers.get(section.study))
    return "\n".join(lines).rstrip() + "\n"


def _study(
    results: Path, section: Section, claims: pd.DataFrame, own: pd.DataFrame, find: Find | None
) -> list[str]:
    lines = [f"## {section.title}", "", _line(section.question), ""]
    if find is not None:
        answer = answer_of(find, results, claims, own)
        lines += [f"**Answer.** {_line(answer.finding)}", ""]
        lines += [f"**How sure.** {_line(answer.sure)} {_line(answer.surer)}", ""]
    if rests_on := study_conditions(results, section.study):
        lines += [f"**What it rests on.** {_line(rests_on)}", ""]
    measured = own["kind"].astype(str).str.startswith("measured")
    for heading, (kind, verdicts) in PARTS.items():
        rows = own[own["verdict"].isin(verdicts) & (measured | (kind == "any"))]
        if len(rows):
            lines += [f"### {heading}", ""]
            before = rows["explanation"].shift()
            same = rows["explanation"].eq(before).fillna(False)
            for row, again in zip(rows.to_dict("records"), same, strict=True):
                lines.append(_claim({str(name): value for name, value in row.items()}, again))
            lines.append("")
    counts = own["verdict"].value_counts()
    agreed = int(((own["verdict"] == "reproduced") & ~measured).sum())
    rest = [f"{agreed} claims agree by arithmetic or on constructed blocks"]
    rest += [f"{counts[name]} are {name}" for name in (UNDECIDABLE, "not run") if name in counts]
    return [*lines, f"Not listed: {', '.join(rest)}.", ""]


def _claim(row: Mapping[str, Any], again: bool) -> str:
    """One line of the document; ``again`` where the claim before it has the same explanation."""
    value, low, high = (float(row[name]) for name in ("measured", "low", "high"))
    text = f"- {_line(row['statement'])} *{in_words(value, low, high, str(row['relation']))}* (`{row['id']}`"
    text += f", {row['verdict']})." if row["verdict"] in AGAINST else ")."
    if row["verdict"] in (*AGAINST, "does not hold"):
        why = "As above." if again else _line(row["explanation"])
        return text if why.startswith("measured ") else f"{text} {why}"
    corrected = row["verdict_corrected"]
    if row["verdict"] == "reproduced" and corrected == "undecided":
        text += " Undecided once corrected for its search."
    return f"{text} {_line(row['power'])}" if row["verdict"] == "undecided" and row["power"] else text


def _line(text: object) -> str:
    """Text in one line, its whitespace collapsed."""
    return " ".join(str(text).split())
