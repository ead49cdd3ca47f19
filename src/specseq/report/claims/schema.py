"""What a claim is: a statement of a note with the quantity that decides it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from specseq.errors import InputError
from specseq.report.claims.printed import printed

STATUSES = ("live", "superseded", "retracted")
VERDICTS = (
    "reproduced",
    "contradicted",
    "undecided",
    "not decidable at this scale",
    "not run",
    "inconsistent",
)


@dataclass(frozen=True)
class Relation:
    """Where the measured quantity must lie for the statement to hold.

    Attributes:
        low, high: ends of the accepted region; infinite where open, and infinity is then inside.
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


_SLACK = 1e-9  # of a half-unit: keeps ties of decimal rounding on the note's side


def read_relation(spec: Mapping[str, Any], where: str) -> Relation:
    """A relation from its YAML form; exactly one of the keys below, ``about`` with one width.

    ``below``, ``at_most``, ``above``, ``at_least`` x; ``between`` [a, b]; ``about`` x ``within`` w or
    ``within_percent`` p; ``rounds_to`` "x" (the figure as printed: equal to its last digit).
    """
    kinds = [k for k in spec if k not in ("within", "within_percent")]
    if len(kinds) != 1:
        raise InputError(where, f"relation has {kinds or 'no'} keys", "give exactly one")
    kind = kinds[0]
    if kind == "between":
        low, high = (printed(end).value for end in spec[kind])
        return Relation(low, high, False, f"between {low:g} and {high:g}")
    number = printed(spec[kind])
    x = number.value
    match kind:
        case "below":
            return Relation(-math.inf, x, True, f"< {x:g}")
        case "at_most":
            return Relation(-math.inf, x, False, f"≤ {x:g}")
        case "above":
            return Relation(x, math.inf, True, f"> {x:g}")
        case "at_least":
            return Relation(x, math.inf, False, f"≥ {x:g}")
        case "rounds_to":
            half = number.half or 0.5
            half += _SLACK * max(1.0, abs(x))
            return Relation(x - half, x + half, False, f"= {spec[kind]} as printed")
        case "about" if "within_percent" in spec:
            percent = float(spec["within_percent"])
            width = abs(x) * percent / 100
            return Relation(x - width, x + width, False, f"{spec[kind]} ± {percent:g} %")
        case "about" if "within" in spec:
            width = float(spec["within"])
            text = f"{spec[kind]} ± {width:g}" if width else f"= {spec[kind]}"
            return Relation(x - width, x + width, False, text)
    raise InputError(where, f"unknown relation {dict(spec)}", "see workflow/claims/README.md")


@dataclass(frozen=True)
class Claim:
    """One figure or statement of a note.

    Attributes:
        id: ``<note>.<section>.<name>``.
        note: number of the note, e.g. ``000``.
        place: where in the note it stands.
        statement: what it says, in a sentence that can be true or false.
        published: the figure as printed; empty for a statement without one.
        quantity: what is measured or computed, in the language of :mod:`specseq.report.claims.quantities`.
        relation: where the quantity must lie for the statement to hold.
        scales: scales at which the quantity can decide it; empty for all.
        status: live, superseded or retracted by the note's own author.
        fails: the verdict when arithmetic goes against it: ``inconsistent``, or ``contradicted`` where the
            note agrees with itself and a theorem or closed form speaks against it.
        explain: verdict -> paragraph, with ``{measured}``, ``{low}``, ``{high}`` and ``{published}``.
        source: the YAML file.
    """

    id: str
    note: str
    place: str
    statement: str
    published: str
    quantity: Any
    relation: Relation
    scales: tuple[str, ...] = ()
    status: str = "live"
    fails: str = "inconsistent"
    explain: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
