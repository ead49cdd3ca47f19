"""Settings of tables of zeros. Nothing here is slow to import."""

import math

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass
from specseq.zeros.counts import height_of_index, smooth_count

HIGHEST = 1.1e10
"""Largest height at which zeros are computed; above it, offsets and phases lose their last digits."""


ROOM = 8.0
"""Twice Turing's bound on |∫S|, as a height: a zero lost this far from a stretch's end is noticed."""


@dataclass(frozen=True, config=STRICT)
class ZeroRange:
    """Range of zeros: ``count`` of them from an index or a height upwards, or all between two heights."""

    index: int | None = Field(default=None, ge=1, description="index of the first zero")
    height: float | None = Field(
        default=None, ge=0, description="the first zero is the lowest one at or above this height"
    )
    count: int | None = Field(default=None, ge=1, description="number of zeros")
    to: float | None = Field(default=None, description="zeros below this height; goes with height")

    def __post_init__(self) -> None:
        if (self.index is None) == (self.height is None):
            raise InputError("index", "give a first index or a first height, one of them")
        if (self.count is None) == (self.to is None):
            raise InputError("count", "give a count or an upper height (to), one of them")
        if self.to is not None and self.height is None:
            fault = "an upper height goes with a first height"
            raise InputError("to", fault, "give height in place of index")
        if self.to is not None and self.height is not None and self.to <= self.height:
            raise InputError("to", f"{self.to} is not above the height {self.height}", "give a lower height")
        if self.top > HIGHEST:
            fault = f"the last zero is near t = {self.top:.4g}"
            raise InputError("count" if self.to is None else "to", fault, f"stay below {HIGHEST:.4g}")

    @property
    def start(self) -> float:
        """A height certainly below the first requested zero; |S(t)| < 4 in the range."""
        if self.height is not None:
            return max(0.0, math.floor(self.height - ROOM))
        assert self.index is not None
        return 0.0 if self.index < 660 else math.floor(height_of_index(self.index - 8))

    @property
    def top(self) -> float:
        """A height certainly above the last requested zero."""
        if self.to is not None:
            return self.to
        assert self.count is not None
        first = self.index if self.index is not None else smooth_count(max(self.height or 0.0, 10.0)) + 8
        return height_of_index(max(first + self.count + 8, 20.0))


@dataclass(frozen=True, config=STRICT)
class ZeroSource(ZeroRange):
    """Zeros that are computed, or taken from D. Platt's files: all of them unless index or count is given."""

    platt: str | None = Field(
        default=None,
        min_length=1,
        description="D. Platt's binary files in place of computing: one, or a folder of `*.dat`",
    )

    def __post_init__(self) -> None:
        if self.platt is None:
            super().__post_init__()
            return
        for name in ("height", "to"):
            if getattr(self, name) is not None:
                raise InputError(name, "goes with zeros that are computed", "give index and count")
