"""Lay samples into packed rows without drawing anything: for forecasts, comparisons and tests.

Shapes: V variates, n tokens of a variate, p its patch size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.series.batch import PackedBatch, from_numpy


@dataclass(frozen=True)
class Sample:
    """One series and what of it is to be predicted.

    Attributes:
        values: ``float32 [V, n * p]``, NaN where missing or unknown.
        patch: p.
        predicted: number of tokens at the end of each variate that the model must predict.
    """

    values: NDArray[np.float32]
    patch: int
    predicted: int

    @property
    def tokens(self) -> int:
        """Tokens of one variate, n."""
        return self.values.shape[1] // self.patch


def pack(rows: Sequence[Sequence[Sample]], length: int, slot: int) -> PackedBatch:
    """Place the samples of each row one after another, variate by variate.

    Args:
        rows: samples of each row.
        length: tokens a row; what the samples leave is padding.
        slot: points a token can hold, P.
    """
    shape = (len(rows), length)
    names = ("sample_id", "time_id", "variate_id", "patch_size")
    ids = {name: np.zeros(shape, np.int64) for name in names}
    masks = {name: np.zeros(shape, np.bool_) for name in ("prediction_mask", "loss_mask")}
    target, observed = np.zeros((*shape, slot), np.float32), np.zeros((*shape, slot), np.bool_)
    samples, variates = [], []
    for row, members in enumerate(rows):
        at = 0
        for number, sample in enumerate(members, 1):
            n, p, width = sample.tokens, sample.patch, len(sample.values) * sample.tokens
            if at + width > length:
                raise ValueError(f"row {row} holds {length} tokens; its samples need more")
            span = (row, slice(at, at + width))
            time = np.tile(np.arange(n), len(sample.values))
            ids["sample_id"][span], ids["patch_size"][span] = number, p
            ids["time_id"][span], masks["loss_mask"][span] = time, True
            ids["variate_id"][span] = np.repeat(np.arange(len(sample.values)), n)
            masks["prediction_mask"][span] = time >= n - sample.predicted
            points = sample.values.reshape(width, p)
            known = ~np.isnan(points)
            target[row, at : at + width, :p] = np.where(known, points, 0)
            observed[row, at : at + width, :p] = known
            samples.append((row, at, width))
            variates += [(row, at + v * n, n) for v in range(len(sample.values))]
            at += width
    tables = {
        "samples": np.array(samples, np.int64).reshape(-1, 3),
        "variates": np.array(variates, np.int64).reshape(-1, 3),
    }
    return from_numpy({"target": target, "observed": observed, **ids, **masks, **tables, "seed": 0})
