"""``specseq audit-results``: find partial, copied and doubtful submissions among published results."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from specseq.commands.options import format_rows
from specseq.errors import InputError
from specseq.progress import say_left_out
from specseq.scoring.audit_results import audit
from specseq.scoring.submissions import BENCHMARKS, detect, read_folder, result_files


def main(arguments: Sequence[str]) -> None:
    """Print the findings."""
    parser = argparse.ArgumentParser(
        prog="specseq audit-results",
        description="Find partial, copied and doubtful submissions. A finding is a reason to look closer.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of published result files")
    parser.add_argument(
        "--add",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="an additional result file; may be repeated",
    )
    parser.add_argument("--benchmark", choices=sorted(BENCHMARKS), help="default: recognised by the columns")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.01,
        help="relative tolerance of the implied mean target (default 0.01)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if not 0 < options.tolerance < 1:
        fault = f"{options.tolerance} is out of range"
        raise InputError("--tolerance", fault, "give a share between 0 and 1")
    if options.benchmark:
        benchmark = BENCHMARKS[options.benchmark]
    else:
        benchmark = detect(next(iter(result_files(options.folder))))
    submissions = read_folder(options.folder, benchmark, options.add, say_left_out)
    findings = audit(submissions, benchmark, tolerance=options.tolerance)
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=1, allow_nan=False))
        return
    print(f"{benchmark.name}: {len(submissions)} submissions, {len(findings)} findings")
    if findings:
        print(
            format_rows(
                [asdict(finding) for finding in findings], ["model", "kind", "tasks", "of", "sure", "detail"]
            )
        )
