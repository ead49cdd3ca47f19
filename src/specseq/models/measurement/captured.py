"""What modules inside a model are given for a batch."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from specseq.models.moirai.model import Moirai
from specseq.models.stu.layer import SpectralTransformUnit
from specseq.series.batch import PackedBatch


def spectral_units(model: Moirai) -> list[SpectralTransformUnit]:
    """The model's spectral transform units, from the first layer on."""
    return [module for module in model.modules() if isinstance(module, SpectralTransformUnit)]


def mixers(model: Moirai) -> list[nn.Module]:
    """What mixes tokens in each layer, from the first on."""
    return [block.get_submodule("mixer") for block in model.encoder.blocks]


@torch.no_grad()
def inputs_of(modules: Sequence[Any], model: Moirai, batch: PackedBatch) -> list[tuple[Any, ...]]:
    """``(module, tokens, context)`` for each module, in the order of a forward pass; tokens are copies."""
    caught: list[tuple[Any, ...]] = []

    def catch(module: nn.Module, given: tuple[Any, ...]) -> None:
        caught.append((module, given[0].clone(), *given[1:]))

    handles = [module.register_forward_pre_hook(catch) for module in modules]
    try:
        model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return caught
