"""The claims of all studies' notes, with the checks that they name."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from specseq.report.claims import Claim, load


def load_claims(folder: Path) -> list[Claim]:
    """Read ``<study>/claims*.yaml`` of every study.

    Args:
        folder: the studies' folder, ``workflow/studies``.

    Raises:
        InputError: there is no such file, or something in one is wrong.
    """
    files = sorted(folder.glob("*/claims*.yaml"))
    packages = dict.fromkeys(f"specseq.studies.{path.parent.name}" for path in files)
    named = [f"{package}.checks" for package in packages if find_spec(package)]
    return load(files, [import_module(name) for name in named if find_spec(name)])
