"""Captions of Snakemake's own report."""

import re
from pathlib import Path

from specseq.sweeps import read_yaml


def page_captions(folder: Path) -> dict[str, str]:
    """Title and caption, as reStructuredText, of each figure and table that the page shows, by file.

    Args:
        folder: the folder of the studies, each with ``page.yaml``.
    """
    captions = {}
    for path in sorted(folder.glob("*/page.yaml")):
        section = read_yaml(path)
        for shown in section["figures"] + section["tables"]:
            plain = {name: re.sub(r"([\\*`|_])", r"\\\1", shown[name]) for name in ("title", "caption")}
            captions[shown["file"]] = "**{title}.** {caption}".format(**plain)
    return captions
