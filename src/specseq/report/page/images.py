"""Figures as data URIs that keep the page small.

A small drawing stays a vector, with coordinates to a hundredth of a point. A drawing of thousands of marks is
shown as the PNG beside it, in few colours; its vector stays a separate file.
"""

import base64
import io
import re
from pathlib import Path
from urllib.parse import quote

from PIL import Image

LARGEST_VECTOR = 60_000  # characters
_COLOURS = 128
_THUMBNAIL, _RASTER = (820, 620), (1200, 1200)  # at most, in pixels
_PLAIN = " !$()*+,-./:;=?@[]^_{|}~"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def _shorter(number: re.Match[str]) -> str:
    value = float(number[0])
    # Scales of glyphs are small numbers: rounded to hundredths, letters would run into each other.
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 1 else f"{value:.4g}"


def slim(svg: str) -> str:
    """A matplotlib SVG without metadata and comments, numbers of one or more rounded to two decimals."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    return re.sub(r"\s*\n\s*", " ", _NUMBER.sub(_shorter, svg))


def _png(path: Path, size: tuple[int, int]) -> str:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    image.thumbnail(size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    # Chosen by coverage: by frequency, the many greys of text would take the place of rare colours.
    few = image.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def embedded(stem: Path) -> str | None:
    """A figure (a path without suffix) as a data URI, which keeps its ids and styles apart from its
    neighbours'; None where it is not made.
    """
    vector, raster = stem.with_name(f"{stem.name}.svg"), stem.with_name(f"{stem.name}.png")
    if not vector.is_file():
        return None
    svg = slim(vector.read_text(encoding="utf-8"))
    if len(svg) > LARGEST_VECTOR and raster.is_file():
        return _png(raster, _RASTER)
    return "data:image/svg+xml," + quote(svg, safe=_PLAIN)


def thumbnail(stem: Path) -> str | None:
    """A figure for the overview: the PNG scaled down, or what :func:`embedded` gives without one."""
    raster = stem.with_name(f"{stem.name}.png")
    return _png(raster, _THUMBNAIL) if raster.is_file() else embedded(stem)
