"""Where rollouts drift: step-by-step measurements that separate four explanations of a bad rollout.

A rollout feeds a model its own predictions. At each step the model is applied to the window it had then and
to the window that the true spacings would have given. Rows have ``step`` = h and ``context``. The suffix
``_mean``, ``_sampled`` or ``_true`` names the spacings in the window, and a further one the mode of memory
(``_zeroed``, ``_faded``). Rows with ``_true`` are the baseline for the others.

- ``drift_distance``: squared Mahalanobis distance, per spacing, of the last spacings read from the training
  windows, which average 1. More: the model reads sequences unlike its training data; less: too smooth
  sequences (distribution shift).
- ``drift_entropy``, ``drift_weight_entropy``: entropies of the mixture that predicts step h (entropy
  collapse).
- ``drift_bias``: mean of predicted minus true spacing at step h (memory as an anchor).
- ``drift_attention``: share of the last token's attention that goes to memory, averaged over heads and
  blocks; even attention over M slots and L spacings gives M/(M+L) (interference). Only with memory.
- ``drift_gate``: how far the gate of memory is open to the last token. Only with a gate;
  ``drift_attention`` does not include its effect.

Shapes: N spacings, B windows, P tokens.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from specseq.spacings.attention import Block, rotate
from specseq.spacings.law import TrainingLaw, training_law
from specseq.spacings.model import SpacingModel
from specseq.spacings.rollout import window_length, with_memory
from specseq.spacings.sets import SpacingSet

Array = NDArray[np.float64]

_LONGEST = 16


def drift_law(train: SpacingSet, contexts: Sequence[int]) -> TrainingLaw:
    """The law of training windows as long as the shortest of the rollouts' contexts, at most 16 spacings.

    Raises:
        InputError: the split has too few windows for a covariance.
    """
    return training_law(train, min(_LONGEST, *contexts), "rollout.drift")


@torch.no_grad()
def drift(
    model: SpacingModel,
    context_BC: Tensor,
    height_B: Tensor,
    followed_BH: Mapping[str, Tensor],
    horizons: Sequence[int],
    strengths: Sequence[float],
    law: TrainingLaw,
) -> Iterator[tuple[str, int, Array]]:
    """Name, step and (B,) values of each measurement.

    Args:
        model: in evaluation mode.
        followed_BH: continuations of the contexts by name, including ``true``.
    """
    context = context_BC.shape[1]
    width, parts = len(law.mean), torch.arange(len(context_BC)).split(128)  # entropy nodes fill memory
    for name, following in followed_BH.items():
        history = torch.cat([context_BC, following], 1)
        for step in horizons:
            past, true = history[:, : context + step - 1], followed_BH["true"][:, step - 1]
            reader = with_memory(model, strengths[step - 1])
            with attention_on_memory(reader) as shares:
                mixture = reader(past[:, -window_length(step, context, model) :], height_B)[:, -1].double()
            measured = {
                "entropy": torch.cat([mixture[rows].predictive_entropy() for rows in parts]),
                "weight_entropy": mixture.weight_entropy(),
                "bias": mixture.expectation() - true.double(),
            }
            if shares:
                measured["attention"] = torch.stack(shares).mean(0).double()
            if model.gate is not None:
                measured["gate"] = model.gate(past[:, -window_length(step, context, model) :])[:, -1].double()
            yield f"drift_distance_{name}", step, law.distance(past[:, -width:].double().numpy())
            for quantity, values in measured.items():
                yield f"drift_{quantity}_{name}", step, values.numpy()


@contextmanager
def attention_on_memory(model: SpacingModel) -> Iterator[list[Tensor]]:
    """Collect, for each block of a forward pass, the (B,) share of the last token's attention paid to memory.

    The list stays empty for a model without memory.
    """
    shares: list[Tensor] = []

    def measure(block: torch.nn.Module, given: tuple[Any, ...]) -> None:
        assert isinstance(block, Block)
        x_BPD, _, phases, slots = given
        B, P, D = x_BPD.shape
        normed = block.qkv(block.norm1(x_BPD)).view(B, P, 3, block.heads, D // block.heads)
        q, k = normed.permute(2, 0, 3, 1, 4)[:2]
        q = q[:, :, -1:]
        if phases is not None:
            q = rotate(q, phases[-1:])
            k = torch.cat([k[:, :, :slots], rotate(k[:, :, slots:], phases)], 2)
        # The last token sees every other under either mask.
        weight = (q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])).softmax(-1)
        shares.append(weight[..., :slots].sum((1, 2, 3)) / block.heads)

    hooks = [block.register_forward_pre_hook(measure) for block in model.blocks if model.config.slots]
    try:
        yield shares
    finally:
        for hook in hooks:
            hook.remove()
