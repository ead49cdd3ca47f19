"""What every stage script shares: its arguments and how it ends."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from specseq.errors import InputError


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with the argument that all stages take: ``--params``, resolved parameters as JSON."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--params", type=_json, default={}, help="resolved parameters as a JSON object")
    return made


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise argparse.ArgumentTypeError(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("a JSON object is wanted")
    return value


def check_keys(params: dict[str, Any], known: set[str]) -> None:
    """Refuse parameters that the stage does not know.

    Raises:
        InputError: names the first unknown key and the known ones.
    """
    for key in sorted(set(params) - known):
        raise InputError(f"params.{key}", "unknown key", f"known: {', '.join(sorted(known))}")


def add_inputs(made: argparse.ArgumentParser) -> None:
    """Add ``--input name=file [file ...]``, once for each named group of input files.

    A group may also be given as ``name=@list``: a file that names one input file a line. A command line can
    hold some 128 KiB; thousands of runs need more.
    """
    made.add_argument(
        "--input",
        dest="inputs",
        action="append",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="named input files: --input runs=a.parquet b.parquet, or --input runs=@list, one file a line",
    )


def inputs(options: argparse.Namespace) -> dict[str, list[Path]]:
    """The named input files.

    Raises:
        InputError: a group has no name, or its list cannot be read.
    """
    named: dict[str, list[Path]] = {}
    for first, *rest in options.inputs:
        name, found, file = first.partition("=")
        if not found:
            raise InputError("--input", f"'{first}' has no name", "write NAME=FILE [FILE ...]")
        for path in [file, *rest]:
            listed = _listed(Path(path[1:])) if path.startswith("@") else [path]
            named.setdefault(name, []).extend(Path(one) for one in listed if one)
    return named


def _listed(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"not a readable list of files ({error})") from None


def run(main: Callable[[], None]) -> None:
    """Call a stage's main; bad input ends with one line on stderr and status 2."""
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
