"""Packed batches of every kind of sample, and tiny models."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from specseq.models.moirai.batch import Sample, pack
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai
from specseq.series.batch import PackedBatch

TINY = MoiraiConfig(d_model=16, layers=3, heads=2, patch_sizes=(8, 16, 32), max_length=40)


def sample(variates: int, tokens: int, patch: int, predicted: int, seed: int, missing: float = 0.1) -> Sample:
    """A random walk with holes."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(variates, tokens * patch)).cumsum(1) * rng.uniform(0.5, 20) + rng.normal() * 50
    values[rng.uniform(size=values.shape) < missing] = np.nan
    return Sample(values.astype(np.float32), patch, predicted)


SAMPLES = (
    sample(1, 9, 16, 3, 1),
    sample(3, 5, 8, 2, 2),
    sample(2, 2, 32, 1, 3),
    sample(1, 30, 8, 6, 4),
    sample(4, 2, 16, 1, 5, missing=0.6),
)


@pytest.fixture
def samples() -> tuple[Sample, ...]:
    return SAMPLES


@pytest.fixture
def batch() -> PackedBatch:
    return pack([SAMPLES[:3], SAMPLES[3:]], length=40, slot=32)


@pytest.fixture
def build() -> Callable[..., Moirai]:
    """A tiny float64 model; keywords change its configuration, ``stu`` its spectral layers."""

    def make(stu: dict | None = None, **changes: object) -> Moirai:
        torch.manual_seed(0)
        config = replace(TINY, stu=StuConfig(**{"filters": 5, **(stu or {})}), **changes)
        return Moirai(config).double()

    return make
