"""A trained MOIRAI or hybrid as a forecaster.

Shapes: B contexts, H horizon, V quantile levels, p patch size, n predicted tokens.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.models.layout import balanced, power_of_two
from specseq.models.moirai.batch import BatchTables, Sample, pack
from specseq.models.moirai.model import Moirai, Prediction
from specseq.models.protocol import Query
from specseq.series.frequency import parse_frequency
from specseq.series.moirai import PATCH_RANGE

Floats = NDArray[np.float32]
CONTEXT_LENGTH = 4000
TOKENS_AT_ONCE = 16_384
LARGEST = np.finfo(np.float32).max


class MoiraiForecaster:
    """Forecasts univariate series of any length, missing values included.

    The horizon's tokens are predicted in one pass, as masked tokens after the context. If they would fill
    more than half of the model's longest sequence, they are predicted in parts, each with the medians of the
    previous parts as context; the spread then does not grow from part to part.
    """

    def __init__(
        self,
        model: Moirai,
        name: str = "moirai",
        context_length: int | None = None,
        batch_size: int | None = None,
        device: str | None = None,
        patch_size: int | None = None,
    ) -> None:
        """
        Args:
            model: the trained model.
            name: name in tables.
            context_length: largest number of context points used; by default 4,000. The model's
                ``max_length`` may allow fewer.
            batch_size: contexts computed together; by default as many as make about 16,000 tokens.
            device: by default the accelerator, or the CPU.
            patch_size: one of the model's patch sizes; by default the smallest that suits the frequency, as
                in training, and lets context and horizon fit.

        Raises:
            InputError: the model has no such patch size.
        """
        if patch_size is not None and patch_size not in model.config.patch_sizes:
            known = ", ".join(map(str, model.config.patch_sizes))
            raise InputError(
                "patch_size", f"{patch_size} is not a patch size of the model", f"choose from {known}"
            )
        self.name, self.batch_size, self.patch_size = name, batch_size, patch_size
        self.context_length: int | None = context_length or CONTEXT_LENGTH
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()

    def forecast(self, contexts: Sequence[Floats], query: Query) -> Floats:
        """Quantile forecasts ``[B, V, H]``, non-decreasing along V and finite."""
        kept = [np.asarray(context, np.float32)[-(self.context_length or 0) :] for context in contexts]
        out = np.empty((len(kept), len(query.quantile_levels), query.horizon), np.float32)
        for patch, rows in self._batches(kept, query):
            forecast = self._forecast([kept[row] for row in rows], patch, query)
            out[rows] = np.clip(forecast, -LARGEST, LARGEST)
        return out

    def patch_of(self, points: int, query: Query) -> int:
        """The smallest admissible patch with which context and horizon fit, else the largest admissible."""
        if self.patch_size is not None:
            return self.patch_size
        config = self.model.config
        least, most = PATCH_RANGE[parse_frequency(query.freq).unit]
        suited = [size for size in config.patch_sizes if least <= size <= most] or list(config.patch_sizes)
        for size in suited:
            if -(-points // size) - (-query.horizon // size) <= config.max_length:
                return size
        return suited[-1]

    def _batches(self, contexts: Sequence[Floats], query: Query) -> Iterator[tuple[int, list[int]]]:
        """Batches of contexts with one patch size and similar lengths: the size and the contexts' indices.

        The patch size of a context does not depend on the other contexts.
        """
        rows_of: dict[int, list[int]] = {}
        for row in sorted(range(len(contexts)), key=lambda row: len(contexts[row])):
            rows_of.setdefault(self.patch_of(len(contexts[row]), query), []).append(row)
        for patch, rows in rows_of.items():
            batch: list[int] = []
            for row in rows:
                tokens = -(-len(contexts[row]) // patch) - (-query.horizon // patch)
                size = self.batch_size or max(1, TOKENS_AT_ONCE // tokens)
                if len(batch) >= size:
                    yield patch, batch
                    batch = []
                batch.append(row)
            yield patch, batch

    def _forecast(self, contexts: list[Floats], patch: int, query: Query) -> NDArray[np.float64]:
        """Quantiles ``[B, V, H]``, in as few passes as the model's length allows."""
        half = max(1, self.model.config.max_length // 2)
        levels = tuple(sorted({*query.quantile_levels, 0.5}))
        wanted = [levels.index(level) for level in query.quantile_levels]
        parts: list[NDArray[np.float64]] = []
        done = 0
        while done < query.horizon:
            tokens = min(half, -(-(query.horizon - done) // patch))
            part = self._pass(contexts, patch, tokens, levels)
            parts.append(part[:, wanted])
            done += tokens * patch
            if done < query.horizon:
                median = np.clip(part[:, levels.index(0.5)], -LARGEST, LARGEST).astype(np.float32)
                contexts = [np.concatenate(pair) for pair in zip(contexts, median, strict=True)]
        return np.concatenate(parts, axis=-1)[..., : query.horizon]

    @torch.inference_mode()
    def _pass(
        self, contexts: list[Floats], patch: int, tokens: int, levels: tuple[float, ...]
    ) -> NDArray[np.float64]:
        """Quantiles ``[B, V, tokens * p]`` of the next ``tokens`` tokens of each context."""
        prediction, tables = self.predict(contexts, patch, tokens)
        quantiles_VQ = prediction.quantile(levels).numpy()
        order = torch.argsort(tables.layout.tokens[tables.predicted_K]).numpy()
        by_token = quantiles_VQ.reshape(len(levels), len(order), patch)[:, order]
        return by_token.reshape(len(levels), len(contexts), tokens * patch).swapaxes(0, 1)

    @torch.inference_mode()
    def predict(self, contexts: Sequence[Floats], patch: int, tokens: int) -> tuple[Prediction, BatchTables]:
        """Distribution of the next ``tokens`` tokens of each context, from one pass, and the batch's tables.

        Contexts are cut to what the model's longest sequence leaves for them.
        """
        room = max(1, self.model.config.max_length - tokens) * patch
        samples = [self._sample(context[-room:], patch, tokens) for context in contexts]
        length = max(sample.tokens for sample in samples)
        batch = pack([[sample] for sample in samples], length, max(self.model.config.patch_sizes))
        tables = self.model.tables(batch, balanced if self.device.type == "cpu" else power_of_two)
        return self.model(batch.to(self.device), tables.to(self.device)), tables

    @staticmethod
    def _sample(context: Floats, patch: int, tokens: int) -> Sample:
        points = -(-len(context) // patch) * patch
        values = np.full((1, points + tokens * patch), np.nan, np.float32)
        values[0, points - len(context) : points] = np.where(np.isfinite(context), context, np.nan)
        return Sample(values, patch, tokens)
