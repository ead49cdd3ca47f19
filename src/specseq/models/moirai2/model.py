"""Moirai 2.0 (arXiv:2511.11698): a causal decoder over patches that predicts quantiles of the next patches.

:class:`Moirai2` is the decoder; :class:`PreconditionedMoirai2` adds preconditioned training to it. Every mode
is one setting; the baseline uses none. A filter acts on the scaled time points of each segment, before
patching; see :mod:`specseq.filters.operators`.

Shapes: T tokens, P points per token, N = T · P points of the stream, D width, K tokens that predict,
F predicted tokens, H = F · P points they predict, Q quantile levels, C hints.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from specseq.filters import Filter, operators
from specseq.models.fused import PinballSum
from specseq.models.layers import Attention, Block, Encoder, ResidualBlock, TokenContext
from specseq.models.layout import Layout
from specseq.models.moirai2.batch import ModelBatch, Preconditioner
from specseq.models.moirai2.config import Moirai2Config
from specseq.seeding import generator
from specseq.training.randomness import initialised


class Moirai2(nn.Module):
    """Embedding, decoder and quantile head; 11,387,208 parameters at the published size.

    Hints are further inputs of the embedding with separate weights, so that a hint of zeros gives the outputs
    of the model without hints, bit for bit; ``hints`` is the number of their channels, C.
    """

    def __init__(self, config: Moirai2Config, hints: int = 0) -> None:
        super().__init__()
        self.config = config
        dim, points = config.d_model, config.patch
        self.embed = ResidualBlock(2 * points, dim, dim)
        layers = [
            Block(dim, config.feed_forward, Attention(dim, config.head_count)) for _ in range(config.layers)
        ]
        self.decoder = Encoder(dim, list(layers))
        self.head = self.new_head()
        self.hint_hidden = nn.Linear(hints * points, dim, bias=False) if hints else None
        self.hint_skip = nn.Linear(hints * points, dim, bias=False) if hints else None

    def new_head(self) -> ResidualBlock:
        """A new head of this model's size."""
        config = self.config
        outputs = config.predicted * len(config.quantile_levels) * config.patch
        return ResidualBlock(config.d_model, config.d_model, outputs)

    def tokens(self, values_TP: Tensor, observed_TP: Tensor, hints_TCP: Tensor | None = None) -> Tensor:
        """Embeddings ``[T, D]`` of scaled values and hints, all 0 where not observed or hidden."""
        inputs = torch.cat((values_TP, observed_TP.to(values_TP.dtype)), dim=-1)
        block = self.embed
        hidden, skip = block.hidden(inputs), block.skip(inputs)
        if self.hint_hidden is not None and self.hint_skip is not None and hints_TCP is not None:
            hints = hints_TCP.flatten(1)
            hidden, skip = hidden + self.hint_hidden(hints), skip + self.hint_skip(hints)
        return block.out(nn.functional.silu(hidden)) + skip

    def context(self, layout: Layout, time_T: Tensor) -> TokenContext:
        """The shared input of the attention layers: every sample is one variate, tokens in time order."""
        pairs = self.config.head_width // 4
        return TokenContext.of(layout, time_T, None, pairs, causal=True)

    def forward(self, tokens_TD: Tensor, context: TokenContext) -> Tensor:
        """Hidden states ``[T, D]``; each depends on its token and earlier ones of the same segment."""
        return self.decoder(tokens_TD, context)

    def quantiles(self, hidden_KD: Tensor, head: ResidualBlock | None = None) -> Tensor:
        """Predictions ``[K, F, Q, P]`` in scaled space, never in half precision."""
        config = self.config
        predicted = (head or self.head)(hidden_KD)
        if predicted.dtype == torch.bfloat16:
            predicted = predicted.float()
        return predicted.unflatten(-1, (config.predicted, len(config.quantile_levels), config.patch))


