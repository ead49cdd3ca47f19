"""Relations: where a quantity must lie for a statement to hold."""

import math

from specseq.errors import InputError
from specseq.report.claims.rounding import rounded
from specseq.settings import STRICT, Field, dataclass

Number = int | float | str
_SLACK = 1e-9  # of a half-unit: keeps ties of decimal rounding on the note's side


@dataclass(frozen=True, config=STRICT)
class Relation:
    """Range of the quantity in which the statement holds; give exactly one, ``about`` with one width."""

    below: Number | None = Field(default=None, description="strictly below")
    at_most: Number | None = Field(default=None, description="below, or equal")
    above: Number | None = Field(default=None, description="strictly above")
    at_least: Number | None = Field(default=None, description="above, or equal")
    between: tuple[Number, Number] | None = Field(default=None, description="from the first to the second")
    about: Number | None = Field(default=None, description="near this value, by one of the two widths")
    within: Number | None = Field(default=None, description="width of about, absolute")
    within_percent: Number | None = Field(default=None, description="width of about, per cent of the value")
    rounds_to: str | None = Field(
        default=None, description="the figure as printed, quoted: equal to its last digit"
    )

    def __post_init__(self) -> None:
        kinds = [kind for kind in _KINDS if getattr(self, kind) is not None]
        widths = [width for width in ("within", "within_percent") if getattr(self, width) is not None]
        if len(kinds) != 1 or len(widths) != (kinds == ["about"]):
            given = ", ".join(kinds + widths) or "nothing"
            raise InputError(
                "relation", f"{given} is given", f"give one of {', '.join(_KINDS)}; about with one width"
            )

    @property
    def region(self) -> "Region":
        """The accepted region."""
        match self:
            case Relation(between=(a, b)):
                low, high = rounded(a).value, rounded(b).value
                return Region(low, high, False, f"between {low:g} and {high:g}")
            case Relation(rounds_to=str(text)):
                number = rounded(text)
                x, half = number.value, (number.half or 0.5) + _SLACK * max(1.0, abs(number.value))
                return Region(x - half, x + half, False, f"= {text} as printed")
            case Relation(about=about) if about is not None:
                x, width = rounded(about).value, rounded(self.within or 0).value
                text = f"{about} ± {width:g}" if width else f"= {about}"
                if self.within_percent is not None:
                    percent = rounded(self.within_percent).value
                    width, text = abs(x) * percent / 100, f"{about} ± {percent:g} %"
                return Region(x - width, x + width, False, text)
        for kind, (sign, strict) in _SIDES.items():
            if (bound := getattr(self, kind)) is not None:
                x = rounded(bound).value
                low, high = (-math.inf, x) if sign in "<≤" else (x, math.inf)
                return Region(low, high, strict, f"{sign} {x:g}")
        raise AssertionError("a relation has one kind")


_SIDES = {"below": ("<", True), "at_most": ("≤", False), "above": (">", True), "at_least": ("≥", False)}
_KINDS = (*_SIDES, "between", "about", "rounds_to")


@dataclass(frozen=True)
class Region:
    """The values of a quantity for which a statement holds.

    Attributes:
        low, high: its ends; infinite where open, and infinity is then inside.
        strict: whether the finite ends are outside it.
        text: how it reads in the ledger.
    """

    low: float
    high: float
    strict: bool
    text: str

    def contains(self, value: float) -> bool:
        """Whether a value lies in the region."""
        return self.meets(value, value)

    def meets(self, low: float, high: float) -> bool:
        """Whether some value of [low, high] lies in the region."""
        if self.strict:
            above, below = high > self.low or self.low == -math.inf, low < self.high or self.high == math.inf
            return above and below
        return high >= self.low and low <= self.high
