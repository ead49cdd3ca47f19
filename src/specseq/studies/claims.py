"""The claims of all studies' notes, with the checks that they name."""

from importlib import import_module
from pathlib import Path

from specseq.report.claims import Claim, load
from specseq.studies import studies


def load_claims(folder: Path) -> list[Claim]:
    """Read ``<study>/claims*.yaml`` of every study.

    Args:
        folder: the studies' folder, ``workflow/studies``.

    Raises:
        InputError: there is no such file, or something in one is wrong.
    """
    named = [study.module(study.checks) for study in studies().values() if study.checks]
    return load(sorted(folder.glob("*/claims*.yaml")), map(import_module, named))
