"""Two-dimensional subspace iteration on the Euler map I + εJ, with its 2×2 Rayleigh quotient.

This is a diagnostic, not a measurement: from a random start a handful of iterations does not reach the
leading pair of a non-normal J, and the error of the Ritz value exceeds the margins of interest. See
``krylov``.

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
