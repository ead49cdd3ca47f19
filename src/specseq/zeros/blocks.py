"""The unit of work: all zeros of one stretch of the critical line, with their indices.

A double near γ = 8·10^7 resolves only 1.5·10^-8, so a block's zeros are kept as offsets from a height t0 that
is exact, a multiple of 1/64.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.errors import Diverged
from specseq.zeros import euler_maclaurin, riemann_siegel
from specseq.zeros.completeness import turing_count
from specseq.zeros.counts import TWO_PI
from specseq.zeros.isolation import MARGIN, isolate

Array = NDArray[np.float64]

POINTS = 16384
OVERSAMPLING = 8
ZEROS_BELOW_LOWEST = 649
"""N(1000) from Odlyzko's tables of zeros, for the first block: this low, the mean of S is no test."""

_LOW_START = 9.0
_POLISH_BELOW = 5000.0


@dataclass(frozen=True)
class Stretch:
    """Task of one block: zeros in [low, high), on a grid of ``points`` centred at ``t0``."""

    low: float
    high: float
    t0: float
    points: int


@dataclass(frozen=True)
class Block:
    """Zeros of one stretch.

    Attributes:
        delta: (K,) ascending; γ = t0 + delta.
        mean_s: mean of S(t) over the stretch.
        bound: Turing's bound on ``mean_s``; infinite for the first block, whose count is known.
        pairs: number of pairs of zeros that lay between two neighbouring grid points.
    """

    t0: float
    delta: Array
    first: int
    mean_s: float
    bound: float
    pairs: int


def _spacing(t: float) -> float:
    """Mean distance of zeros at height t."""
    return TWO_PI / math.log(t / TWO_PI)


def plan(start: float) -> Iterator[Stretch]:
    """Stretches from height ``start`` upwards without end; each begins where the one before it ends."""
    low = start
    if low < riemann_siegel.LOWEST:
        yield Stretch(_LOW_START, riemann_siegel.LOWEST, 0.0, 0)
        low = riemann_siegel.LOWEST
    while True:
        points = POINTS if low < 4e8 else 2 * POINTS
        # A block spans at most a fifth of its height, so that the density of zeros hardly varies within it.
        while points > 512 and points / OVERSAMPLING * _spacing(low) > 0.2 * low:
            points //= 2
        top = low + 1.05 * points / OVERSAMPLING * _spacing(low)
        step = _spacing(top) / OVERSAMPLING
        half = (points // 2 - MARGIN - 4) * step
        t0 = math.floor((low + half) * 64) / 64
        high = math.floor((t0 + half - 2 * step) * 64) / 64
        yield Stretch(low, high, t0, points)
        low = high


def find(stretch: Stretch) -> Block:
    """All zeros of a stretch, counted by Turing's method or, for the lowest, against the known count.

    Raises:
        Diverged: zeros are missing, even on a grid four times finer.
    """
    if stretch.points == 0:
        # Turing's bound does not hold below t = 1000, but the number of zeros there is known.
        gamma, pairs = low_zeros(stretch.high, ZEROS_BELOW_LOWEST)
        return Block(0.0, gamma, 1, 0.0, math.inf, pairs)
    t0 = stretch.t0
    step = _spacing(t0 + (stretch.high - t0) * 1.01) / OVERSAMPLING
    for refinement in (1, 2, 4):
        points, fine = stretch.points * refinement, step / refinement
        samples = riemann_siegel.z_on_grid(t0, fine, points)
        positions, pairs = isolate(samples)
        delta = (positions - points // 2) * fine
        low, high = stretch.low - t0, stretch.high - t0
        inside = delta[(delta >= low) & (delta < high)]
        count = turing_count(t0, inside, low, high)
        if count.complete:
            if t0 < _POLISH_BELOW:
                inside = _polish(t0, inside)
            return Block(t0, inside, count.first, count.mean_s, count.bound, pairs)
    raise Diverged(
        f"zeros are missing between t = {stretch.low} and {stretch.high}: "
        f"mean S(t) {count.mean_s:.4f}, bound {count.bound:.4f}"
    )


def low_zeros(top: float, count: int) -> tuple[Array, int]:
    """The zeros below a low height, and the number of pairs that lay between two grid points.

    Raises:
        Diverged: a different number is found.
    """
    step = _spacing(top) / OVERSAMPLING
    points = int((top - _LOW_START) / step) + 2 * MARGIN + 4
    grid: Array = _LOW_START + (np.arange(points, dtype=float) - MARGIN - 1) * step
    positions, pairs = isolate(euler_maclaurin.z_low(grid))
    gamma = _LOW_START + (positions - MARGIN - 1) * step
    gamma = gamma[(gamma >= _LOW_START) & (gamma < top)]
    if len(gamma) != count:
        raise Diverged(f"{len(gamma)} zeros found below t = {top:g}, where there are {count}")
    return _polish(0.0, gamma), pairs


def _polish(t0: float, delta: Array) -> Array:
    """One Newton step on Euler–Maclaurin values, where the Riemann–Siegel remainder exceeds 1e-12."""
    width = 1e-6  # the step is below 1e-8, so a few digits of the slope suffice
    here, beside = (euler_maclaurin.z_low(t0 + (delta + shift)) for shift in (0.0, width))
    return delta - width * here / (beside - here)


def contiguous(before: Block | None, after: Block) -> None:
    """Check that no index is lost or repeated between two neighbouring blocks.

    Raises:
        Diverged: the counts do not join.
    """
    if before is not None and before.first + len(before.delta) != after.first:
        raise Diverged(
            f"zeros are missing near t = {after.t0}: index {before.first + len(before.delta)} comes "
            f"next, and {after.first} by Turing's method"
        )
