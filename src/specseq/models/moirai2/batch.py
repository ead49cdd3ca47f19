"""Training batches of Moirai2: scaled values of the token stream, and which tokens predict which.

Shapes: B rows, L tokens per row, T tokens of the stream, P points per token, N = T · P points of the stream,
S segments, K tokens that predict, F predicted tokens, C hints.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specseq.filters import Filter, design, operators
from specseq.models.layout import Layout, Widths, balanced, location_scale, power_of_two, standardise
from specseq.models.moirai2.config import Moirai2Config, Preconditioning
from specseq.seeding import generator
from specseq.series.anomaly import context_tokens
from specseq.series.batch import PackedBatch
from specseq.series.stream import PackedStream
from specseq.settings import read
from specseq.training.batches import Wrapped

_NO_MODE = Preconditioning()


@dataclass(frozen=True)
class Preconditioner:
    """A mode of preconditioning with designed filters; by default the baseline.

    Attributes:
        filter: filter of the series, or the initial learnable filter; None for the baseline and hints.
        hints: one filter per hint.
    """

    settings: Preconditioning = _NO_MODE
    filter: Filter | None = None
    hints: tuple[Filter, ...] = ()

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Preconditioner":
        """Read ``params["preconditioning"]`` and ``params["filter"]``.

        Raises:
            InputError: a setting is invalid or has no effect with this filter.
        """
        where = "preconditioning"
        settings = read(Preconditioning, params.get(where) or {}, where)
        spec = params.get("filter")
        settings.check_filter(spec)
        if settings.hint is None:
            return cls(settings, design(spec) if spec else None)
        if not settings.hint.filters:
            return cls(settings, hints=(design(params["filter"]),))
        specs = enumerate(settings.hint.filters)
        return cls(
            settings, hints=tuple(design(one, f"{where}.hint.filters[{number}]") for number, one in specs)
        )


BASELINE = Preconditioner()


@dataclass(frozen=True)
class ModelBatch:
    """A training batch in the model's input form.

    Attributes:
        layout: the stream; segments are samples.
        values_TP: scaled values; 0 where not observed.
        observed_TP: where values were measured.
        known_TP: observed values in the first part of their segment, which set its scale.
        time_T: number of each token within its segment.
        shown_T: False where the token's values are hidden from the input.
        hint_shown_T: False where its hints are hidden.
        query_K: stream places of the tokens with a prediction in the loss.
        target_KF: stream place of the token that each of them predicts at each step ahead.
        wanted_KF: True where the loss includes that prediction.
        noise_CN: standard normal numbers that replace hints; None unless that is the control.
        filtered_share: scalar, the share of the whole batch's points in the loss to which the filter applies;
            None if this is the whole batch or there is no finite inverse.
    """

    layout: Layout
    values_TP: Tensor
    observed_TP: Tensor
    known_TP: Tensor
    time_T: Tensor
    shown_T: Tensor
    hint_shown_T: Tensor
    query_K: Tensor
    target_KF: Tensor
    wanted_KF: Tensor
    noise_CN: Tensor | None = None
    filtered_share: Tensor | None = None

    @property
    def wanted_KFP(self) -> Tensor:
        """``bool [K, F, P]``: points in the loss, observed and beyond the first part of their segment."""
        return self.observed_TP[self.target_KF] & self.wanted_KF[..., None]

    @property
    def ids_N(self) -> Tensor:
        """Number of each point's segment."""
        return self.layout.segment_T.repeat_interleave(self.values_TP.shape[1])

    def filtered_KFP(self, mode: Preconditioner) -> Tensor:
        """Points in the loss to which a mode's filter applies."""
        assert mode.filter is not None
        applies_N = operators.applies(
            self.values_TP.flatten(), mode.filter.degree, mode.filter.stride,
            observed=self.observed_TP.flatten(), ids=self.ids_N, missing=mode.settings.missing,
        )  # fmt: skip
        return applies_N.view_as(self.values_TP)[self.target_KF] & self.wanted_KFP

    def to(self, device: torch.device | str) -> "ModelBatch":
        """The same on a device."""
        parts = (getattr(self, f.name) for f in fields(self))
        moved: list[Any] = [None if part is None else part.to(device) for part in parts]
        return ModelBatch(*moved)