class PreconditionedMoirai2(nn.Module):
    """A Moirai2 and the parts that a mode of preconditioning adds to it.

    These parts are initialised from separate random streams: the backbone starts from the same weights in
    every mode.

    Attributes:
        taps: c, [d], a parameter where learnable; None without a filter.
        inverse_taps: g of the finite inverse, [J], initially 0; None without one.
        raw_head: predicts the raw series; None without one.
    """

    taps: Tensor | None
    inverse_taps: Tensor | None

    def __init__(self, config: Moirai2Config, mode: Preconditioner, seed: int) -> None:
        super().__init__()
        self.config, self.mode, self.settings, self.seed = config, mode, mode.settings, seed
        hints = len(mode.hints)
        self.backbone = initialised(lambda: Moirai2(config), seed, "moirai2")
        if hints:
            hinted = initialised(lambda: Moirai2(config, hints), seed, "hints")
            self.backbone.hint_hidden, self.backbone.hint_skip = hinted.hint_hidden, hinted.hint_skip
        dual = mode.settings.dual_head
        self.raw_head = initialised(self.backbone.new_head, seed, "raw head") if dual else None
        taps = torch.tensor(mode.filter.taps, dtype=torch.float64) if mode.filter else None
        if taps is not None and self.settings.learnable:
            self.taps = nn.Parameter(taps.float())
        else:
            self.register_buffer("taps", taps)
        fir = mode.settings.fir
        inverse = nn.Parameter(torch.zeros(fir.length)) if fir else None
        self.register_parameter("inverse_taps", inverse)

    @property
    def filter(self) -> Filter | None:
        """The filter with its current taps."""
        if self.mode.filter is None or self.taps is None:
            return None
        taps = tuple(float(tap) for tap in self.taps.detach())
        if self.settings.learnable:
            return Filter("learned", taps, self.mode.filter.stride)
        return Filter(self.mode.filter.family, taps, self.mode.filter.stride, self.mode.filter.lam)

    def filtered(self, values: Tensor, observed: Tensor, ids: Tensor | None = None) -> Tensor:
        """z of scaled points ``[..., T]``; the points themselves without a filter."""
        if self.taps is None or self.mode.filter is None:
            return values
        stride, missing = self.mode.filter.stride, self.settings.missing
        return operators.forward(values, self.taps, stride, observed=observed, ids=ids, missing=missing)

    def hints(
        self,
        values: Tensor,
        observed: Tensor,
        ids: Tensor | None = None,
        known: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor | None:
        """Hints: what filters add to scaled points, ``[..., C, T]``, or the control; None without hints.

        Args:
            ids: number of each point's series; None if every row is one series.
            known: measured points known before any forecast, by default all. They set the size of the noise,
                since later hints would reveal the values to predict.
            noise: standard normal numbers, ``[C, T]``; by default the same for every row and every call.
        """
        if self.settings.hint is None:
            return None
        added = []
        for number, filter in enumerate(self.mode.hints):
            taps = torch.tensor(filter.taps, dtype=values.dtype, device=values.device)
            hint = operators.hint(
                values, taps, filter.stride, observed=observed, ids=ids, missing=self.settings.missing
            )
            if self.settings.hint.control == "zero":
                hint = torch.zeros_like(hint)
            elif self.settings.hint.control == "duplicate":
                hint = values
            elif self.settings.hint.control == "noise":
                if noise is None:
                    noise = self._noise(values)
                hint = noise[number] * _size(hint, observed if known is None else known, ids)
            added.append(hint)
        return torch.stack(added, dim=-2)

    def _noise(self, values: Tensor) -> Tensor:
        """Noise for the points of rows, ``[C, T]``; longer noise begins with the shorter."""
        assert self.settings.hint is not None
        shape = (values.shape[-1], len(self.mode.hints))
        drawn = generator(self.seed, "hint noise").standard_normal(shape, np.float32)
        return torch.from_numpy(drawn.T).to(values)

    def forward(self, batch: ModelBatch) -> tuple[Tensor, dict[str, float]]:
        """Loss of a batch and its parts; ``weight`` is the number of points in the quantile loss."""
        mode, config = self.settings, self.config
        points = config.patch
        filtered_N, hidden_KD = self._read(batch)
        predicted = self.backbone.quantiles(hidden_KD)
        wanted_KFP = batch.wanted_KFP
        raw_KFP = batch.values_TP[batch.target_KF]
        target_KFP = filtered_N.unflatten(0, (-1, points))[batch.target_KF]
        levels = config.quantile_levels

        quantile = pinball(predicted, target_KFP, wanted_KFP, levels)
        metrics = {"weight": float(wanted_KFP.sum())}
        total = quantile
        if mode.reversal_loss is not None:
            reversed_ = pinball(self._reversed(batch, predicted), raw_KFP, wanted_KFP, levels)
            total = mode.reversal_loss.filtered * quantile + mode.reversal_loss.reversed * reversed_
            metrics |= {"quantile_loss": float(quantile.detach()), "reversed_loss": float(reversed_.detach())}
        if self.raw_head is not None:
            raw = pinball(self.backbone.quantiles(hidden_KD, self.raw_head), raw_KFP, wanted_KFP, levels)
            total = raw + quantile
            metrics |= {"quantile_loss": float(quantile.detach()), "raw_loss": float(raw.detach())}
        if mode.fir is not None:
            error = self._inverse_error(batch, predicted, filtered_N, raw_KFP, target_KFP)
            total = total + mode.fir.weight * error
            metrics |= {"quantile_loss": float(quantile.detach()), "inverse_error": float(error.detach())}
        if mode.learnable and mode.l2:
            assert self.taps is not None
            total = total + mode.l2 * self.taps.square().sum()
        return total, metrics

    def raw_loss(self, batch: ModelBatch) -> Tensor:
        """The quantile loss of the raw series, comparable between all modes.

        It belongs to the head for the raw series if there is one, else to the forecast after its recursive
        reversal. For the baseline and for hints it is the training loss.
        """
        _, hidden_KD = self._read(batch)
        predicted = self.backbone.quantiles(hidden_KD, self.raw_head)
        if self.raw_head is None and self.mode.filter is not None:
            predicted = self._reversed(batch, predicted)
        raw_KFP = batch.values_TP[batch.target_KF]
        return pinball(predicted, raw_KFP, batch.wanted_KFP, self.config.quantile_levels)

    def _read(self, batch: ModelBatch) -> tuple[Tensor, Tensor]:
        """The points that the model is trained on, filtered if it has a filter, and hidden states."""
        ids_N = batch.ids_N
        raw_N, observed_N = batch.values_TP.flatten(), batch.observed_TP.flatten()
        filtered_N = self.filtered(raw_N, observed_N, ids_N)
        hints_CN = self.hints(raw_N, observed_N, ids_N, batch.known_TP.flatten(), batch.noise_CN)
        return filtered_N, self._hidden(batch, filtered_N, hints_CN)

    def _hidden(self, batch: ModelBatch, inputs_N: Tensor, hints_CN: Tensor | None) -> Tensor:
        shown_TP = batch.observed_TP & batch.shown_T[:, None]
        inputs_TP = torch.where(shown_TP, inputs_N.view_as(batch.values_TP), 0.0)
        hints_TCP = None
        if hints_CN is not None:
            hint_shown_T11 = (batch.shown_T & batch.hint_shown_T)[:, None, None]
            hints_TCP = hints_CN.unflatten(-1, (-1, self.config.patch)).transpose(0, 1)
            hints_TCP = torch.where(hint_shown_T11, hints_TCP, 0.0)
        tokens_TD = self.backbone.tokens(inputs_TP, shown_TP, hints_TCP)
        context = self.backbone.context(batch.layout, batch.time_T)
        return self.backbone(tokens_TD, context)[batch.query_K]

    def _tail(self, batch: ModelBatch, values_N: Tensor, length: int) -> Tensor:
        """The points up to the end of each predicting token, ``[K, length]``; NaN where there is no point."""
        points = self.config.patch
        place = (batch.query_K[:, None] + 1) * points + torch.arange(-length, 0, device=values_N.device)
        first = (batch.query_K - batch.time_T[batch.query_K])[:, None] * points
        place_in = place.clamp(min=0)
        there = (place >= first) & batch.observed_TP.flatten()[place_in]
        return torch.where(there, values_N[place_in], float("nan"))

    def _reversed(self, batch: ModelBatch, predicted_KFQP: Tensor) -> Tensor:
        """Predictions of the raw series: every quantile shifted by the recursive reversal of the median."""
        assert self.taps is not None
        assert self.mode.filter is not None
        stride, points = self.mode.filter.stride, self.config.patch
        tail_KM = self._tail(batch, batch.values_TP.flatten(), len(self.taps) * stride)
        median_KH = predicted_KFQP[:, :, self.config.median].flatten(1)
        shift_KH = operators.self_shift(median_KH, tail_KM, self.taps, stride, missing=self.settings.missing)
        return predicted_KFQP - shift_KH.unflatten(1, (-1, points))[:, :, None]

    def _inverse_error(
        self,
        batch: ModelBatch,
        predicted_KFQP: Tensor,
        filtered_N: Tensor,
        raw_KFP: Tensor,
        target_KFP: Tensor,
    ) -> Tensor:
        """Mean squared error of the finite inverse over the predicted points to which the filter applies.

        For a part of a batch it is scaled so that the parts' mean, weighted by their points in the loss, is
        the value of the whole batch.
        """
        fir = self.settings.fir
        assert fir is not None
        assert self.inverse_taps is not None
        median_KH = predicted_KFQP[:, :, self.config.median].flatten(1)
        tail = self._tail(batch, filtered_N, fir.length * fir.stride)
        inverse = operators.fir_shift(median_KH, tail, self.inverse_taps, fir.stride)
        filtered_KFP = batch.filtered_KFP(self.mode)
        count = filtered_KFP.sum()
        if batch.filtered_share is not None:
            count = batch.filtered_share * batch.wanted_KFP.sum()
        error = inverse.view_as(target_KFP) - (target_KFP - raw_KFP)
        return torch.where(filtered_KFP, error.square(), 0.0).sum() / torch.where(count > 0, count, 1)

    def load_initial(self, tensors: dict[str, Tensor]) -> list[str]:
        """Load the weights of a run with the same backbone; returns the names of parameters left unchanged.

        Raises:
            RuntimeError: the tensors do not fit.
        """
        own = self.state_dict()
        mine = {name: tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
        kept = sorted(set(own) - set(mine))
        missing = [name for name in kept if name.startswith("backbone.") and ".hint_" not in name]
        if missing:
            raise RuntimeError(f"weights lack {', '.join(missing[:3])}")
        self.load_state_dict({**own, **mine})
        return kept

    def coefficients(self) -> Iterable[tuple[str, float]]:
        """Learned taps by name, for the metrics of a run."""
        if self.settings.learnable and self.taps is not None:
            for number, tap in enumerate(self.taps.detach().tolist(), 1):
                yield f"tap_{number}", tap


def pinball(
    predicted_KFQP: Tensor, target_KFP: Tensor, wanted_KFP: Tensor, quantile_levels: Sequence[float]
) -> Tensor:
    """Mean of ``max(q (y - ŷ_q), (q - 1) (y - ŷ_q))`` over the points in the loss, 0 without any."""
    levels_Q = torch.tensor(quantile_levels, dtype=predicted_KFQP.dtype, device=predicted_KFQP.device)
    total: Tensor = PinballSum.apply(predicted_KFQP, target_KFP, wanted_KFP, levels_Q)
    return total / (wanted_KFP.sum() * len(quantile_levels)).clamp(min=1)


def _size(hint: Tensor, known: Tensor, ids: Tensor | None) -> Tensor:
    """Root mean square of the known hints of each point's series, ``[..., T]``."""
    series = torch.zeros_like(hint, dtype=torch.int64) if ids is None else ids
    none = torch.zeros_like(hint)
    squares = none.scatter_add(-1, series, torch.where(known, hint.square(), 0.0))
    counts = none.scatter_add(-1, series, known.to(hint.dtype))
    return (squares / counts.clamp(min=1)).sqrt().gather(-1, series)
