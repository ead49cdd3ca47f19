"""``specseq zeros``: compute verified zeros of the Riemann zeta function, or convert a Platt file."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from specseq.errors import Diverged

_EPILOG = """examples:
  specseq zeros --index 1 --count 1000000 --out zeros.parquet
  specseq zeros --height 7.5e7 --count 100000 --out high.parquet
  specseq zeros --height 1000 --to 2000 --out stretch.parquet
  specseq zeros --platt zeros_14.dat --out zeros.parquet       # or a folder of such files

The table has columns n, gamma, t0 and delta (gamma = t0 + delta, where delta holds the digits that a double
gamma cannot). Turing's method proves that no zero is missing; the file's footer records the proof. To
continue an interrupted computation, give the same command again.
"""


def _processors() -> int:
    """Processors that this process may use, where the system tells."""
    usable = getattr(os, "sched_getaffinity", None)
    return len(usable(0)) if usable else os.cpu_count() or 1


def main(arguments: Sequence[str]) -> int:
    """Entry point of the subcommand."""
    parser = argparse.ArgumentParser(
        prog="specseq zeros",
        description="Compute verified zeros 1/2 + i·gamma of the Riemann zeta function.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    first = parser.add_mutually_exclusive_group(required=True)
    first.add_argument("--index", type=int, help="index of the first zero (gamma_1 = 14.13...)")
    first.add_argument(
        "--height", type=float, help="start at the first zero at or above this height (at most 1.1e10)"
    )
    first.add_argument(
        "--platt", type=Path, help="read this binary file, or a folder of them, instead of computing"
    )
    last = parser.add_mutually_exclusive_group()
    last.add_argument("--count", type=int, help="number of zeros")
    last.add_argument("--to", type=float, help="stop at this height (with --height)")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--workers", type=int, default=_processors(), help="processes (default: all)")
    parser.add_argument("--quiet", action="store_true", help="print no progress")
    options = parser.parse_args(arguments)
    if options.platt is not None and (options.count is not None or options.to is not None):
        parser.error("--platt converts the whole file: leave out --count and --to")
    from specseq.commands.options import to_request
    from specseq.tables.files import check_target
    from specseq.zeros.catalogue import ZerosRequest, make_zeros

    zeros = {name: getattr(options, name) for name in ("index", "height", "count", "to")}
    values = {name: getattr(options, name) for name in ("out", "workers", "quiet")}
    request = to_request(ZerosRequest, {**values, "zeros": {**zeros, "platt": options.platt}})
    check_target(request.out, "--out")
    try:
        record = make_zeros(request)
    except Diverged as error:
        print(f"specseq zeros: {error}", file=sys.stderr)
        return 1
    complete = "complete" if record["complete"] else f"complete to index {record['complete_to']}"
    print(
        f"{options.out}: {record['count']} zeros, indices {record['first_index']} to {record['last_index']}, "
        f"{complete}: {record['method']}; |mean S| at most {record['largest_mean_s']:.4f}, "
        f"{record['largest_share_of_bound']:.2f} of Turing's bound"
    )
    return 0
