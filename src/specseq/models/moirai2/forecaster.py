"""Forecasts by a trained Moirai2, with the filter that it was trained with.

Shapes: B contexts, N of the same number of tokens, W tokens, P points per token, Q quantile levels,
H horizon.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.filters import operators
from specseq.models.layout import location_scale
from specseq.models.moirai2.decoding import decode
from specseq.models.moirai2.model import PreconditionedMoirai2
from specseq.models.preconditioned import FilteredContexts
from specseq.models.protocol import Query, at_levels

Floats = NDArray[np.float32]
CONTEXT_LENGTH = 4000
TOKENS_AT_ONCE = 16_384


class Moirai2Forecaster:
    """Forecasts univariate series of any length, missing values included.

    A model trained on filtered series forecasts in filtered space. :meth:`forecast` undoes the filter by the
    recursive reversal; :meth:`forecast_filtered` leaves that to the caller.
    """

    def __init__(
        self,
        model: PreconditionedMoirai2,
        name: str = "moirai2",
        context_length: int | None = None,
        batch_size: int | None = None,
        device: str | None = None,
    ) -> None:
        """
        Args:
            context_length: largest number of context points used; by default 4,000, or fewer if the model was
                trained on shorter rows.
            batch_size: contexts computed together; by default as many as make about 16,000 tokens.
            device: by default the accelerator, or the CPU.
        """
        config = model.config
        longest = max(1, config.tokens - config.predicted) * config.patch
        self.context_length: int | None = context_length or min(CONTEXT_LENGTH, longest)
        self.name, self.batch_size = name, batch_size
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device).eval()

    @property
    def quantile_levels(self) -> tuple[float, ...]:
        """Quantile levels of the model, including 0.5."""
        return self.model.config.quantile_levels

    @property
    def inverse(self) -> tuple[NDArray[np.float64], int] | None:
        """Taps and stride of the finite inverse learned with the model; None without one."""
        taps, fir = self.model.inverse_taps, self.model.settings.fir
        if taps is None or fir is None:
            return None
        return taps.detach().cpu().double().numpy(), fir.stride

    def forecast(self, contexts: Sequence[Floats], query: Query) -> Floats:
        """Quantile forecasts ``[B, Q, H]``, non-decreasing along Q and finite.

        Raises:
            Diverged: the reversal of an unstable filter overflows.
        """
        filtered, quantiles = self.forecast_filtered(contexts, query)
        if filtered is not None:
            quantiles = filtered.reverse(quantiles, self.quantile_levels, "self")
        return at_levels(quantiles, self.quantile_levels, query.quantile_levels)

    def forecast_filtered(
        self, contexts: Sequence[Floats], query: Query
    ) -> tuple[FilteredContexts | None, Floats]:
        """Forecasts before any reversal, at the model's own levels ``[B, Q, H]``.

        Returns:
            The object that reverses them (:meth:`FilteredContexts.reverse`), or None if the model forecasts
            the raw series; and the forecasts in the units of the contexts.
        """
        kept = self._kept(contexts)
        quantiles, location = self._quantiles(kept, query.horizon)
        if self.model.filter is None or self.model.raw_head is not None:
            return None, quantiles
        return self._reversible(kept, location), quantiles

    def forecast_unfiltered(self, contexts: Sequence[Floats], query: Query) -> Floats:
        """Median ``[B, H]`` when the model is shown the series themselves instead of filtered ones."""
        quantiles, _ = self._quantiles(self._kept(contexts), query.horizon, filtered=False)
        return quantiles[:, self.model.config.median]

    def _kept(self, contexts: Sequence[Floats]) -> list[Floats]:
        return [np.asarray(context, np.float32)[-(self.context_length or 0) :] for context in contexts]

    def _quantiles(
        self, contexts: list[Floats], horizon: int, filtered: bool = True
    ) -> tuple[Floats, NDArray[np.float64]]:
        """Forecasts at the model's own levels ``[B, Q, H]``, and the location of each context."""
        levels = self.model.config.quantile_levels
        quantiles = np.empty((len(contexts), len(levels), horizon), np.float32)
        location = np.empty(len(contexts))
        for rows in self._batches(contexts):
            quantiles[rows], location[rows] = self._forecast([contexts[r] for r in rows], horizon, filtered)
        return quantiles, location

    def _batches(self, contexts: Sequence[Floats]) -> Iterator[list[int]]:
        """Batches of contexts with the same number of tokens, given by their indices."""
        patch = self.model.config.patch
        tokens = np.array([-(-len(context) // patch) for context in contexts])
        for width in np.unique(tokens).tolist():
            rows = np.flatnonzero(tokens == width).tolist()
            size = self.batch_size or max(1, TOKENS_AT_ONCE // width)
            for first in range(0, len(rows), size):
                yield rows[first : first + size]

    @torch.inference_mode()
    def _forecast(
        self, contexts: list[Floats], horizon: int, filtered: bool
    ) -> tuple[Floats, NDArray[np.float64]]:
        model, config = self.model, self.model.config
        points = -(-len(contexts[0]) // config.patch) * config.patch
        values = np.full((len(contexts), points), np.nan, np.float32)
        for row, context in enumerate(contexts):
            values[row, points - len(context) :] = context
        raw = torch.from_numpy(values)
        observed = torch.isfinite(raw)
        rows = torch.arange(len(contexts))
        loc, scale = location_scale(raw, observed, rows, len(rows))
        scaled = torch.where(observed, (raw.double() - loc[:, None]) / scale[:, None], 0.0).float()
        scaled, observed = scaled.to(self.device), observed.to(self.device)
        embedded = self._embed(scaled, observed, points, 0, filtered)

        def feed(paths_NQT: Tensor, first: int) -> Tensor:
            """Predicted points as tokens: z if the head predicts z, else filtered or hinted again."""
            levels = paths_NQT.shape[1]
            if model.raw_head is None and model.settings.hint is None:
                new = paths_NQT[..., first:]
                return self._tokens(new, torch.ones_like(new, dtype=torch.bool), None)
            past = scaled[:, None].expand(-1, levels, -1)
            there = torch.ones_like(paths_NQT, dtype=torch.bool)
            whole = torch.cat((past, paths_NQT), dim=-1)
            known = torch.cat((observed[:, None].expand(-1, levels, -1), there), dim=-1)
            return self._embed(whole, known, points, points + first, filtered)

        head = model.backbone.head if model.raw_head is None else model.raw_head
        quantiles = decode(model.backbone, embedded, horizon, feed, head).double().cpu()
        quantiles = quantiles.sort(dim=1).values * scale[:, None, None] + loc[:, None, None]
        limit = torch.finfo(torch.float32).max
        return quantiles.clamp(-limit, limit).float().numpy(), loc.numpy()

    def _embed(self, points: Tensor, observed: Tensor, context: int, first: int, filtered: bool) -> Tensor:
        """Tokens ``[..., W, D]`` of scaled points ``[..., T]`` from ``first`` on, ``filtered`` or hinted.

        The first ``context`` points are the context; the others are predictions.
        """
        inputs = self.model.filtered(points, observed) if filtered else points
        known = observed.clone()
        known[..., context:] = False
        hints = self.model.hints(points, observed, known=known)
        return self._tokens(
            inputs[..., first:], observed[..., first:], None if hints is None else hints[..., first:]
        )

    def _tokens(self, points: Tensor, observed: Tensor, hints: Tensor | None) -> Tensor:
        patch = self.model.config.patch
        values, known = (x.unflatten(-1, (-1, patch)) for x in (points, observed))
        lead = values.shape[:-1]
        hints_TCP = None
        if hints is not None:
            hints_TCP = hints.unflatten(-1, (-1, patch)).transpose(-3, -2).flatten(0, -3)
        embedded = self.model.backbone.tokens(values.flatten(0, -2), known.flatten(0, -2), hints_TCP)
        return embedded.unflatten(0, lead)

    def _reversible(self, contexts: list[Floats], location: NDArray[np.float64]) -> FilteredContexts:
        """The filter and the ends of the contexts before and after it, for reversals."""
        filter, mode = self.model.filter, self.model.settings
        assert filter is not None
        inverse = mode.fir.length * mode.fir.stride if mode.fir else 64 * filter.stride
        longest = max([filter.reach, inverse, *map(len, contexts)])
        deviation = torch.full((len(contexts), longest), float("nan"), dtype=torch.float64)
        for row, context in enumerate(contexts):
            finite = np.where(np.isfinite(context), context.astype(np.float64) - location[row], np.nan)
            deviation[row, longest - len(context) :] = torch.from_numpy(finite)
        taps = torch.tensor(filter.taps, dtype=torch.float64)
        filtered = operators.forward(deviation, taps, filter.stride, missing=mode.missing)
        return FilteredContexts(
            filter=filter,
            missing=mode.missing,
            series=[z[longest - len(c) :] for z, c in zip(filtered.numpy(), contexts, strict=True)],
            location_B=location,
            tail_BM=deviation[:, -filter.reach :].numpy(),
            filtered_tail=filtered[:, -inverse:].numpy(),
            # In training the filter applied wherever a point had all its lags, however short the context.
            filtered_B=np.ones(len(contexts), np.bool_),
        )
