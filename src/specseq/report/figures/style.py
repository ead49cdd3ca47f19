"""The one style of all figures, and how they are saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from specseq.tables.files import atomic_path

FORMATS = ("svg", "png", "pdf")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style."""
    source = resources.files("specseq.report.figures") / "specseq.mplstyle"
    with resources.as_file(source) as path, plt.style.context(path):
        yield


def save(figure: Figure, target: Path) -> None:
    """Write a figure as SVG, PNG and PDF, each whole or not at all; the same input gives the same bytes.

    Args:
        figure: closed after saving.
        target: path without suffix.
    """
    for suffix in FORMATS:
        stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
        with atomic_path(target.with_name(f"{target.name}.{suffix}")) as path:
            figure.savefig(path, format=suffix, metadata=stamp)
    plt.close(figure)
