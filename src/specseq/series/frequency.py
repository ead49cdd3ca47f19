"""A single spelling for the frequency aliases used by data sets and versions of pandas."""

import re
from dataclasses import dataclass
from functools import lru_cache

from specseq.errors import InputError

# Unit -> the spellings in use: pandas before and after 2.2, anchored ends and starts, business variants.
_SPELLINGS = {
    "S": ("S", "s"),
    "T": ("T", "min", "MIN", "t"),
    "H": ("H", "h", "BH", "bh"),
    "D": ("D", "d", "C"),
    "B": ("B", "b"),
    "W": ("W", "w"),
    "M": ("M", "ME", "MS", "BM", "BME", "BMS", "CBM", "CBME", "CBMS"),
    "Q": ("Q", "QE", "QS", "BQ", "BQE", "BQS", "q"),
    "A": ("A", "AS", "Y", "YE", "YS", "BA", "BAS", "BY", "BYE", "BYS", "a", "y"),
}
_UNIT = {spelling: unit for unit, spellings in _SPELLINGS.items() for spelling in spellings}
_WEEKDAYS = {"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}
_MONTHS = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
_ANCHORS = {"W": _WEEKDAYS, "Q": _MONTHS, "A": _MONTHS}
_COARSER = {"S": "T", "T": "H"}
_SEASON = {"S": 3600, "T": 1440, "H": 24, "D": 1, "B": 5, "W": 1, "M": 12, "Q": 4, "A": 1}
_MOST = 10_000_000  # units in a step: more than the seconds of a quarter
_ALIAS = re.compile(r"(\d*)([A-Za-z]+)(?:-([A-Z]{3}))?")

UNITS = tuple(_SPELLINGS)


@dataclass(frozen=True)
class Frequency:
    """A sampling frequency: every ``multiple`` ``unit``.

    Attributes:
        multiple: positive integer.
        unit: one of :data:`UNITS`: S second, T minute, H hour, D day, B business day, W week, M month,
            Q quarter, A year.
        business: whether an hour, month, quarter or year refers to business days.
    """

    multiple: int
    unit: str
    business: bool = False

    @property
    def alias(self) -> str:
        """The normalised spelling, e.g. ``15T``, ``H``, ``W``; without an anchor day or month."""
        return f"{self.multiple if self.multiple > 1 else ''}{self.unit}"

    @property
    def season_length(self) -> int:
        """Steps in one season as counted by GIFT-Eval: the unit's period divided by the multiple, or 1.

        The stated unit decides: 60 S has a season of 60 steps, the equal 1 T one of 1440.
        """
        if self.business:
            return 1
        period, rest = divmod(_SEASON[self.unit], self.multiple)
        return period if period and not rest else 1


@lru_cache(maxsize=1024)
def stated_frequency(alias: str, where: str = "freq") -> Frequency:
    """Read an alias as stated: ``H``, ``h``, ``min``, ``15T``, ``60S``, ``ME``, ``W-SUN``, ``A-DEC`` ...

    Args:
        where: file or field that holds the alias, for messages.

    Raises:
        InputError: the alias is unknown.
    """
    match = _ALIAS.fullmatch(alias.strip())
    unit = _UNIT.get(match[2]) if match else None
    fits = match and unit and (match[3] is None or match[3] in _ANCHORS.get(unit, ()))
    multiple = int(match[1] or 1) if match else 0
    if match is None or unit is None or not fits or not 1 <= multiple <= _MOST:
        raise InputError(
            where, f"unknown frequency alias {alias!r}", f"use a multiple of one of {', '.join(UNITS)}"
        )
    return Frequency(multiple, unit, business=len(match[2]) > 1 and match[2][0] in "BbC")


@lru_cache(maxsize=1024)
def parse_frequency(alias: str, where: str = "freq") -> Frequency:
    """Read an alias and normalise it: 60 S and 60 T to 1 T and 1 H, business hours to hours.

    Raises:
        InputError: the alias is unknown.
    """
    stated = stated_frequency(alias, where)
    unit, multiple = stated.unit, stated.multiple
    while unit in _COARSER and multiple % 60 == 0:
        unit, multiple = _COARSER[unit], multiple // 60
    return Frequency(multiple, unit)
