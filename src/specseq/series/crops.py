"""Crops: which piece of which series becomes a training sample, decided before any value is read.

Planners draw crops, the packer places them in rows, and the collate copies their values. Shapes: S crops.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Crops:
    """A table of crops; every attribute has length S except the last four.

    Attributes:
        series: number in the store of the series that determined frequency and length.
        start: first time step of the crop; negative if the first patch begins before the series, with
            unobserved points there.
        patch: points per token.
        tokens: tokens per variate.
        predicted: number of tokens at the end that the model must predict and may not see (MOIRAI); 0 for
            causal models.
        in_loss: False if the anomaly rule excludes the crop from the loss.
        first_variate: index of the crop's first variate in ``variate`` and ``variate_id``.
        variates: number of variates.
        source: ``[ΣV]``, series that each variate is taken from: ``series``, or one aligned with it.
        variate: ``[ΣV]``, number of the variate in that series, in the order of the crop.
        variate_id: ``[ΣV]``, ids that the model sees.
        past: ``[ΣV]``, whether the variate is a past feature of that series; past features have no tokens in
            the part to predict.
    """

    series: NDArray[np.int64]
    start: NDArray[np.int64]
    patch: NDArray[np.int64]
    tokens: NDArray[np.int64]
    predicted: NDArray[np.int64]
    in_loss: NDArray[np.bool_]
    first_variate: NDArray[np.int64]
    variates: NDArray[np.int64]
    source: NDArray[np.int64]
    variate: NDArray[np.int64]
    variate_id: NDArray[np.int64]
    past: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.series)

    @property
    def crop(self) -> NDArray[np.int64]:
        """The crop of each variate, ``[ΣV]``."""
        return np.repeat(np.arange(len(self)), self.variates)

    @property
    def run_tokens(self) -> NDArray[np.int64]:
        """Tokens of each variate, ``[ΣV]``."""
        crop = self.crop
        return self.tokens[crop] - self.predicted[crop] * self.past

    @property
    def size(self) -> NDArray[np.int64]:
        """Tokens of the whole crop, ``[S]``."""
        past = np.bincount(self.crop, self.past, len(self)).astype(np.int64)
        return self.tokens * self.variates - self.predicted * past

    def take(self, chosen: NDArray[np.int64]) -> "Crops":
        """The chosen crops, in that order, with their variates."""
        count = self.variates[chosen]
        place = np.repeat(self.first_variate[chosen] - np.cumsum(count) + count, count) + np.arange(
            count.sum()
        )
        plain = ("series", "start", "patch", "tokens", "predicted", "in_loss")
        return replace(
            self,
            **{name: getattr(self, name)[chosen] for name in plain},
            first_variate=np.cumsum(count) - count,
            variates=count,
            source=self.source[place],
            variate=self.variate[place],
            variate_id=self.variate_id[place],
            past=self.past[place],
        )


def concatenate(parts: list[Crops]) -> Crops:
    """Join several tables into one."""
    if len(parts) == 1:
        return parts[0]
    joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Crops)}
    joined["first_variate"] = np.cumsum(joined["variates"]) - joined["variates"]
    return Crops(**joined)


def integers(
    generator: np.random.Generator, low: NDArray[np.int64] | int, high: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Uniform integers in ``low .. high``, both included, one for each pair of bounds."""
    return generator.integers(low, high, endpoint=True, dtype=np.int64)
