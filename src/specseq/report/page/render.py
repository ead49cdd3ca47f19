"""Fill the page template from a results folder."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
import pandas as pd
from markdown_it import MarkdownIt
from markupsafe import Markup

from specseq.errors import InputError
from specseq.report.claims.conditions import study_conditions
from specseq.report.claims.ledger import shown
from specseq.report.page import assets
from specseq.report.page.answers import Find, answer_of
from specseq.report.page.charts import VERDICT_COLOURS, verdict_chart
from specseq.report.page.images import embedded, thumbnail
from specseq.report.page.tables import cell, study_table, table
from specseq.report.sections import Section
from specseq.tables import read_parquet, read_provenance

LEDGER_COLUMNS = (
    "id", "note", "place", "quote", "statement", "ours", "published", "measured", "low", "high", "relation",
    "verdict", "kind", "conditions", "comparisons", "p_corrected", "verdict_corrected", "gate",
    "power", "evidence", "cites",
    "command", "status", "explanation", "consequences",
)  # fmt: skip
KINDS = {
    "figures": "arithmetic on the printed digits",
    "mechanism": "a closed form, or a test on a constructed case",
    "measured": "trained or scored at another size or on other data than published",
    "measured as published": "trained or scored at the published size, data and length",
}
"""Kinds of evidence, in order of display."""
MEANINGS = {
    "reproduced": "the whole 95 % interval, or the arithmetic, agrees with the statement",
    "contradicted": "the whole interval lies outside, or a closed form rules the statement out",
    "inconsistent": "the note's figures do not agree with each other or with arithmetic",
    "does not hold": "a test of ours, a question of the note's, or a run of another size or data fails",
    "undecided": "measured, but the interval straddles the bound, or there are too few seeds",
    "not decidable at this scale": "needs the published sizes or data, or a baseline that has learnt more",
    "not run": "no result yet; the entry says what it needs",
}


def _records(results: Path, root: Path) -> list[tuple[str, dict[str, Any] | None]]:
    """Every result file with its provenance, or None where that cannot be read."""
    records: list[tuple[str, dict[str, Any] | None]] = []
    for path in sorted(results.rglob("*.parquet")):
        shown = str(path.relative_to(root) if path.is_relative_to(root) else path)
        try:
            records.append((shown, read_provenance(path)))
        except InputError:
            records.append((shown, None))
    return records


def _provenance(records: Iterable[tuple[str, dict[str, Any] | None]]) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for file, record in records:
        if record is None:
            rows.append({"file": file, "stage": "cannot be read"})
        elif record:
            rows.append(
                {
                    "file": file,
                    "stage": record.get("stage"),
                    "run": record.get("run"),
                    "seed": record.get("seed"),
                    "revision": (record.get("git") or "")[:10] + ("+" if record.get("dirty") else ""),
                    "device": record.get("device"),
                    "seconds": record.get("wall_seconds"),
                    "finished": record.get("finished"),
                    "command": shlex.join(["snakemake", "--cores", "all", file]),
                }
            )
    return pd.DataFrame(rows)


def _ledger(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """The ledger's rows as text; ``measured`` with its interval, ``order`` to sort it by."""
    rows = []
    for row in claims.reindex(columns=list(LEDGER_COLUMNS)).to_dict("records"):
        texts = {str(name): cell(value) for name, value in row.items()}
        value, low, high = (row[name] for name in ("measured", "low", "high"))
        texts["measured"] = "" if pd.isna(value) else shown(float(value))
        if not (pd.isna(value) or pd.isna(low) or shown(float(low)) == shown(float(high))):
            texts["measured"] += f" [{shown(float(low))}, {shown(float(high))}]"
        texts["order"] = "" if pd.isna(value) else repr(float(value))
        rows.append(texts)
    return rows


def _touching(claims: pd.DataFrame, patterns: Sequence[str]) -> dict[str, Any]:
    """The claims whose ids fit a figure's patterns, and how many of them got which verdict."""
    fits = [any(fnmatchcase(str(name), pattern) for pattern in patterns) for name in claims["id"]]
    found = claims[pd.Series(fits, index=claims.index, dtype=bool)]
    return {"claims": found.to_dict("records"), "counts": _counts(found)}


def _counts(claims: pd.DataFrame) -> list[tuple[str, int]]:
    return [(name, int((claims["verdict"] == name).sum())) for name in VERDICT_COLOURS]


def _counts_by_evidence(claims: pd.DataFrame) -> dict[str, list[tuple[str, int]]]:
    """Counts of verdicts that arithmetic or a constructed test gives, and of those that runs give."""
    if "kind" not in claims:
        return {}
    by_runs = claims["kind"].astype(str).str.startswith("measured")
    return {"by arithmetic": _counts(claims[~by_runs]), "by runs": _counts(claims[by_runs])}


def _answer(
    find: Find | None, results: Path, claims: pd.DataFrame, own: pd.DataFrame, markdown: MarkdownIt
) -> dict[str, str]:
    """A study's answer as HTML by part; empty for a study without one."""
    if find is None:
        return {}
    return {
        part: markdown.render(text) for part, text in asdict(answer_of(find, results, claims, own)).items()
    }


