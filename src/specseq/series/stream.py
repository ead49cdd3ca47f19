"""The endless, resumable stream of packed batches: samples of different lengths in rows of one length."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq import seeding
from specseq.series.batch import PackedBatch, from_numpy
from specseq.series.collate import collate
from specseq.series.crops import Crops, concatenate
from specseq.series.moirai import MoiraiCrops
from specseq.series.moirai2 import Moirai2Crops
from specseq.series.store import Store


def first_fit_decreasing(sizes: NDArray[np.int64], capacity: int) -> list[list[int]]:
    """Pack items into as few bins as first-fit-decreasing needs (at most 11/9 of the optimum, plus one).

    Args:
        sizes: size of each item, ``1 .. capacity``.
        capacity: size of a bin.

    Returns:
        The items of each bin, largest first; equal items keep their order.
    """
    if len(sizes) and not 1 <= sizes.min() <= sizes.max() <= capacity:
        raise ValueError(f"sizes must lie in 1..{capacity}; found {sizes.min()}..{sizes.max()}")
    bins: list[list[int]] = []
    space: list[int] = []
    first = 0
    for item in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[item])
        # Full bins can never take another item.
        while first < len(bins) and space[first] == 0:
            first += 1
        for number in range(first, len(bins)):
            if space[number] >= size:
                break
        else:
            number = len(bins)
            bins.append([])
            space.append(capacity)
        bins[number].append(item)
        space[number] -= size
    return bins


class PackedStream:
    """An endless stream of batches of packed rows from a store.

    ``pool`` crops at a time are drawn and packed into rows, the rows are shuffled, and batches take as many
    rows as they need. All randomness comes from one generator. The state consists of the generator's state
    before the current pool and the number of its rows already handed out; a resumed stream draws that pool
    again and continues exactly where it was.
    """

    def __init__(
        self,
        store: Store,
        planner: MoiraiCrops | Moirai2Crops,
        rows: int,
        tokens: int = 512,
        seed: int = 0,
        pool: int = 256,
    ) -> None:
        """
        Args:
            rows: B, rows per batch.
            tokens: L, tokens per row; no crop may be longer.
            pool: crops packed together; larger pools fill the rows better.
        """
        self.store, self.planner = store, planner
        self.rows, self.tokens, self.seed, self.pool = rows, tokens, seed, pool
        self._generator = seeding.generator(seed, "crops")
        self._batches = 0
        self._draw_pool()

    def _draw_pool(self) -> None:
        self._before: dict[str, Any] = _plain(self._generator.bit_generator.state)
        crops = self.planner.draw(self._generator, self.pool)
        bins = first_fit_decreasing(crops.size, self.tokens)
        order = self._generator.permutation(len(bins)).tolist()
        self._pool: Crops = crops
        self._bins = [bins[number] for number in order]
        self._taken = 0

    def __iter__(self) -> "PackedStream":
        return self

    def __next__(self) -> PackedBatch:
        """The next batch, on the CPU."""
        return from_numpy(self.arrays())

    def arrays(self) -> dict[str, Any]:
        """The next batch as arrays, in the form for :func:`specseq.series.batch.from_numpy`."""
        crops, row = self._plan()
        arrays = collate(self.store, crops, row, self.rows, self.tokens, self.planner.patch_slot)
        arrays["seed"] = seeding.stream_seed(self.seed, "batch", self._batches)
        self._batches += 1
        return arrays

    def skip(self) -> None:
        """Skip the next batch without reading its values."""
        self._plan()
        self._batches += 1

    def _plan(self) -> tuple[Crops, NDArray[np.int64]]:
        """The crops of the next batch, and the row of each."""
        parts, row, filled = [], [], 0
        while filled < self.rows:
            if self._taken == len(self._bins):
                self._draw_pool()
            bins = self._bins[self._taken : self._taken + self.rows - filled]
            parts.append(self._pool.take(np.array([crop for members in bins for crop in members])))
            row.append(np.repeat(np.arange(filled, filled + len(bins)), [len(members) for members in bins]))
            self._taken += len(bins)
            filled += len(bins)
        return concatenate(parts), np.concatenate(row)

    @property
    def facts(self) -> dict[str, int]:
        """Number of series in the store, and of those too short to be drawn."""
        return {"series": len(self.store), "series_too_short": int((~self.planner.eligible).sum())}

    def state_dict(self) -> dict[str, Any]:
        """Plain values for :meth:`load_state_dict`."""
        return {
            "seed": self.seed,
            "generator": self._before,
            "rows_taken": self._taken,
            "batches": self._batches,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a stream with the same store, planner and sizes."""
        if state["seed"] != self.seed:
            raise ValueError(f"the state belongs to seed {state['seed']}, this stream has seed {self.seed}")
        self._generator.bit_generator.state = state["generator"]
        self._draw_pool()
        self._taken = state["rows_taken"]
        self._batches = state["batches"]


def skip_batch(stream: Any) -> None:
    """Skip the next batch of a stream; a stream that cannot skip makes it."""
    skip = getattr(stream, "skip", None)
    if skip is None:
        next(stream)
    else:
        skip()


def _plain(state: Any) -> Any:
    """A deep copy of a generator's state that shares nothing with it."""
    return {key: _plain(value) for key, value in state.items()} if isinstance(state, dict) else state


def moirai2_stream(
    store: Store, rows: int, seed: int = 0, tokens: int = 512, pool: int = 256, **crops: Any
) -> PackedStream:
    """The stream to train Moirai2 on; ``crops`` as for :class:`~specseq.series.moirai2.Moirai2Crops`."""
    return PackedStream(store, Moirai2Crops(store, max_tokens=tokens, **crops), rows, tokens, seed, pool)


def moirai_stream(
    store: Store, rows: int, seed: int = 0, tokens: int = 512, pool: int = 256, **crops: Any
) -> PackedStream:
    """The stream to train MOIRAI on; ``crops`` as for :class:`~specseq.series.moirai.MoiraiCrops`."""
    return PackedStream(store, MoiraiCrops(store, max_tokens=tokens, **crops), rows, tokens, seed, pool)
