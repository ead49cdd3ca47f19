"""Captions of Snakemake's own report."""

import re
from pathlib import Path

from specseq.report.sections import load_section


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
