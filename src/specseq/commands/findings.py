"""``specseq findings``: what a scale found, question by question, as Markdown."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from specseq.commands.plan import add_config, plan_of
from specseq.errors import InputError
from specseq.report.evidence import write_evidence
from specseq.report.findings import findings
from specseq.report.sections import load_sections
from specseq.settings import near
from specseq.studies import answers
from specseq.tables.files import write_text


def main(arguments: Sequence[str]) -> None:
    """Print or write the document."""
    parser = argparse.ArgumentParser(
        prog="specseq findings",
        description="Write what was found at a scale, question by question: answers, the claims behind them "
        "with intervals, what is open and what would decide it.",
        epilog="e.g. specseq findings --scale laptop --out findings.md",
    )
    parser.add_argument("--out", type=Path, help="Markdown file to write (default: print it)")
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="DIR",
        help="also write the ledger and the summary tables to this folder as CSV, with their provenance",
    )
    add_config(parser)
    options = parser.parse_args(arguments)
    plan, scale = plan_of(options)
    if scale not in plan.scales:
        raise InputError("--scale", f"no scale is called '{scale}'", near(scale, plan.scales))
    sections = load_sections(options.root / "workflow/studies")
    made_by = f"snakemake --cores all --config scale={scale}"
    results = options.root / "results" / scale
    text = findings(results, sections, scale, answers(), made_by)
    if options.evidence is not None:
        written = write_evidence(results, sections, options.evidence)
        print(f"{options.evidence}: {len(written)} files", file=sys.stderr)
    if options.out is None:
        print(text, end="")
        return
    write_text(options.out, text)
    print(f"{options.out}: {text.count(chr(10))} lines")
