"""The rows of a data set folder by number."""

import numpy as np
from numpy.typing import NDArray

from specseq.series.arrow import Block, SeriesFolder


def rows(folder: SeriesFolder) -> list[tuple[Block, int]]:
    """The block that holds each row, and the row's number in it."""
    return [(block, place) for block in folder.blocks() for place in range(len(block))]


def target_of(folder: SeriesFolder, row: int) -> NDArray[np.float32]:
    """The values of a row, [V, T]."""
    block, place = rows(folder)[row]
    return block.target(place)
