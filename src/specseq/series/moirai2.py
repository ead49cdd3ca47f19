"""Univariate crops for causal, patched models (Moirai 2.0, arXiv:2511.11698)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.series.anomaly import context_tokens, largest_z_scores
from specseq.series.crops import Crops, concatenate, integers
from specseq.series.sampling import UNWEIGHTED, SeriesSampler, series_sampler
from specseq.series.store import Store


@dataclass
class Moirai2Crops:
    """Draws one variate of one series and a window of whole patches from it.

    The window has U{min_tokens .. min(max_tokens, all)} tokens and begins at a uniform offset. A series of
    more than one patch but fewer than ``min_tokens`` gives one window whose first patch begins before the
    series, as for a short context at inference. Shorter series are never drawn. Past features are ignored,
    since crops are univariate; uni2ts 2.0.0 has no training code for this model (``model/moirai2``).

    Attributes:
        patch_slot: points per token.
        min_tokens, max_tokens: bounds of a crop.
        anomaly_threshold: a crop with a larger z-score is redrawn up to ``anomaly_retries`` times, then
            excluded from the loss; None turns the rule off.
        sampling, weights: see :mod:`specseq.series.sampling`.
        counts: numbers of crops redrawn and of crops excluded from the loss since the planner was made.

    Raises:
        InputError: ``min_tokens`` exceeds ``max_tokens``, or no series is left.
    """

    store: Store
    patch_slot: int = 16
    min_tokens: int = 2
    max_tokens: int = 512
    anomaly_threshold: float | None = 8.0
    anomaly_retries: int = 5
    sampling: str = UNWEIGHTED
    weights: Mapping[str, float] | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"drawn_again": 0, "kept_from_loss": 0})

    def __post_init__(self) -> None:
        if self.min_tokens > self.max_tokens:
            raise InputError(
                "data.min_tokens",
                f"{self.min_tokens} exceeds the {self.max_tokens} tokens of a row",
                "lower it, or raise model.tokens",
            )
        self.eligible: NDArray[np.bool_] = self.store.length > self.patch_slot
        needed = f"more than a patch of {self.patch_slot} are needed"
        self.sampler: SeriesSampler = series_sampler(
            self.store, self.sampling, self.weights, self.eligible, needed
        )

    def draw(self, generator: np.random.Generator, count: int) -> Crops:
        """``count`` crops of one variate each."""
        crops = self._draw(generator, count)
        if self.anomaly_threshold is None:
            return crops
        bad = self._anomalous(crops, self.anomaly_threshold)
        for _ in range(self.anomaly_retries):
            if not len(bad):
                break
            self.counts["drawn_again"] += len(bad)
            again = self._draw(generator, len(bad))
            place = np.arange(count)
            place[bad] = count + np.arange(len(bad))
            crops = concatenate([crops, again]).take(place)
            bad = bad[self._anomalous(again, self.anomaly_threshold)]
        self.counts["kept_from_loss"] += len(bad)
        in_loss = np.ones(count, np.bool_)
        in_loss[bad] = False
        return replace(crops, in_loss=in_loss)

    def _draw(self, generator: np.random.Generator, count: int) -> Crops:
        store, patch = self.store, self.patch_slot
        series = self.sampler.draw(generator, count)
        length = store.length[series]
        variate = integers(generator, 0, store.variates[series] - 1)
        short = length < self.min_tokens * patch
        offset = integers(generator, 0, length % patch)
        whole = np.maximum((length - offset) // patch, self.min_tokens)
        tokens = integers(generator, self.min_tokens, np.minimum(whole, self.max_tokens))
        first = integers(generator, 0, whole - tokens)
        return Crops(
            series=series,
            start=np.where(short, length - tokens * patch, offset + first * patch),
            patch=np.full(count, patch, np.int64),
            tokens=tokens,
            predicted=np.zeros(count, np.int64),
            in_loss=np.ones(count, np.bool_),
            first_variate=np.arange(count),
            variates=np.ones(count, np.int64),
            source=series,
            variate=variate,
            variate_id=np.zeros(count, np.int64),
            past=np.zeros(count, np.bool_),
        )

    def _anomalous(self, crops: Crops, threshold: float) -> NDArray[np.int64]:
        store, patch = self.store, self.patch_slot
        length = store.length[crops.series]
        missing = np.minimum(crops.start, 0)
        begin = store.offset[crops.series] + crops.variate * length + crops.start - missing
        context = context_tokens(crops.tokens) * patch
        # Points before the start of the series do not belong to the context.
        middle = begin + np.maximum(context + missing, 0)
        end = begin + crops.tokens * patch + missing
        heads, rests = [], []
        for file, a, b, c in zip(
            store.file[crops.series].tolist(), begin.tolist(), middle.tolist(), end.tolist(), strict=True
        ):
            values = store.values[file]
            heads.append(values[a:b])
            rests.append(values[b:c])
        return np.flatnonzero(largest_z_scores(heads, rests) > threshold)