def render_page(
    results: Path,
    sections: Iterable[Section],
    scale: str,
    explained: Mapping[str, str] = MappingProxyType({}),
    answers: Mapping[str, Find] = MappingProxyType({}),
    root: Path = Path(),
    lost: Sequence[Mapping[str, Any]] = (),
) -> str:
    """The report of one scale as HTML that needs no other file and no network.

    Figures and tables that are missing are named as not made.

    Args:
        explained: file of a table -> docstring that explains its columns.
        answers: study -> what makes its opening sentence.
        root: folder that shown paths are relative to.
        lost: jobs whose results are not there.
    """
    markdown = MarkdownIt("commonmark", {"html": False})
    records = _records(results, root)
    ledger_file = results / "claims.parquet"
    sections = list(sections)
    claims = read_parquet(ledger_file) if ledger_file.is_file() else pd.DataFrame(columns=LEDGER_COLUMNS)
    studies = []
    for section in sections:
        own = claims[claims["note"].astype(str).isin(section.notes)]
        studies.append(
            {
                "study": section.study,
                "title": section.title,
                "question": markdown.render(section.question),
                "set_up": markdown.render(section.set_up),
                "headline": next((f for f in section.figures if f.file == section.headline), None),
                "headline_image": thumbnail(results / section.headline),
                "notes": section.notes,
                "conditions": study_conditions(results, section.study),
                "counts": _counts_by_evidence(own),
                "answer": _answer(answers.get(section.study), results, claims, own, markdown),
                "figures": [
                    {
                        "spec": figure,
                        "image": embedded(results / figure.file),
                        **_touching(claims, figure.claims),
                    }
                    for figure in section.figures
                ],
                "tables": [study_table(results, spec, explained) for spec in section.tables],
            }
        )
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell
    environment.filters["unindented"] = lambda text: Markup(re.sub(r"\s*\n\s*", "\n", text))
    template = environment.from_string(assets.own("page.html.j2"))
    notes = {note: study["title"] for study in studies for note in study["notes"]}
    return template.render(
        scale=scale,
        style=assets.tables_style() + assets.own("page.css"),
        script=assets.own("page.js").replace("</script", "<\\/script"),
        vega=assets.vega_script(),
        tables=assets.tables_script(),
        studies=studies,
        ledger=_ledger(claims),
        notes=notes,
        kind_meanings=KINDS,
        verdicts=[(name, VERDICT_COLOURS[name], count, MEANINGS[name]) for name, count in _counts(claims)],
        evidence={name: dict(counts) for name, counts in _counts_by_evidence(claims).items()},
        against=_against(claims),
        findings=_findings(sections, claims, markdown),
        kinds=_by_kind(claims),
        chart=_script_json(verdict_chart(claims, notes)) if len(claims) else "null",
        made=read_provenance(ledger_file) if ledger_file.is_file() else {},
        provenance=table(_provenance(records)),
        missing=_missing(lost, records),
    )


def _missing(
    lost: Sequence[Mapping[str, Any]], records: Iterable[tuple[str, Mapping[str, Any] | None]]
) -> dict[str, Any]:
    """Notes on missing results, from lost jobs and the provenance of results.

    Returns:
        ``failed`` and ``diverged``, tables or None, and ``waiting``, how many jobs of which rule could not
        begin.
    """
    failed = [
        {"made by": job["rule"], "run": job["name"], "reason": job["reason"], "log": job["log"]}
        for job in lost
        if job["failed"]
    ]
    diverged = [
        {"run": record.get("run"), "reason": record["diverged"]}
        for _, record in records
        if record and record.get("stage") == "pretrain" and record.get("diverged")
    ]
    return {
        "failed": table(pd.DataFrame(failed)) if failed else None,
        "diverged": table(pd.DataFrame(diverged)) if diverged else None,
        "waiting": sorted(Counter(job["rule"] for job in lost if not job["failed"]).items()),
    }


def _findings(
    sections: Iterable[Section], claims: pd.DataFrame, markdown: MarkdownIt
) -> list[dict[str, Any]]:
    """The best-supported findings of all studies in order, with what their claims measured filled in."""
    rows = {str(row["id"]): row for row in claims.to_dict("records")}

    def measured(match: re.Match[str]) -> str:
        value = rows.get(match[1], {}).get("measured")
        return "(not measured here)" if value is None or pd.isna(value) else shown(float(value))

    ranked = sorted((finding for section in sections for finding in section.findings), key=lambda f: f.rank)
    return [
        {
            "text": markdown.render(re.sub(r"\{([\w.]+)\}", measured, finding.text)),
            "claims": [rows[name] for name in finding.claims if name in rows],
        }
        for finding in ranked
    ]


def _by_kind(claims: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per verdict that occurs: its counts by kind of evidence, and in all."""
    if "kind" not in claims:
        return []
    numbers = Counter(zip(claims["verdict"].astype(str), claims["kind"].astype(str), strict=True))
    rows = [
        {"verdict": verdict, "counts": [numbers[verdict, kind] for kind in KINDS]}
        for verdict in VERDICT_COLOURS
    ]
    return [{**row, "all": sum(row["counts"])} for row in rows if any(row["counts"])]


def _against(claims: pd.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """By note, what speaks against it: one entry per paragraph, with the claims that share it."""
    if "explanation" not in claims:
        return {}
    found = claims[claims["explanation"].fillna("").astype(str).str.len() > 0]
    found = found[found["verdict"].isin(["contradicted", "inconsistent"])].sort_values("note", kind="stable")
    by_note: dict[str, list[dict[str, Any]]] = {}
    for text, group in found.groupby("explanation", sort=False):
        first = group.iloc[0]
        entry = {
            "text": text,
            "statement": first["statement"],
            "verdict": first["verdict"],
            "kind": first.get("kind", ""),
            "quote": first.get("quote", ""),
            "cites": first.get("cites", ""),
            "consequences": [part for part in str(first.get("consequences", "") or "").split("; ") if part],
            "ids": list(group["id"]),
        }
        by_note.setdefault(str(first["note"]), []).append(entry)
    return by_note


def _script_json(value: Any) -> str:
    return json.dumps(value).replace("</", "<\\/")
