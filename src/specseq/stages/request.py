"""Requests: what a stage is to do, as a JSON file of one settings class.

``python -m specseq.stages.NAME --request FILE`` reads the file, calls one function of the library and ends
with status 0, or with one line on stderr and status 2. The workflow adds two keys: ``code`` names source
files and the digest they had when the work was planned, and other code refuses to do that work; ``gpu`` says
whether the stage is to have a GPU of this machine to itself, or none.
"""

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from specseq.errors import InputError, exit_status, naming
from specseq.launch.gpus import assigned
from specseq.settings import read
from specseq.sources import source_digest

T = TypeVar("T")


def serve(kind: type[T], stage: Callable[[T], object], description: str) -> NoReturn:
    """Do what the request file on the command line asks for, and end the process.

    A number that the stage returns is the exit status; the description is for ``--help``.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--request", type=Path, required=True, metavar="FILE", help=f"JSON file, a {kind.__name__}"
    )
    options = parser.parse_args()

    def work() -> object:
        content = load(options.request)
        with assigned(content.pop("gpu", None)):
            return stage(read(kind, content, "request"))

    sys.exit(exit_status("error", work))


def load(path: Path) -> dict[str, Any]:
    """The request in a file.

    Raises:
        InputError: the file cannot be read, or the code has changed since the request was planned.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fault = "no such request: code or config have changed since this was planned"
        raise InputError(path, fault, "run snakemake again") from None
    except (OSError, ValueError) as error:
        raise InputError(path, f"is not readable JSON ({error})", "run snakemake again") from None
    if not isinstance(content, dict):
        raise InputError(path, "is not a JSON object", "give the fields of a request")
    _check_code(path, content.pop("code", None))
    return content


def _check_code(path: Path, planned: Mapping[str, Any] | None) -> None:
    if planned is None:
        return
    try:
        same = source_digest(*planned["files"]) == planned["digest"]
    except FileNotFoundError:
        same = False
    if not same:
        raise InputError(path, "the code has changed since this was planned", "run snakemake again")


def save(folder: Path, content: Mapping[str, Any], write: bool = True) -> Path:
    """Write a request into a folder, whole or not at all, under a name that follows from what it holds.

    Args:
        folder: for the requests of one stage.
        content: fields of the request.
        write: False only names the file.
    """
    # In the order given, which the rows of tables follow. Without indents, json takes a fifth of the time.
    line = json.dumps(content, default=os.fspath)
    path = folder / f"{hashlib.sha256(line.encode()).hexdigest()[:16]}.json"
    if write and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        with naming(path):
            part.write_text(json.dumps(content, indent=1, default=os.fspath), encoding="utf-8")
            part.replace(path)
    return path
