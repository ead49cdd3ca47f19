"""MOIRAI: a masked encoder over packed patches with a mixture head (Woo et al. 2024, arXiv:2402.02592).

Legend: B rows, L tokens a row, P points a token slot, T tokens of the stream, D model width, K predicted
tokens, Q predicted points, G variate runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from specseq.models.layers import TokenContext
from specseq.models.layout import exact
from specseq.models.mixture import Mixture
from specseq.models.moirai.config import MoiraiConfig
from specseq.models.moirai.encoder import MixingContext, MoiraiEncoder
from specseq.models.moirai.plan import Plan
from specseq.models.moirai.projections import MultiSizeHeads, MultiSizeInput
from specseq.models.moirai.scaler import location_scale
from specseq.series.batch import PackedBatch


@dataclass(frozen=True)
class Prediction:
    """Distributions at the predicted points of a batch.

    Attributes:
        raw_12Q: unconstrained mixture parameters of the standardised values, float32 or wider.
        location_Q, scale_Q: how the values were standardised.
        plan: which token each point belongs to.
    """

    raw_12Q: Tensor
    location_Q: Tensor
    scale_Q: Tensor
    plan: Plan

    @property
    def mixture(self) -> Mixture:
        """The distribution of the standardised values."""
        return Mixture(self.raw_12Q)

    def quantile(self, levels: tuple[float, ...]) -> Tensor:
        """``[V, Q]`` float64 quantiles on the scale of the data, at increasing levels."""
        standard_VQ = torch.from_numpy(self.mixture.quantile(levels))
        return standard_VQ * self.scale_Q.double().cpu() + self.location_Q.double().cpu()


class Moirai(nn.Module):
    """The model; the small published one has 13,827,528 parameters, its published hybrid 12,527,652."""

    def __init__(self, config: MoiraiConfig) -> None:
        super().__init__()
        self.config = config
        self.mask_embedding = nn.Parameter(torch.randn(1, config.d_model))
        self.input = MultiSizeInput(config.patch_sizes, config.d_model)
        self.encoder = MoiraiEncoder(config)
        self.heads = MultiSizeHeads(config.d_model, config.patch_sizes, config.parity)

    def plan(self, batch: PackedBatch, width: Callable[[int], int] = exact) -> Plan:
        """The index tables of a batch that lies on the CPU; ``width`` as :meth:`Plan.of` takes it."""
        return Plan.of(batch, self.config.patch_sizes, self.config.stu.runs == "variate", width)

    def forward(self, batch: PackedBatch, plan: Plan | None = None) -> Prediction:
        """Predict the tokens marked in ``prediction_mask`` (and not kept from the loss).

        Args:
            batch: packed rows.
            plan: of that batch, on the same device; made here where none is given.
        """
        plan = plan or self.plan(batch)
        layout = plan.layout
        x_TP, observed_TP = layout.flatten(batch.target), layout.flatten(batch.observed)
        x_TP = x_TP.to(self.input.weight.dtype)
        seen_TP = observed_TP & ~plan.masked_T[:, None]
        location_T, scale_T = location_scale(x_TP, seen_TP, plan.run_T, plan.runs)
        standard_TP = (x_TP - location_T[:, None]) / scale_T[:, None]

        embedded = self.input(standard_TP, plan.context)
        entries = torch.cat([*(part.to(x_TP.dtype) for part in embedded), self.mask_embedding])
        context = MixingContext(
            TokenContext.of(
                layout,
                layout.flatten(batch.time_id),
                layout.flatten(batch.variate_id),
                pairs=self.config.d_model // self.config.head_count // 4,
                causal=False,
            ),
            plan.convolved,
        )
        x_KD = self.encoder(entries.index_select(0, plan.entry_T), context, plan.predicted_K)
        raw_12Q = self.heads(x_KD, plan.predicted)
        wide = torch.promote_types(raw_12Q.dtype, torch.float32)
        return Prediction(raw_12Q.to(wide), plan.per_point(location_T), plan.per_point(scale_T), plan)


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on linear maps (spectral ones too), none on norms, biases and embeddings."""
    plain = ("bias", "norm.weight", "mask_embedding", "variate_bias.weight", "gate")
    decayed = {name: not name.endswith(plain) for name, _ in model.named_parameters()}
    named = dict(model.named_parameters())
    return [
        {"params": [named[name] for name, on in decayed.items() if on], "weight_decay": weight_decay},
        {"params": [named[name] for name, on in decayed.items() if not on], "weight_decay": 0.0},
    ]
