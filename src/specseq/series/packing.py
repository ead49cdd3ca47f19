"""First-fit-decreasing bin packing: samples of different lengths into rows of one length."""

import numpy as np
from numpy.typing import NDArray


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
