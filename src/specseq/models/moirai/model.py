"""MOIRAI: a masked encoder over packed patches with a mixture head (Woo et al. 2024, arXiv:2402.02592).

A token uses only the projections of its own patch size, and only predicted tokens use the heads. The usual
way, computing all sizes for all tokens and masking, wastes most of that work.

Shapes: B rows, L tokens per row, P points per token slot, T tokens of the stream, D model width, Z patch
sizes, p one of them, k tokens of one size, K predicted tokens, Q predicted points, R variate runs, V quantile
levels.
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from specseq.models.layers import Attention, Block, RMSNorm, Rotation, TokenContext
from specseq.models.layout import Widths, balanced, location_scale, standardise
from specseq.models.mixture import Mixture
from specseq.models.moirai.batch import BatchTables
from specseq.models.moirai.config import MoiraiConfig
from specseq.models.moirai.sizes import MultiSizeHeads, MultiSizeInput
from specseq.models.stu.layer import SpectralTransformUnit
from specseq.models.stu.segments import SegmentTables
from specseq.series.batch import PackedBatch


@dataclass(frozen=True)
class MixingContext:
    """Inputs that the mixers of one forward pass share.

    Attributes:
        attention: rotary angles and masks within samples.
        convolved: runs that spectral units may not cross; None if there are no such units.
    """

    attention: TokenContext
    convolved: SegmentTables | None


class AttentionMixer(nn.Module):
    """Attention within samples."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.attention = Attention(config.d_model, config.head_count)

    def forward(self, x_TD: Tensor, context: MixingContext) -> Tensor:
        return self.attention(x_TD, context.attention)


class SpectralMixer(nn.Module):
    """A spectral transform unit over the runs of a sample or a variate."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        stu = config.stu
        self.unit = SpectralTransformUnit(
            config.d_model, config.max_length, stu.filters, stu.mode, stu.inner, stu.published
        )

    def forward(self, x_TD: Tensor, context: MixingContext) -> Tensor:
        return self.unit(x_TD, context.convolved)


class ParallelMixer(nn.Module):
    """``g * attention + (1 - g) * unit`` with a gate g in (0, 1) for each channel, one half at first."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.attention = AttentionMixer(config)
        self.spectral = SpectralMixer(config)
        self.gate = nn.Parameter(torch.zeros(config.d_model))

    def forward(self, x_TD: Tensor, context: MixingContext) -> Tensor:
        mixed_TD = self.spectral(x_TD, context)
        return mixed_TD + self.gate.sigmoid() * (self.attention(x_TD, context) - mixed_TD)


MIXERS = {"attention": AttentionMixer, "stu": SpectralMixer, "parallel": ParallelMixer}


