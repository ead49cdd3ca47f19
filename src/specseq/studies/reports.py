"""What the studies' claims and pages say, checked before anything is computed for them."""

import re
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from specseq.errors import InputError
from specseq.report.sections import Section, load_section
from specseq.settings import near
from specseq.studies import products, studies

if TYPE_CHECKING:
    from specseq.report.claims import Claim


def load_claims(folder: Path) -> "list[Claim]":
    """Read ``<study>/claims*.yaml`` of the studies' folder, with the checks that they name.

    Raises:
        InputError: there is no such file, or something in one is wrong.
    """
    from specseq.report.claims import load  # reading results takes a second to import

    named = [study.module(study.checks) for study in studies().values() if study.checks]
    return load(sorted(folder.glob("*/claims*.yaml")), map(import_module, named))


@cache
def check_reports(folder: Path) -> None:
    """Read the claims and the page of every study, which are used only when all results are there.

    Raises:
        InputError: something in a file is wrong, or a page names a study, figure, table or claim that no
            file declares.
    """
    ids = {claim.id for claim in load_claims(folder)}
    for path in sorted(folder.glob("*/page.yaml")):
        _check_section(str(path), load_section(path), ids)


def _check_section(path: str, section: Section, ids: set[str]) -> None:
    if section.study not in studies():
        raise InputError(f"{path}: study", f"there is no '{section.study}'", near(section.study, studies()))
    figures = [f"figures/{name}" for name in products("figures")]
    tables = [f"tables/{name}.parquet" for name in products("tables")]
    shown = [figure.file for figure in section.figures]
    for place, file, known in [
        *((f"figures.{i}.file", figure.file, figures) for i, figure in enumerate(section.figures)),
        *((f"tables.{i}.file", table.file, tables) for i, table in enumerate(section.tables)),
        ("headline", section.headline, shown),
    ]:
        if file not in known and (known is not tables or file.startswith("tables/")):
            raise InputError(f"{path}: {place}", f"no study makes '{file}'", near(file, known))
    for place, patterns in [
        *((f"figures.{i}.claims", figure.claims) for i, figure in enumerate(section.figures)),
        *((f"findings.{i}.claims", finding.claims) for i, finding in enumerate(section.findings)),
    ]:
        for pattern in patterns:
            if not any(fnmatchcase(name, pattern) for name in ids):
                raise InputError(f"{path}: {place}", f"no claim is called '{pattern}'", near(pattern, ids))


def page_captions(folder: Path) -> dict[str, str]:
    """Title and caption, as reStructuredText, of each figure and table that the page shows, by file.

    Args:
        folder: the folder of the studies, each with ``page.yaml``.

    Raises:
        InputError: something in one is wrong.
    """
    captions = {}
    for path in sorted(folder.glob("*/page.yaml")):
        section = load_section(path)
        for shown in section.figures + section.tables:
            title, caption = (re.sub(r"([\\*`|_])", r"\\\1", text) for text in (shown.title, shown.caption))
            captions[shown.file] = f"**{title}.** {caption}"
    return captions
