"""Measurements in common use that are wrong for non-normal operators, kept to show by how much.

No audit depends on them; the published form of a penalty is built on subspace iteration. Each function says
what it misses; :mod:`specseq.spectra.exact` and :mod:`specseq.spectra.krylov` measure the same quantities
properly.

Shapes: B sample, N entry of a flattened state.
"""

import torch
from torch import Tensor

from specseq.spectra.operators import Map


def subspace_iteration(product: Map, start: Tensor, step: float, iterations: int) -> Tensor:
    """An orthonormal pair of vectors after some iterations of the Euler map.

    Args:
        product: ``v -> J v`` on states ``[B, ...]``.
        start: ``[B, ..., 2]``, any two vectors per sample.
        step: ε.
        iterations: applications of the map to the pair.

    Returns:
        ``[B, N, 2]``.
    """
    shape = start.shape[:-1]
    pair_BN2 = torch.linalg.qr(start.detach().flatten(1, -2))[0]
    for _ in range(iterations):
        images = [product(pair_BN2[..., k].reshape(shape)).detach().flatten(1) for k in range(2)]
        pair_BN2 = torch.linalg.qr(pair_BN2 + step * torch.stack(images, -1))[0]
    return pair_BN2


def ritz_radius(basis_BN2: Tensor, image_BN2: Tensor) -> Tensor:
    """Largest modulus of the two Ritz values of a map, from an orthonormal pair and its image."""
    quotient = basis_BN2.mT @ image_BN2
    half = (quotient[:, 0, 0] + quotient[:, 1, 1]) / 2
    determinant = quotient[:, 0, 0] * quotient[:, 1, 1] - quotient[:, 0, 1] * quotient[:, 1, 0]
    gap = half.square() - determinant
    # A complex pair has modulus √det; the unused branch is kept away from its singularity.
    complex_pair = gap < 0
    modulus = determinant.where(complex_pair, torch.ones_like(gap)).sqrt()
    real = half.abs() + gap.where(~complex_pair & (gap > 0), torch.ones_like(gap)).sqrt()
    real = real.where(gap != 0, half.abs())
    return modulus.where(complex_pair, real)


def subspace_radius(product: Map, start: Tensor, step: float, iterations: int) -> Tensor:
    """ρ(ε) by two-dimensional subspace iteration on I + εJ, one value per sample.

    Misses: the leading pair is separated from the bulk only by about ε, so a handful of iterations ends in a
    mixture of modes, and the Ritz value of a mixture of non-orthogonal modes is not an eigenvalue.
    """
    pair = subspace_iteration(product, start, step, iterations)
    shape = start.shape[:-1]
    images = [product(pair[..., k].reshape(shape)).flatten(1) for k in range(2)]
    return ritz_radius(pair, pair + step * torch.stack(images, -1))


def power_radius(rproduct: Map, start: Tensor, step: float, iterations: int) -> Tensor:
    """ρ(ε) by the power method on (I + εJ)ᵀ with one real vector and the Rayleigh quotient |vᵀMv|.

    Misses: a complex pair rotates a real vector forever, so the quotient oscillates and never settles.

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
