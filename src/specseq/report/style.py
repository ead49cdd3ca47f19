"""The one style of all figures, and how they are saved."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import numpy as np

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from specseq.tables.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("svg", "png", "pdf")


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the project's style."""
    source = resources.files("specseq.report") / "specseq.mplstyle"
    with resources.as_file(source) as path, plt.style.context(path):
        yield


def nothing(why: str) -> Figure:
    """A figure of one sentence, for results that a scale leaves out."""
    figure, axes = plt.subplots(figsize=(6.4, 0.4))
    axes.set_axis_off()
    axes.set_title(why)
    return figure


def plain_log(*axes: Axis) -> None:
    """Label logarithmic axes with plain numbers, at 1, 2, 5 times powers of ten or closer; call it last.

    Over three decades or more the powers of ten alone have room; within an octave ticks are evenly spaced.
    """
    for axis in axes:
        low, high = axis.get_view_interval()
        if high < 2 * low:
            axis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        elif high < 5 * low:
            axis.set_major_locator(LogLocator(subs=(1, 1.2, 1.5, 2, 3, 4, 6, 8)))
        else:
            axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
        axis.set_major_formatter(FuncFormatter(lambda value, place: plain(value)))
        axis.set_minor_formatter(NullFormatter())


def plain(value: float) -> str:
    """``0.05``, ``2000``, ``20k``: a number as the label of an axis."""
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def line(number: int) -> tuple[str, str]:
    """Colour and dashes of the n-th of many lines."""
    return f"C{number % 8}", ("-", "--", ":")[number // 8 % 3]


def smoothed(curves: "pd.DataFrame") -> "pd.DataFrame":
    """Curves, step by seed, smoothed exponentially with a half-life of a twentieth of their length."""
    return curves.ewm(halflife=max(1.0, len(curves) / 20)).mean()


def banded(axes: Axes, curves: "pd.DataFrame", dashes: str = "-", band: float = 0.15, **style: Any) -> None:
    """The mean over seeds of curves, step by seed, with a band (of this opacity) over their range."""
    axes.plot(curves.index, curves.mean(axis=1), dashes, **style)
    ends = curves.min(axis=1), curves.max(axis=1)
    axes.fill_between(curves.index, *ends, color=style["color"], alpha=band, lw=0)


def whiskers(rows: "pd.DataFrame") -> Any:
    """Distances of ``low`` and ``high`` of rows from their ``ratio``, in the form of ``errorbar``."""
    return np.array([rows["ratio"] - rows["low"], rows["high"] - rows["ratio"]])


def legend_below(figure: Figure, panels: Iterable[Axes], **style: Any) -> None:
    """One legend for all panels, below them."""
    named = {
        label: drawn
        for panel in panels
        for drawn, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(named.values(), named.keys(), loc="outside lower center", **style)


def counted(number: int | tuple[int, int], name: str) -> str:
    """``3 seeds``, ``1 seed``; for a least and a greatest number that differ, ``1–3 seeds``."""
    least, greatest = number if isinstance(number, tuple) else (number, number)
    if least != greatest:
        return f"{least:,}–{greatest:,} {name}"
    return f"{greatest:,} {name if greatest != 1 else name.removesuffix('s')}"


def spread(counts: "pd.Series[Any]") -> tuple[int, int]:
    """The least and the greatest of the known counts; both 0 if there are none."""
    known = counts.dropna()
    return (int(known.min()), int(known.max())) if len(known) else (0, 0)


def sample_sizes(figure: Figure, **counts: int | tuple[int, int]) -> None:
    """State sample sizes above a figure: ``n = 12 configs, 1–3 seeds``.

    ``counts`` by what is counted, in the plural: a number, or the least and the greatest where parts of the
    figure differ; zeros are left out.
    """
    sizes = [counted(number, name) for name, number in counts.items() if number not in (0, (0, 0))]
    if sizes:
        _above(figure, 1, f"n = {', '.join(sizes)}", "right")


def name_scale(figure: Figure, scale: str) -> None:
    """State above a figure the scale of its results."""
    _above(figure, 0, f"{scale} scale", "left")


def _above(figure: Figure, x: float, text: str, side: Literal["left", "right"]) -> None:
    # Above the layout, where neither titles nor legends reach; saving crops to what is drawn.
    figure.text(x, 1.01, text, ha=side, va="bottom", fontsize=8, color="0.35")


def save(figure: Figure, target: Path) -> None:
    """Write a figure as SVG, PNG and PDF, each whole or not at all, and close it.

    The same input gives the same bytes. ``target`` has no suffix.
    """
    # Layout and margins are worked out once; each format would do it twice.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    drawn = figure.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
    for suffix in FORMATS:
        stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
        with atomic_path(target.with_name(f"{target.name}.{suffix}")) as path:
            figure.savefig(path, format=suffix, metadata=stamp, bbox_inches=drawn)
    plt.close(figure)