class MoiraiEncoder(nn.Module):
    """Pre-norm blocks and a final norm."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(
                config.d_model,
                config.feed_forward_of(layer),
                MIXERS[config.stu.mixing(layer, config.layers)](config),
            )
            for layer in range(config.layers)
        )
        self.norm = RMSNorm(config.d_model)

    def forward(self, x_TD: Tensor, context: MixingContext, wanted_K: Tensor) -> Tensor:
        """``[K, D]``; other tokens are dropped after the last mixer, where tokens become independent."""
        for block in self.blocks[:-1]:
            x_TD = block(x_TD, context)
        last = cast(Block, self.blocks[-1])
        x_TD = x_TD + last.mixer(last.mixer_norm(x_TD), context)
        return self.norm(last.fed_forward(x_TD.index_select(0, wanted_K)))


@dataclass(frozen=True)
class Prediction:
    """Distributions at the predicted points of a batch.

    Attributes:
        raw_12Q: unconstrained mixture parameters of the standardised values, float32 or wider.
        location_Q, scale_Q: location and scale of the standardisation.
        tables: index tables, which give the token of each point.
    """

    raw_12Q: Tensor
    location_Q: Tensor
    scale_Q: Tensor
    tables: BatchTables

    @property
    def mixture(self) -> Mixture:
        """The distribution of the standardised values."""
        return Mixture(self.raw_12Q)

    def quantile(self, levels: tuple[float, ...]) -> Tensor:
        """``[V, Q]`` float64 quantiles on the scale of the data, at increasing levels."""
        standard_VQ = torch.from_numpy(self.mixture.quantile(levels))
        return standard_VQ * self.scale_Q.double().cpu() + self.location_Q.double().cpu()


class Moirai(nn.Module):
    """The model; the published small model has 13,827,528 parameters, its published hybrid 12,527,652."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.config = config
        self.mask_embedding = nn.Parameter(torch.randn(1, config.d_model))
        self.input = MultiSizeInput(config.patch_sizes, config.d_model)
        self.encoder = MoiraiEncoder(config)
        self.heads = MultiSizeHeads(config.d_model, config.patch_sizes, config.parity)

    def tables(self, batch: PackedBatch, width: Widths = balanced) -> BatchTables:
        """Index tables of a batch on the CPU; ``width`` as for :meth:`BatchTables.of`."""
        return BatchTables.of(batch, self.config, width)

    def forward(self, batch: PackedBatch, tables: BatchTables | None = None) -> Prediction:
        """Predict the tokens marked in ``prediction_mask`` (and not excluded from the loss).

        Args:
            batch: packed rows.
            tables: tables of that batch, on the same device; made here if None.
        """
        tables = tables or self.tables(batch)
        layout = tables.layout
        x_TP, observed_TP = layout.flatten(batch.target), layout.flatten(batch.observed)
        x_TP = x_TP.to(self.input.weight.dtype)
        seen_TP = observed_TP & ~tables.masked_T[:, None]
        of_runs = location_scale(x_TP, seen_TP, tables.run_T, tables.runs)
        largest = torch.finfo(x_TP.dtype).max
        location_T, scale_T = (part_R.clamp_max(largest)[tables.run_T].to(x_TP.dtype) for part_R in of_runs)
        standard_TP = standardise(x_TP, location_T[:, None], scale_T[:, None])

        x_TD = self.input(standard_TP, self.mask_embedding, tables)
        context = MixingContext(
            TokenContext(
                layout,
                Rotation(layout.flatten(batch.time_id), self.config.d_model // self.config.head_count // 4),
                tuple(table.mask() for table in tables.masks),
            ),
            tables.convolved,
        )
        x_KD = self.encoder(x_TD, context, tables.predicted_K)
        raw_12Q = self.heads(x_KD, tables.predicted)
        return Prediction(raw_12Q, tables.per_point(location_T), tables.per_point(scale_T), tables)


def packed_loss(prediction: Prediction, batch: PackedBatch) -> tuple[Tensor, dict[str, float]]:
    """Mean over variate runs of the mean NLL over their observed predicted points (Woo et al. 2024, eq. 2).

    A run whose predicted points are all missing counts as zero, as published.

    Returns:
        The loss on the scale of the data, which includes each series' log scale and may be negative; and the
        metrics ``standardised_nll`` (without that term, comparable between corpora) and ``groups``, the
        number of runs averaged.
    """
    tables = prediction.tables
    values_Q = tables.points(batch.target).to(prediction.raw_12Q.dtype)
    observed_Q = tables.points(batch.observed)
    run_Q = tables.per_point(tables.run_T)
    limit = torch.finfo(values_Q.dtype).max
    standard_Q = standardise(values_Q, prediction.location_Q, prediction.scale_Q, limit)
    log_prob_Q = prediction.mixture.log_prob(standard_Q)

    observed_Q = observed_Q.to(log_prob_Q.dtype)
    count_R = observed_Q.new_zeros(tables.runs).index_add_(0, run_Q, observed_Q)
    groups = tables.predicted_runs
    weight_Q = observed_Q / (count_R.clamp_(min=1) * max(groups, 1)).index_select(0, run_Q)
    standardised = -torch.dot(weight_Q, log_prob_Q)
    loss = standardised + torch.dot(weight_Q, prediction.scale_Q.log())
    return loss, {"standardised_nll": float(standardised.detach()), "groups": float(groups)}


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on linear maps (spectral ones too), none on norms, biases and embeddings."""
    plain = ("bias", "norm.weight", "mask_embedding", "variate_bias.weight", "gate")
    decayed = {name: not name.endswith(plain) for name, _ in model.named_parameters()}
    named = dict(model.named_parameters())
    return [
        {"params": [named[name] for name, on in decayed.items() if on], "weight_decay": weight_decay},
        {"params": [named[name] for name, on in decayed.items() if not on], "weight_decay": 0.0},
    ]
