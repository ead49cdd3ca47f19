"""Which zeros are asked for, and zeros in hand."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.zeros.blocks import HIGHEST, Block, Stretch, plan
from specseq.zeros.phase import height_of_index, smooth_count

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Zeros:
    """A stretch of consecutive zeros, γ = t0 + delta; ``n`` (K,) int64, ``t0`` and ``delta`` (K,) float64."""

    n: NDArray[np.int64]
    t0: Array
    delta: Array

    @property
    def gamma(self) -> Array:
        return self.t0 + self.delta

    @classmethod
    def of(cls, block: Block) -> "Zeros":
        count = len(block.delta)
        return cls(np.arange(block.first, block.first + count), np.full(count, block.t0), block.delta)

    @classmethod
    def join(cls, pieces: Sequence["Zeros"]) -> "Zeros":
        n, t0, delta = (np.concatenate([getattr(z, name) for z in pieces]) for name in ("n", "t0", "delta"))
        return cls(n, t0, delta)

    def __len__(self) -> int:
        return len(self.n)

    def __getitem__(self, rows: slice) -> "Zeros":
        return Zeros(self.n[rows], self.t0[rows], self.delta[rows])


@dataclass(frozen=True)
class Request:
    """Which zeros: ``count`` from an index or a height on, or all between two heights.

    Attributes:
        index: index of the first zero (≥ 1); exclusive with ``height``.
        height: the first zero is the lowest one at or above this height.
        count: how many zeros; exclusive with ``to``.
        to: zeros below this height; goes with ``height``.
    """

    index: int | None = None
    height: float | None = None
    count: int | None = None
    to: float | None = None

    def __post_init__(self) -> None:
        if (self.index is None) == (self.height is None):
            raise InputError(
                "zeros", "give a first index or a first height, one of them", "--index 1 or --height T"
            )
        if (self.count is None) == (self.to is None):
            raise InputError("zeros", "give a count or an upper height, one of them", "--count K or --to T")
        if self.index is not None and self.index < 1:
            raise InputError("--index", f"{self.index} is no index of a zero", "the first zero has index 1")
        if self.count is not None and self.count < 1:
            raise InputError("--count", f"{self.count} zeros can't be computed", "ask for at least 1")
        if self.height is not None and not 0 <= self.height < math.inf:
            raise InputError("--height", f"{self.height} is no height", "give a number ≥ 0")
        if self.to is not None and self.height is None:
            raise InputError(
                "--to", "an upper height goes with a first height", "give --height in place of --index"
            )
        if self.to is not None and self.height is not None and not self.height < self.to:
            raise InputError(
                "--to", f"{self.to} is not above --height {self.height}", "give --height below it"
            )
        if self.top > HIGHEST:
            raise InputError(
                "zeros", f"the last zero is near t = {self.top:.4g}", f"stay below {HIGHEST:.4g}"
            )

    @property
    def start(self) -> float:
        """A height surely below the first zero wanted; |S(t)| < 4 in the range."""
        if self.height is not None:
            return self.height
        assert self.index is not None
        return 0.0 if self.index < 660 else math.floor(height_of_index(self.index - 8))

    @property
    def top(self) -> float:
        """A height surely above the last zero wanted."""
        if self.to is not None:
            return self.to
        assert self.count is not None
        first = self.index if self.index is not None else smooth_count(max(self.height or 0.0, 10.0)) + 8
        return height_of_index(max(first + self.count + 8, 20.0))

    def stretches(self) -> Iterator[Stretch]:
        top = self.top
        return takewhile(lambda stretch: stretch.low < top, plan(self.start))

    def wanted(self, zeros: Zeros, taken: int) -> Zeros:
        """The part of a stretch of zeros that is asked for, when ``taken`` were taken before it."""
        gamma = zeros.gamma
        low = 0
        if self.height is not None:
            low = int(np.searchsorted(gamma, self.height))
        elif self.index is not None:
            low = max(0, self.index - int(zeros.n[0]))
        high = len(zeros)
        if self.to is not None:
            high = int(np.searchsorted(gamma, self.to))
        elif self.count is not None:
            high = min(high, low + self.count - taken)
        return zeros[low : max(low, high)]
