"""The format in which packed series are passed to a model.

Shapes: B rows, L tokens per row, P points per token slot, S segments.

Several short samples share a row. A token holds up to P consecutive points of one variate of one sample.
Points beyond the token's own patch size, missing points and padding are 0 in ``target`` and False in
``observed``. A *segment* is a contiguous run of tokens of one sample, or of one variate of one sample; no
computation of a model may cross its boundaries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """A table of token runs, sorted by row and start; padding belongs to no run.

    Attributes:
        rows: ``int64 [S]``, the row of the batch.
        starts: ``int64 [S]``, first token within the row.
        lengths: ``int64 [S]``, number of tokens, at least 1.
    """

    rows: Tensor
    starts: Tensor
    lengths: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Segments":
        """The same table on a device."""
        return Segments(*(getattr(self, f.name).to(device, non_blocking=non_blocking) for f in fields(self)))

    def between(self, first: int, last: int) -> "Segments":
        """The segments of rows ``first .. last - 1``, rows counted from ``first``."""
        inside = (self.rows >= first) & (self.rows < last)
        return Segments(self.rows[inside] - first, self.starts[inside], self.lengths[inside])


@dataclass(frozen=True)
class PackedBatch:
    """A batch of packed rows.

    Attributes:
        target: ``float32 [B, L, P]``, raw (unscaled) values; 0 where not observed.
        observed: ``bool [B, L, P]``, True where a value was measured.
        sample_id: ``int64 [B, L]``, 1, 2, ... within each row from left to right; 0 is padding.
        time_id: ``int64 [B, L]``, token number within its variate, from 0; 0 at padding.
        variate_id: ``int64 [B, L]``, number of the variate within its sample; 0 at padding.
        patch_size: ``int64 [B, L]``, points a token may hold, at most P; 0 at padding.
        prediction_mask: ``bool [B, L]``, tokens that the model must predict and may not see (MOIRAI); all
            False for causal models.
        loss_mask: ``bool [B, L]``, False at padding and at samples excluded by the anomaly rule.
        samples: one run per sample.
        variates: one run per variate of a sample; equal to ``samples`` for univariate crops. Runs of past
            features end before the part to predict.
        seed: a fresh 63-bit number for random draws of the training step (patch masking, hint dropout), so
            that a resumed run draws the same.
    """

    target: Tensor
    observed: Tensor
    sample_id: Tensor
    time_id: Tensor
    variate_id: Tensor
    patch_size: Tensor
    prediction_mask: Tensor
    loss_mask: Tensor
    samples: Segments
    variates: Segments
    seed: int

    def __len__(self) -> int:
        """Number of rows, B."""
        return len(self.sample_id)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "PackedBatch":
        """The same batch on a device."""
        return self._map(lambda part: part.to(device, non_blocking=non_blocking))

    def shard(self, rank: int, world: int) -> "PackedBatch":
        """The rows of one of ``world`` data-parallel processes: contiguous blocks of nearly equal size."""
        first, last = (len(self) * (rank + edge) // world for edge in (0, 1))
        return self._map(
            lambda part: part.between(first, last) if isinstance(part, Segments) else part[first:last]
        )

    def _map(self, change: Callable[[Any], Any]) -> "PackedBatch":
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "seed"}
        return replace(self, **{name: change(part) for name, part in parts.items()})


def from_numpy(arrays: Mapping[str, Any]) -> PackedBatch:
    """Wrap the arrays of a collate (``samples`` and ``variates`` as ``int64 [S, 3]``) without a copy."""
    values: dict[str, Any] = {}
    for name, value in arrays.items():
        if name in ("samples", "variates"):
            values[name] = Segments(*map(torch.from_numpy, np.ascontiguousarray(value.T)))
        else:
            values[name] = value if isinstance(value, int) else torch.from_numpy(value)
    return PackedBatch(**values)
