"""Stretches of consecutive zeros, the requested part of them, and their spacings unfolded to mean one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
from numpy.typing import NDArray

from specseq.zeros.blocks import Block, Stretch, plan
from specseq.zeros.config import ROOM, ZeroRange
from specseq.zeros.counts import TWO_PI

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


def stretches(wanted: ZeroRange) -> Iterator[Stretch]:
    """The stretches that hold the requested zeros, in ascending order, with room above them.

    Turing's count would not reveal a zero lost less than :data:`ROOM` below the end of the last stretch.
    """
    return takewhile(lambda stretch: stretch.low < wanted.top + ROOM, plan(wanted.start))


def part_of(wanted: ZeroRange, zeros: Zeros, taken: int) -> Zeros:
    """The requested part of a stretch of zeros, given that ``taken`` zeros were already taken."""
    low, high = 0, len(zeros)
    if wanted.height is not None:
        low = _below(zeros, wanted.height)
    elif wanted.index is not None:
        low = max(0, wanted.index - int(zeros.n[0]))
    if wanted.to is not None:
        high = _below(zeros, wanted.to)
    elif wanted.count is not None:
        high = min(high, low + wanted.count - taken)
    return zeros[low : max(low, high)]


def _below(zeros: Zeros, height: float) -> int:
    """Number of zeros below a height; a zero that a double cannot distinguish from it does not count."""
    apart = (zeros.t0 - height) + zeros.delta
    return int(np.searchsorted(apart, -max(1e-9, float(np.spacing(height)))))


def spacings(zeros: Zeros) -> Array:
    """(K-1,) unfolded spacings s_n = u(γ_{n+1}) - u(γ_n) of K consecutive zeros, with mean near one.

    u(γ) = (γ/2π) ln(γ/2πe) is the smooth part of the counting function. Differences of u are computed from
    differences of γ, since a double cannot hold u to enough digits: near γ = 8·10^7 it resolves 3·10^-8.
    """
    t, distance = zeros.gamma[:-1], np.diff(zeros.t0) + np.diff(zeros.delta)
    return ((t + distance) * np.log1p(distance / t) + distance * (np.log(t / TWO_PI) - 1)) / TWO_PI
