"""Test of "emergent Hermiticity": are a model's attention forms more symmetric than expected by chance?

The note names neither matrix nor ensemble. Here the matrix is the bilinear form A = Qᵀ K of each
attention head, by which tokens x and y have the logit xᵀ A y / √E; it is real, so Hermitian means
symmetric. Its symmetry is σ = tr(A A) / tr(A Aᵀ): 1 if A is symmetric, -1 if antisymmetric, about 0 for
unrelated entries.

The null keeps the norms of all channels in queries and in keys and flips the signs of the keys' channels
at random: A becomes A S with S diagonal of ±1. This leaves the distribution of independent weights, such as
the initial ones, unchanged and destroys any symmetry off the diagonal.

Shapes: D width, E head width.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from specseq.spacings.attention import Block
from specseq.spacings.model import SpacingModel

Array = NDArray[np.float64]


class Hermiticity(NamedTuple):
    """Mean symmetry over heads, its mean and z-score under the null, and the two-sided p-value."""

    symmetry: float
    null: float
    z: float
    p: float


def hermiticity(model: SpacingModel, rng: np.random.Generator, draws: int = 1000) -> Hermiticity:
    """The test over all heads of all blocks together, with ``draws`` sets of random signs.

    NaN throughout for a model without attention, or where a head's form is zero or not finite.
    """
    observed, null, heads = 0.0, np.zeros(draws), 0
    for form_DD in attention_forms(model):
        products = form_DD * form_DD.T / (form_DD**2).sum()
        signs = rng.choice([-1.0, 1.0], size=(draws, len(form_DD)))
        observed += products.sum()
        null += ((signs @ products) * signs).sum(axis=1)
        heads += 1
    if not heads or not math.isfinite(observed):
        return Hermiticity(math.nan, math.nan, math.nan, math.nan)
    beyond = np.abs(null - null.mean()) >= abs(observed - null.mean()) - 1e-12
    z = (observed - null.mean()) / null.std()
    return Hermiticity(observed / heads, null.mean() / heads, z, (1 + beyond.sum()) / (1 + draws))


def attention_forms(model: SpacingModel) -> Iterator[Array]:
    """The form A (D, D) of each head, block by block."""
    for block in model.blocks:
        assert isinstance(block, Block)
        weight = block.qkv.weight.detach().double().numpy()
        queries, keys = weight.reshape(3, block.heads, -1, weight.shape[1])[:2]
        yield from (q.T @ k for q, k in zip(queries, keys, strict=True))
