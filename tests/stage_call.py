"""A stage called as its rule calls it, but in this process."""

import contextlib
import io
import json
import runpy
import sys
import tempfile
from typing import Any


class Refused(Exception):
    """What a stage said of its input, in one line."""


def run(stage: str, **fields: Any) -> None:
    """Run a stage with a request of these fields.

    Raises:
        Refused: the stage ended with status 2.
    """
    errors, arguments = io.StringIO(), sys.argv
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(fields, file, default=str)
        file.flush()
        sys.argv = [stage, "--request", file.name]
        # Run as a script once more, although it may have been imported before.
        sys.modules.pop(f"specseq.stages.{stage}", None)
        try:
            with contextlib.redirect_stderr(errors):
                runpy.run_module(f"specseq.stages.{stage}", run_name="__main__")
        except SystemExit as end:
            print(errors.getvalue(), end="", file=sys.stderr)
            if end.code == 2:
                (line,) = errors.getvalue().splitlines()
                raise Refused(line.replace(file.name, "REQUEST")) from None
            if end.code:
                raise
        finally:
            sys.argv = arguments
