"""The text format ``.tsf`` of the Monash forecasting archive.

Lines beginning with # are remarks; ``@attribute name type``, ``@frequency``, ``@horizon`` and the like come
first; after ``@data`` each line is a series: its attributes and its values, separated by colons, values by
commas, ``?`` where one is missing. Source: Godahewa et al. 2021, arXiv:2105.06643.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError

_FORMATS = ("%Y-%m-%d %H-%M-%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d")


@dataclass(frozen=True)
class TsfSeries:
    """One series.

    Attributes:
        name: its attribute ``series_name``, or its number.
        start: its first time; 1970 where the file has none.
        horizon: its attribute ``horizon``; None where the file has none.
        values: float32 [T], NaN where one is missing.
    """

    name: str
    start: np.datetime64
    horizon: int | None
    values: NDArray[np.float32]


def read_tsf(path: Path) -> list[TsfSeries]:
    """All series of a file.

    Raises:
        InputError: it is unreadable; names the line.
    """
    attributes: list[str] = []
    series: list[TsfSeries] = []
    data = False
    try:
        with path.open(encoding="utf-8", errors="replace") as handle:
            for number, line in enumerate(handle, 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                if data:
                    series.append(_series(f"{path}: line {number}", text, attributes, len(series)))
                elif text.lower().startswith("@attribute"):
                    attributes.append(text.split()[1])
                elif text.lower() == "@data":
                    data = True
                    if len(set(attributes)) < len(attributes):
                        raise InputError(path, f"declares an attribute twice: {', '.join(attributes)}")
    except (OSError, IndexError) as error:
        raise InputError(path, f"not a readable .tsf file ({error})", "download it again") from None
    if not series:
        fault = "holds no series" if data else "has no line @data"
        raise InputError(path, fault, "download it again")
    return series


def _series(where: str, text: str, attributes: list[str], count: int) -> TsfSeries:
    *given, values = text.split(":") if attributes else [text]
    if len(given) != len(attributes):
        fault = f"{len(given)} attributes where {len(attributes)} are declared"
        raise InputError(where, fault, "download the file again")
    about = dict(zip(attributes, given, strict=True))
    try:
        wide = np.array(values.replace("?", "nan").split(","), dtype=np.float64)
        with np.errstate(over="ignore"):
            numbers = wide.astype(np.float32)
        if (np.isinf(numbers) & np.isfinite(wide)).any():
            raise ValueError("a value beyond the range of float32, 3.4e38")
        horizon = int(about["horizon"]) if "horizon" in about else None
    except ValueError as error:
        raise InputError(where, f"{error}", "give numbers, ? where one is missing") from None
    start = _time(where, about["start_timestamp"]) if "start_timestamp" in about else np.datetime64(0, "us")
    return TsfSeries(about.get("series_name", str(count)), start, horizon, numbers)


def _time(where: str, text: str) -> np.datetime64:
    for form in _FORMATS:
        try:
            return np.datetime64(datetime.strptime(text, form), "us")
        except ValueError:
            continue
    raise InputError(where, f"start_timestamp {text!r}", f"write it as {_FORMATS[0]}")
