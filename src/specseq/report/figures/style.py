"""The one style of all figures, and how they are saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from specseq.tables.files import atomic_path

FORMATS = ("svg", "png", "pdf")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style."""
    source = resources.files("specseq.report.figures") / "specseq.mplstyle"
    with resources.as_file(source) as path, plt.style.context(path):
        yield


def plain_log(*axes: Axis) -> None:
    """Label logarithmic axes with plain numbers, at 1, 2, 5 times powers of ten or closer; call it last."""
    for axis in axes:
        low, high = axis.get_view_interval()
        close = high < 5 * low
        axis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 4, 6, 8) if close else (1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


def line(number: int) -> tuple[str, str]:
    """Colour and dashes of the n-th of many lines."""
    return f"C{number % 8}", ("-", "--", ":")[number // 8 % 3]


def counted(number: int, name: str) -> str:
    """``3 seeds``, ``1 seed``."""
    return f"{number:,} {name if number != 1 else name.removesuffix('s')}"


def sample_sizes(figure: Figure, **counts: int) -> None:
    """State above a figure what it stands on: ``n = 12 configs, 3 seeds``.

    Args:
        figure: the figure.
        counts: numbers by what is counted, in the plural; what is not there is not said.
    """
    said = [counted(number, name) for name, number in counts.items() if number]
    if said:
        # Above the layout, where neither titles nor legends reach; saving crops to what is drawn.
        text = f"n = {', '.join(said)}"
        figure.text(1, 1.01, text, ha="right", va="bottom", fontsize=8, color="0.35")


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
