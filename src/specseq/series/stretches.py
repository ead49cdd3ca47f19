"""Stretches of values that a training corpus shares with a benchmark.

A stretch is :data:`WINDOW` consecutive values, identified by a hash of their float32 bits, so that it is
found at any offset in any series. Stretches with fewer than :data:`DISTINCT` different values, such as runs
of zeros, occur in unrelated series and prove nothing. Among all of LOTSA's 2e11 values and GIFT-Eval's 2e7
test points, the expected number of accidental matches of 64-bit hashes is 0.2.

Shapes: T values end to end, W values per window, K stretches sought.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from specseq.progress import Progress
from specseq.series.store import Store

WINDOW, DISTINCT = 16, 8
_DOUBLINGS = WINDOW.bit_length() - 1
_BASE = 0x9E3779B97F4A7C15
_BASES = [np.uint64(pow(_BASE, 1 << power, 1 << 64)) for power in range(_DOUBLINGS)]
_MIX = [np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)]
_CHUNK = 1 << 18
_FEWEST_BITS = 16

Hashes = NDArray[np.uint64]


def window_hashes(values: NDArray[np.floating]) -> Hashes:
    """Hashes of all windows of a series, equal where their values are equal as float32.

    Args:
        values: ``[T]``; missing values count as equal to each other, as do the two zeros.

    Returns:
        ``[T - W + 1]``, by the start of the window; empty for a series shorter than a window.
    """
    if len(values) < WINDOW:
        return np.zeros(0, np.uint64)
    narrow = np.where(np.isfinite(values) & (values != 0), values, np.where(values == 0, 0, np.nan))
    narrow = narrow.astype(np.float32)
    hashes = _mixed(narrow.view(np.uint32).astype(np.uint64) + np.uint64(1))
    # A polynomial in one base; two adjacent windows give one of twice the length.
    for power, base in enumerate(_BASES):
        length = 1 << power
        hashes = hashes[:-length] * base + hashes[length:]
    return _mixed(hashes)


def _mixed(words: Hashes) -> Hashes:
    """An injective mix of the words, in which every bit depends on every other (splitmix64)."""
    words = words * np.uint64(_BASE)
    for shift, factor in zip((30, 27), _MIX, strict=True):
        words ^= words >> np.uint64(shift)
        words *= factor
    words ^= words >> np.uint64(31)
    return words


def telling(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Mask of windows with enough different values to identify a series, ``[T - W + 1]``."""
    if len(values) < WINDOW:
        return np.zeros(0, np.bool_)
    # In pieces, since the windows of a series take W times its memory.
    return np.concatenate([_distinct(piece) for piece in _pieces(values)])


def _distinct(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    windows = np.lib.stride_tricks.sliding_window_view(values.astype(np.float32), WINDOW)
    # Missing values sort last, and each would compare unequal to the next.
    ordered = np.sort(windows, axis=1)
    known = np.isfinite(ordered)
    changes = (ordered[:, 1:] != ordered[:, :-1]) & known[:, 1:]
    return np.asarray(changes.sum(axis=1) + known[:, 0] >= DISTINCT)


class Stretches:
    """The stretches sought, and which sub-dataset of a corpus holds each.

    Memory is some 30 bytes per stretch, whatever the size of the corpus.

    Args:
        parts: hashes of the stretches, in any order, duplicates allowed.

    Attributes:
        hashes: ``[K]``, ascending.
        holder: ``[K]``, number of the first sub-dataset that was found to hold it, or -1.
    """

    def __init__(self, parts: Iterable[Hashes]) -> None:
        self.hashes: Hashes = np.unique(np.concatenate([np.zeros(0, np.uint64), *parts]))
        self.holder: NDArray[np.int32] = np.full(len(self.hashes), -1, np.int32)
        self._bits = np.uint64(64 - max(_FEWEST_BITS, len(self.hashes).bit_length() + 3))
        # Most stretches of a corpus are ruled out without a search.
        self._sieve = np.zeros(1 << (64 - int(self._bits)), np.bool_)
        self._sieve[self.hashes >> self._bits] = True

    def look_through(self, store: Store) -> None:
        """Find the stretches in the series of a store, past features included, in disk order."""
        progress = Progress(len(store), "series")
        for done, number in enumerate(np.lexsort((store.offset, store.file)).tolist(), 1):
            for values in chain(store.series(number), store.past_features(number)):
                for piece in _pieces(values):
                    self._look(window_hashes(piece), int(store.dataset[number]))
            progress.update(done)

    def _look(self, hashes: Hashes, dataset: int) -> None:
        likely = hashes[self._sieve[hashes >> self._bits]]
        places = self._places(likely)
        found = places[(self.hashes[places] == likely) & (self.holder[places] < 0)] if len(places) else places
        self.holder[found] = dataset

    def holders(self, hashes: Hashes) -> NDArray[np.int32]:
        """The sub-dataset that holds each of the given stretches; -1 if none does."""
        places = self._places(hashes)
        if not len(places):
            return np.full(len(hashes), -1, np.int32)
        return np.where(self.hashes[places] == hashes, self.holder[places], -1).astype(np.int32)

    def _places(self, hashes: Hashes) -> NDArray[np.int64]:
        """Index of each hash among those sought, if it is one; empty if none is sought."""
        if not len(self.hashes):
            return np.zeros(0, np.int64)
        return np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)


def _pieces(values: NDArray[np.floating]) -> Iterator[NDArray[np.floating]]:
    """A long series in pieces that together contain each of its windows once."""
    for low in range(0, max(len(values) - WINDOW + 1, 1), _CHUNK):
        yield values[low : low + _CHUNK + WINDOW - 1]