@dataclass(frozen=True)
class RawBatch:
    """A packed batch, or part of one, with its random masks, not yet laid out.

    Attributes:
        packed: the rows; every sample has a single variate.
        shown_BL: False where a patch is hidden from the input.
        hint_shown_BL: False where its hints are hidden.
        predicted: number of tokens that each token predicts, F.
        noise_BLCP: standard normal numbers that replace hints; None unless that is the control.
        whole: the batch that this is a part of; None if it is whole.
    """

    packed: PackedBatch
    shown_BL: Tensor
    hint_shown_BL: Tensor
    predicted: int
    mode: Preconditioner = BASELINE
    noise_BLCP: Tensor | None = None
    whole: "RawBatch | None" = None

    def shard(self, number: int, count: int) -> "RawBatch":
        """The rows of one of ``count`` parts, with the masks and noise drawn for the whole batch."""
        first, last = (len(self.packed) * edge // count for edge in (number, number + 1))
        noise = None if self.noise_BLCP is None else self.noise_BLCP[first:last]
        return replace(
            self,
            packed=self.packed.shard(number, count),
            shown_BL=self.shown_BL[first:last],
            hint_shown_BL=self.hint_shown_BL[first:last],
            noise_BLCP=noise,
            whole=self.whole or self,
        )

    @cached_property
    def filtered_share(self) -> Tensor | None:
        """Share of points in the loss to which the filter applies; None without a finite inverse."""
        if self.mode.settings.fir is None:
            return None
        batch = self.prepare()
        filtered = batch.filtered_KFP(self.mode)
        return filtered.sum() / batch.wanted_KFP.sum().clamp(min=1)

    def lay_out(self, device: torch.device) -> ModelBatch:
        """The batch in the form for a device, still on the CPU."""
        return self.prepare(balanced if device.type == "cpu" else power_of_two)

    def to(self, device: torch.device) -> ModelBatch:
        """Lay the batch out on the CPU and move it."""
        return self.lay_out(device).to(device)

    def prepare(self, width: Widths = balanced) -> ModelBatch:
        """Lay out and scale; ``width`` as for :meth:`Layout.of <specseq.models.layout.Layout.of>`."""
        packed = self.packed
        rows, length = packed.sample_id.shape
        layout = Layout.of(packed.samples, rows, length, width)
        segment_T, time_T = layout.segment_T, layout.flatten(packed.time_id)
        target_TP, observed_TP = layout.flatten(packed.target), layout.flatten(packed.observed)
        tokens_S = torch.bincount(segment_T)
        context_T = torch.from_numpy(context_tokens(tokens_S.numpy()))[segment_T]
        known_TP = observed_TP & (time_T < context_T)[:, None]
        loc_S, scale_S = location_scale(target_TP, known_TP, segment_T, len(tokens_S))
        scaled_TP = standardise(target_TP.double(), loc_S[segment_T, None], scale_S[segment_T, None])
        ahead_F = torch.arange(1, self.predicted + 1)
        time_TF = time_T[:, None] + ahead_F
        wanted_TF = (time_TF < tokens_S[segment_T, None]) & (time_TF >= context_T[:, None])
        wanted_TF &= layout.flatten(packed.loss_mask)[:, None]
        query_K = torch.nonzero(wanted_TF.any(1)).flatten()
        noise = self.noise_BLCP
        return ModelBatch(
            layout,
            torch.where(observed_TP, scaled_TP, 0.0).float(),
            observed_TP,
            known_TP,
            time_T,
            layout.flatten(self.shown_BL),
            layout.flatten(self.hint_shown_BL),
            query_K,
            (query_K[:, None] + ahead_F).clamp_(max=max(len(time_T) - 1, 0)),
            wanted_TF[query_K],
            None if noise is None else layout.flatten(noise).transpose(0, 1).flatten(1),
            None if self.whole is None else self.whole.filtered_share,
        )


class Moirai2Stream(Wrapped):
    """Packed batches with random masks and noise that depend only on the whole batch, not on its parts.

    Its position is that of the packed stream, from which masks and noise follow.
    """

    def __init__(self, packed: PackedStream, config: Moirai2Config, mode: Preconditioner = BASELINE) -> None:
        super().__init__(packed)
        self.config, self.mode = config, mode

    def __next__(self) -> RawBatch:
        batch, hint = next(self.batches), self.mode.settings.hint
        shape = tuple(batch.sample_id.shape)
        shown = generator(batch.seed, "patch mask").random(shape) >= self.config.masked
        dropout = hint.dropout if hint else 0.0
        hints = generator(batch.seed, "hint dropout").random(shape) >= dropout
        noise = None
        if hint and hint.control == "noise":
            size = (*shape, len(self.mode.hints), self.config.patch)
            noise = torch.from_numpy(generator(batch.seed, "hint noise").standard_normal(size, np.float32))
        return RawBatch(
            batch, torch.from_numpy(shown), torch.from_numpy(hints), self.config.predicted, self.mode, noise
        )
