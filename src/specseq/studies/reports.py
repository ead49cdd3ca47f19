"""What the studies' claims and pages say, checked before anything is computed for them."""

from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from specseq.errors import InputError
from specseq.report.sections import Section, load_section
from specseq.settings import near
from specseq.studies import products, studies


@cache
def check_reports(folder: Path) -> None:
    """Read the claims and the page of every study, which are used only when all results are there.

    Args:
        folder: the studies' folder, ``workflow/studies``.

    Raises:
        InputError: something in a file is wrong, or a page names a study, figure, table or claim that no
            file declares.
    """
    from specseq.studies.claims import load_claims  # reading results takes a second to import

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
