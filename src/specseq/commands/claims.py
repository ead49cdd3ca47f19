"""``specseq claims``: list the claims ledger with its verdicts, or show one claim with its evidence."""

import argparse
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from specseq.errors import InputError
from specseq.report.claims import KINDS, STATUSES, VERDICTS, Claim, Entry, files, ledger
from specseq.report.claims.ledger import AGAINST, in_words
from specseq.settings import near
from specseq.studies.config import load_plan
from specseq.studies.reports import load_claims


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq claims",
        description="Judge the notes' claims against the results at hand and list them, or show one.",
        epilog="e.g. specseq claims --note 000 --verdict inconsistent; specseq claims show 000.s1.baseline",
    )
    parser.add_argument("action", nargs="?", choices=["list", "show"], default="list")
    parser.add_argument("id", nargs="?", help="the claim to show; an unambiguous part of an id is enough")
    parser.add_argument("--scale", default="laptop", help="scale of the results (default laptop)")
    parser.add_argument("--note", help="only this note, e.g. 000")
    parser.add_argument("--verdict", choices=VERDICTS, help="only this verdict")
    parser.add_argument("--kind", choices=KINDS, help="only verdicts with this kind of evidence")
    parser.add_argument("--status", choices=STATUSES, help="only this status")
    parser.add_argument(
        "--claims",
        type=Path,
        default=Path("workflow/studies"),
        help="folder of the studies, which holds their claims",
    )
    parser.add_argument("--results", type=Path, help="the scale's results (default results/<scale>)")
    return parser


def main(arguments: Sequence[str]) -> None:
    """List or show."""
    options = build_parser().parse_intermixed_args(arguments)
    claims = load_claims(options.claims)
    here = Path("config.yaml").is_file()
    declared = load_plan().declared() if here else {}
    if declared and options.scale not in declared:
        raise InputError("--scale", f"no scale is called '{options.scale}'", near(options.scale, declared))
    notes = sorted({claim.note for claim in claims})
    if options.note not in (None, *notes):
        raise InputError("--note", f"there is no note '{options.note}'", f"there are {', '.join(notes)}")
    if options.action == "list" and options.id:
        raise InputError(options.id, "list takes no id", f"specseq claims show {options.id}")
    results = options.results or Path("results") / options.scale
    if not results.is_dir():
        print(f"{results} does not exist: only claims that arithmetic decides get a verdict", file=sys.stderr)
    if options.action == "show":
        claim = _find(claims, options.id)
        print(describe(ledger([claim], results, options.scale, declared)[0], results))
        return
    chosen = [claim for claim in claims if options.note in (None, claim.note)]
    entries = ledger(chosen, results, options.scale, declared)
    kept = [
        entry
        for entry in entries
        if options.verdict in (None, entry.verdict)
        and options.kind in (None, entry.kind)
        and options.status in (None, entry.claim.spec.status)
    ]
    _print(kept, options.scale)


def _print(entries: Sequence[Entry], scale: str) -> None:
    width = max(60, shutil.get_terminal_size((120, 24)).columns)
    first = max((len(entry.claim.id) for entry in entries), default=0)
    second = max((len(_label(entry)) for entry in entries), default=0)
    for entry in entries:
        line = f"{entry.claim.id:<{first}}  {_label(entry):<{second}}  {entry.claim.spec.statement}"
        print(line if len(line) <= width else line[: width - 1] + "…")
    counts = Counter(entry.verdict for entry in entries)
    kinds = Counter((entry.verdict, entry.kind) for entry in entries)
    listed = ", ".join(
        f"{counts[verdict]} {verdict}"
        + (f" ({', '.join(f'{kinds[verdict, kind]} {kind}' for kind in KINDS if kinds[verdict, kind])})")
        for verdict in VERDICTS
        if counts[verdict]
    )
    print(f"{len(entries)} claims at scale {scale}" + (f": {listed}" if listed else ""))


def _label(entry: Entry) -> str:
    return f"{entry.verdict} · {entry.kind}"


def _find(claims: Sequence[Claim], given: str | None) -> Claim:
    if not given:
        raise InputError("specseq claims show", "no id is given", "give one that 'specseq claims' lists")
    same = [claim for claim in claims if given in (claim.id, claim.id.partition(".")[2])]
    near = same or [claim for claim in claims if given in claim.id]
    if len(near) != 1:
        fault = "no claim has this id" if not near else f"{len(near)} claims match"
        listed = ", ".join(claim.id for claim in near[:4]) or "see 'specseq claims'"
        raise InputError(given, fault, listed)
    return near[0]


def describe(entry: Entry, results: Path) -> str:
    """Everything about one claim: statement, numbers, rule, files with what made them, and the command."""
    claim, spec = entry.claim, entry.claim.spec
    lines = [
        ("claim", claim.id),
        ("note", f"{claim.note}, {spec.place} ({claim.source})"),
        ("status", spec.status),
        ("quote", spec.quote),
        ("statement", spec.statement),
        ("test", "ours: the note does not state this" if spec.ours else ""),
        ("published", str(spec.published) or "no figure"),
        ("measured", in_words(entry.measured, entry.low, entry.high, claim.region.text)),
        ("verdict", entry.verdict),
        ("kind", entry.kind),
        ("corrected", _corrected(entry)),
        ("conditions", entry.conditions),
        ("gate", entry.gate),
        ("power", entry.power.text if entry.power else ""),
        ("why", entry.explanation),
        ("also wrong", "; ".join(spec.consequences) if entry.verdict in AGAINST else ""),
        *(("source", cited.text) for cited in spec.cites),
        ("evidence", entry.evidence),
    ]
    lines += [("made by", _maker(results, file)) for file in files(claim.quantity)]
    lines.append(("command", entry.command))
    wrapped = []
    for label, text in lines:
        if text:
            body = textwrap.fill(text, 100, subsequent_indent=" " * 11, break_long_words=False)
            wrapped.append(f"{label:<10} {body}")
    return "\n".join(wrapped)


def _corrected(entry: Entry) -> str:
    """The verdict after correction for the search that the claim belongs to; empty for none."""
    if entry.correction is None:
        return ""
    found = entry.correction
    return f"{found.verdict} (Holm over {found.comparisons} comparisons, p = {found.p:.2g})"


def _maker(results: Path, file: str) -> str:
    path = results / file
    if not path.is_file():
        return f"{file}: missing"
    from specseq.tables import read_provenance

    record = read_provenance(path)
    revision = (record.get("git") or "unknown")[:10]
    return f"{file}: rule {record.get('stage', 'unknown')}, revision {revision}, {record.get('finished', '')}"
