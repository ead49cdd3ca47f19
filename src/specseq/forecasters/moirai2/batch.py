"""Training batches of Moirai2: scaled values of the token stream, and which tokens predict which.

Legend: B rows, L tokens a row, T tokens of the stream, P points a token, S segments, K tokens that predict,
F predicted tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from specseq.forecasters.layout import Layout, exact, power_of_two
from specseq.forecasters.moirai2.config import Moirai2Config
from specseq.seeding import generator
from specseq.series.anomaly import VARIANCE_FLOOR
from specseq.series.batch import PackedBatch
from specseq.series.stream import PackedStream


@dataclass(frozen=True)
class Prepared:
    """A batch as the model takes it.

    Attributes:
        layout: the stream; segments are samples.
        values_TP: scaled values; 0 where not observed.
        observed_TP: where values were measured.
        time_T: number of each token within its segment.
        shown_T: False where the token's values are hidden from the input.
        hint_shown_T: False where its hints are hidden.
        query_K: stream places of the tokens that predict something the loss wants.
        target_KF: stream place of the token that each of them predicts at each step ahead.
        wanted_KF: whether the loss wants it.
        seed: of what is drawn for this batch alone, a number.
    """

    layout: Layout
    values_TP: Tensor
    observed_TP: Tensor
    time_T: Tensor
    shown_T: Tensor
    hint_shown_T: Tensor
    query_K: Tensor
    target_KF: Tensor
    wanted_KF: Tensor
    seed: Tensor

    @property
    def wanted_KFP(self) -> Tensor:
        """Predicted points that the loss wants: measured, after the first part of their segment."""
        return self.observed_TP[self.target_KF] & self.wanted_KF[..., None]

    def to(self, device: torch.device | str) -> "Prepared":
        """The same on a device."""
        return Prepared(*(getattr(self, f.name).to(device) for f in fields(self)))


@dataclass(frozen=True)
class Drawn:
    """A packed batch with its random masks, still to be laid out.

    Attributes:
        packed: the rows; every sample a single variate.
        shown_BL: False where a patch is hidden from the input.
        hint_shown_BL: False where its hints are hidden.
        predicted: tokens that each token predicts, F.
    """

    packed: PackedBatch
    shown_BL: Tensor
    hint_shown_BL: Tensor
    predicted: int

    def shard(self, number: int, count: int) -> "Drawn":
        """The rows of one of ``count`` parts; their masks are those of the whole batch."""
        first, last = (len(self.packed) * edge // count for edge in (number, number + 1))
        shown, hints = self.shown_BL[first:last], self.hint_shown_BL[first:last]
        return Drawn(self.packed.shard(number, count), shown, hints, self.predicted)

    def to(self, device: torch.device) -> Prepared:
        """Lay the batch out on the CPU and move it."""
        return self.prepare(exact if device.type == "cpu" else power_of_two).to(device)

    def prepare(self, width: Any = exact) -> Prepared:
        """Lay out and scale; ``width`` as in :meth:`Layout.of <specseq.forecasters.layout.Layout.of>`."""
        packed = self.packed
        rows, length = packed.sample_id.shape
        layout = Layout.of(packed.samples, rows, length, width)
        segment_T, time_T = layout.segment_T, layout.flatten(packed.time_id)
        target_TP, observed_TP = layout.flatten(packed.target), layout.flatten(packed.observed)
        tokens_S = torch.bincount(segment_T)
        context_T = context_tokens(tokens_S)[segment_T]
        known_TP = observed_TP & (time_T < context_T)[:, None]
        loc_S, scale_S = location_and_scale(target_TP, known_TP, segment_T)
        scaled_TP = (target_TP.double() - loc_S[segment_T, None]) / scale_S[segment_T, None]
        ahead_F = torch.arange(1, self.predicted + 1)
        time_TF = time_T[:, None] + ahead_F
        wanted_TF = (time_TF < tokens_S[segment_T, None]) & (time_TF >= context_T[:, None])
        wanted_TF &= layout.flatten(packed.loss_mask)[:, None]
        query_K = torch.nonzero(wanted_TF.any(1)).flatten()
        return Prepared(
            layout,
            torch.where(observed_TP, scaled_TP, 0.0).float(),
            observed_TP,
            time_T,
            layout.flatten(self.shown_BL),
            layout.flatten(self.hint_shown_BL),
            query_K,
            (query_K[:, None] + ahead_F).clamp_(max=max(len(time_T) - 1, 0)),
            wanted_TF[query_K],
            torch.tensor(packed.seed),
        )


def context_tokens(tokens_S: Tensor) -> Tensor:
    """How many tokens make the first 30 %, from which a series is scaled: rounded down, at least 1."""
    return (3 * tokens_S // 10).clamp(min=1)


def location_and_scale(values_TP: Tensor, known_TP: Tensor, segment_T: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and √(variance + 1e-5) of the known points of each segment, ``float64 [S]``.

    The variance is the unbiased one; a denominator of zero becomes 1, as upstream.
    """
    segments = int(segment_T[-1]) + 1 if len(segment_T) else 0

    def total(per_token: Tensor) -> Tensor:
        return torch.zeros(segments, dtype=torch.float64).index_add_(0, segment_T, per_token)

    values_TP = torch.where(known_TP, values_TP.double(), 0.0)
    count_S = total(known_TP.sum(1).double())
    loc_S = total(values_TP.sum(1)) / count_S.clamp(min=1)
    centred_TP = torch.where(known_TP, values_TP - loc_S[segment_T, None], 0.0)
    free_S = torch.where(count_S == 1, 1.0, (count_S - 1).abs())
    return loc_S, (total(centred_TP.square().sum(1)) / free_S + VARIANCE_FLOOR).sqrt()


class Moirai2Stream:
    """Packed batches with their random masks, which depend on the batch alone and not on who computes it."""

    def __init__(self, packed: PackedStream, config: Moirai2Config, hint_dropout: float = 0.0) -> None:
        self.packed, self.config, self.hint_dropout = packed, config, hint_dropout

    def __next__(self) -> Drawn:
        batch = next(self.packed)
        shape = tuple(batch.sample_id.shape)
        shown = generator(batch.seed, "patch mask").random(shape) >= self.config.masked
        hints = generator(batch.seed, "hint dropout").random(shape) >= self.hint_dropout
        return Drawn(batch, torch.from_numpy(shown), torch.from_numpy(hints), self.config.predicted)

    def state_dict(self) -> dict[str, Any]:
        """Position of the packed stream; the masks follow from it."""
        return self.packed.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``."""
        self.packed.load_state_dict(state)
