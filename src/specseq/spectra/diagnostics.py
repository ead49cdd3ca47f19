"""Measurements in common use that are wrong for non-normal operators, kept to show by how much.

No result depends on them. Each function says what it misses; :mod:`specseq.spectra.exact` and
:mod:`specseq.spectra.krylov` measure the same quantities properly.
"""

import torch
from torch import Tensor

from specseq.spectra.operators import Map
from specseq.spectra.subspace import ritz_radius, subspace_iteration


def subspace_radius(product: Map, start: Tensor, step: float, iterations: int) -> Tensor:
    """ρ(ε) by two-dimensional subspace iteration on I + εJ, one value per sample.

    Misses: the leading pair is separated from the bulk only by about ε, so a handful of iterations ends in a
    mixture of modes, and the Ritz value of a mixture of non-orthogonal modes is not an eigenvalue.

    Args:
        product: ``v -> J v``.
        start: ``[B, ..., 2]``.
        step: ε.
        iterations: applications of the map.
    """
    pair = subspace_iteration(product, start, step, iterations)
    shape = start.shape[:-1]
    images = [product(pair[..., k].reshape(shape)).flatten(1) for k in range(2)]
    return ritz_radius(pair, pair + step * torch.stack(images, -1))


def power_radius(rproduct: Map, start: Tensor, step: float, iterations: int) -> Tensor:
    """ρ(ε) by the power method on (I + εJ)ᵀ with one real vector and the Rayleigh quotient |vᵀMv|.

    Misses: a complex pair rotates a real vector for ever, so the quotient oscillates and never settles.

    Returns:
        ``[iterations, B]``, the estimate after each product.
    """
    v, seen = start, []
    for _ in range(iterations):
        v = v / _norm(v)
        w = v + step * rproduct(v)
        seen.append((v * w).flatten(1).sum(1).abs())
        v = w
    return torch.stack(seen)


def power_abscissa(product: Map, rproduct: Map, start: Tensor, iterations: int, leak: float) -> Tensor:
    """ω of J_nc by power iteration on its symmetric part, without a shift, one value per sample.

    Misses: it converges to the eigenvalue of largest modulus, which is often at the other end of the
        spectrum, and then reports a strongly negative ω where the truth is positive.
    """
    v = start / _norm(start)
    value = torch.zeros(start.shape[0], dtype=start.dtype)
    for _ in range(iterations):
        w = (product(v) + rproduct(v)) / 2 + leak * v
        value = (v * w).flatten(1).sum(1)
        v = w / _norm(w)
    return value


def difference_product(field: Map, state: Tensor, scale: float, central: bool) -> Map:
    """``v -> J v`` by finite differences of relative size ``scale``.

    Misses: in single precision α has an error near 5e-5 (central) or 1e-3 (one-sided); exact products give
    4e-8.
    """
    reference = field(state)

    def product(v: Tensor) -> Tensor:
        h = scale * _norm(state) / _norm(v)
        if central:
            return (field(state + h * v) - field(state - h * v)) / (2 * h)
        return (field(state + h * v) - reference) / h

    return product


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim)), keepdim=True)
