"""The console command ``specseq``: one subcommand per task, each in a module of the same name."""

import argparse
import importlib
import keyword
import sys
from collections.abc import Sequence
from pathlib import Path

from specseq import __version__
from specseq.environment import other_checkout
from specseq.errors import exit_status

COMMANDS: dict[str, str] = {
    "design": "design a filter and print its taps and diagnostics",
    "cost": "estimate the hours, memory and disk of a scale",
    "preflight": "check what would stop a scale from running",
    "plan": "list runs, or show which file sets each parameter of a run",
    "status": "show the state of each run: done, running with time left, queued or failed",
    "claims": "list the claims ledger with its verdicts",
    "findings": "write what a scale found, question by question",
    "score": "score a forecaster on a benchmark",
    "windows": "write a benchmark's windows for forecasters in any language",
    "import": "turn another program's checkpoint into weights",
    "leaderboard": "aggregate published results, with yours added",
    "submission": "write the files that the leaderboards of GIFT-Eval and FEV-Bench ask for",
    "audit-results": "find partial, duplicate and suspicious submissions",
    "lotsa": "list LOTSA sub-datasets, their sizes and benchmark overlap",
    "leakage": "count a benchmark's test points that are in a training corpus",
    "zeros": "compute verified zeros of the Riemann zeta function",
    "audit": "find out whether a checkpoint's equilibria are stable",
}


def build_parser() -> argparse.ArgumentParser:
    """The top-level parser; subcommands are parsed by their own modules."""
    listing = "\n".join(f"  {name:<14} {text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="specseq",
        description="Studies of sequence models by their spectra.",
        epilog=f"commands:\n{listing}\n\n'specseq COMMAND --help' describes a command.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"specseq {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=list(COMMANDS), help="what to do")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; bad input ends with one line on stderr and status 2."""
    options = build_parser().parse_args(argv)
    name = options.command.replace("-", "_") + "_" * keyword.iskeyword(options.command)
    module = importlib.import_module(f"specseq.commands.{name}")
    if warning := other_checkout(Path()):
        print(f"specseq: {warning}", file=sys.stderr)
    return exit_status(f"specseq {options.command}", lambda: module.main(options.arguments))


if __name__ == "__main__":
    sys.exit(main())
