"""Numbers as a note prints them, and the range that their rounding allows for results computed from them."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from specseq.errors import InputError


@dataclass(frozen=True)
class Rounded:
    """A printed number.

    Attributes:
        value: as printed.
        half: half a unit of its last digit, by which rounding may have moved it; 0 for an exact number.
    """

    value: float
    half: float = 0.0

    @property
    def low(self) -> float:
        """The least value that is printed this way."""
        return self.value - self.half

    @property
    def high(self) -> float:
        """The largest value that is printed this way."""
        return self.value + self.half


@dataclass(frozen=True)
class Range:
    """A computed number with the range that the rounding of its inputs allows."""

    value: float
    low: float
    high: float


def rounded(source: Any) -> Rounded:
    """Read a number. Text keeps its digits (``"0.9820"`` is ±.00005); a YAML number is taken as exact.

    A sign, ``%``, ``x``, a leading ``~``, thousands commas and bold asterisks are understood. Text without a
    decimal point is a count and exact.

    Raises:
        InputError: the text is not a number.
    """
    if isinstance(source, Rounded):
        return source
    if isinstance(source, int | float) and not isinstance(source, bool):
        return Rounded(float(source))
    text = str(source).strip().strip("*~").rstrip("%xKM").replace(",", "").replace("−", "-").strip()
    try:
        value = float(text)
    except ValueError:
        raise InputError("claims", f"'{source}' is not a number", "quote the printed figure") from None
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    if "." not in mantissa:
        return Rounded(value)
    return Rounded(value, 0.5 * 10.0 ** (int(exponent or 0) - digits))


def rounded_list(source: Any) -> list[Rounded]:
    """Read a list of numbers: a YAML list, or a list printed as ``[-0.454, 0, -0.306]``.

    Raises:
        InputError: it is neither.
    """
    if isinstance(source, str):
        inside = source.strip().strip("*").strip("[]")
        return [rounded(part) for part in inside.split(",") if part.strip()]
    if not isinstance(source, Sequence):
        raise InputError("claims", f"{json.dumps(source)} is not a list", "write [..]")
    return [rounded(part) for part in source]


def point(value: float) -> Range:
    """A result of exact inputs."""
    return Range(float(value), float(value), float(value))


def over_rounding(function: Callable[..., float], *inputs: Rounded) -> Range:
    """A function's value, and its range over the corners of the inputs' rounding box.

    Exact for functions monotone in each input there, as ratios, differences and products of one sign are.
    """
    values = [function(*(number.value for number in inputs))]
    boxes: list[tuple[float, ...]] = [()]
    for number in inputs:
        boxes = [(*box, end) for box in boxes for end in {number.low, number.high}]
    for box in boxes:
        result = function(*box)
        if math.isfinite(result):
            values.append(result)
    return Range(values[0], min(values), max(values))
