"""The exact spectrum of a causal operator from its diagonal blocks.

When the force at position t depends only on positions ≤ t, the Jacobian is block lower-triangular over
positions, and its spectrum is the union of the spectra of the C×C diagonal blocks D_t = ∂F_t/∂z_t. All blocks
follow from C vector-Jacobian products of the force with its context frozen, one per channel, each with
one-hot cotangents at every sample and position at once.

Shapes: B sample, T position, C channel, P probe.
"""

import math

import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.spectra.operators import Jacobian, Map


def diagonal_jacobian_blocks(own: Map, z_BTC: Tensor) -> Tensor:
    """Own-position Jacobian blocks at every sample and position.

    Args:
        own: the force as a function of each position's own state, with all other positions frozen: output
            ``[b, t]`` depends only on input ``[b, t]``.

    Returns:
        ``D[b, t, i, j] = ∂F[b, t, i] / ∂z[b, t, j]``.
    """
    z_BTC = z_BTC.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        force_BTC = own(z_BTC)
    blocks_BTCC = z_BTC.new_empty(*z_BTC.shape, z_BTC.shape[-1])
    cotangent_BTC = torch.zeros_like(force_BTC)
    for channel in range(z_BTC.shape[-1]):
        cotangent_BTC[..., channel] = 1
        (row,) = torch.autograd.grad(force_BTC, z_BTC, cotangent_BTC, retain_graph=True)
        cotangent_BTC[..., channel] = 0
        blocks_BTCC[..., channel, :] = row
    return blocks_BTCC


def block_eigenvalues(blocks_BTCC: Tensor) -> Tensor:
    """Eigenvalues of every block, ``[B, T, C]`` complex; NaN where a block is not finite."""
    flat = blocks_BTCC.flatten(0, -3)
    finite = torch.isfinite(flat).all(-1).all(-1)
    dtype = torch.complex128 if flat.dtype == torch.float64 else torch.complex64
    mu = torch.full(flat.shape[:-1], complex("nan"), dtype=dtype, device=flat.device)
    if finite.any():
        mu[finite] = torch.linalg.eigvals(flat[finite])
    return mu.unflatten(0, blocks_BTCC.shape[:-2])


def leading_vectors(blocks_BTCC: Tensor, mu_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right eigenvectors of one chosen eigenvalue of each block, by inverse iteration.

    Returns:
        ``u_BTC`` with ``uᵀ D = μ uᵀ`` and ``v_BTC`` with ``D v = μ v``, complex, of unit norm.
    """
    left_BTC = mu_BT.new_empty(blocks_BTCC.shape[:-1])
    right_BTC = torch.empty_like(left_BTC)
    real_BT = mu_BT.imag == 0
    # Real eigenvalues have real vectors, at a quarter of the cost.
    for which, shift in ((real_BT, mu_BT.real), (~real_BT, mu_BT)):
        if which.any():
            left_BTC[which], right_BTC[which] = (
                vectors.to(mu_BT.dtype) for vectors in _inverse_iteration(blocks_BTCC[which], shift[which])
            )
    return left_BTC, right_BTC


def _inverse_iteration(blocks_NCC: Tensor, mu_N: Tensor) -> tuple[Tensor, Tensor]:
    """Left and right vectors of N blocks in the precision of ``mu_N``."""
    channels, numbers = blocks_NCC.shape[-1], torch.finfo(blocks_NCC.dtype)
    # Vectors do not depend on the unit, and in this one no solve under- or overflows.
    unit_N = _power_of_two(blocks_NCC)
    blocks_NCC, mu_N = blocks_NCC / unit_N[:, None, None], mu_N / unit_N
    # At least a half, unless the block is zero.
    scale_N = torch.linalg.vector_norm(blocks_NCC, torch.inf, dim=(-2, -1)).clamp_min(0.5)
    shifted = blocks_NCC.to(mu_N.dtype, copy=True)
    # The shift misses the eigenvalue by a few roundings, so that the factorisation is not exactly singular.
    shifted.diagonal(dim1=-2, dim2=-1).sub_((mu_N + 8 * numbers.eps * scale_N).unsqueeze(-1))
    factors, pivots, _ = torch.linalg.lu_factor_ex(shifted)
    generator = torch.Generator(device="cpu").manual_seed(channels)
    start = torch.randn(channels, 1, generator=generator, dtype=torch.float64).to(shifted)
    right = left = start.expand(len(mu_N), channels, 1)
    # Two solves reach working precision unless eigenvalues coincide.
    for _ in range(2):
        right = _unit(torch.linalg.lu_solve(factors, pivots, right))
        # uᵀ(D - μ) = 0 is (D - μ)ᵀ u = 0; conjugation turns the adjoint solve into the transposed one.
        left = _unit(torch.linalg.lu_solve(factors, pivots, left.conj(), adjoint=True).conj())
    return left.squeeze(-1), right.squeeze(-1)


def _power_of_two(blocks: Tensor) -> Tensor:
    """The size of each block as a power of two, so that dividing by it rounds nothing."""
    exponent = torch.frexp(blocks.abs().amax((-2, -1))).exponent
    limit = int(math.log2(torch.finfo(blocks.dtype).max)) - 3
    return torch.pow(2.0, exponent.clamp(-limit, limit).to(blocks.dtype))


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-2, keepdim=True)


def eigenvalue_condition(left: Tensor, right: Tensor) -> Tensor:
    """κ = ‖u‖‖v‖ / |uᵀv|: a perturbation of size δ moves the eigenvalue by at most κδ to first order.

    For a block of a triangular operator this is a lower bound on κ of the whole operator, whose eigenvectors
    extend these with the same uᵀv.
    """
    overlap = (left * right).sum(-1).abs()
    return left.norm(dim=-1) * right.norm(dim=-1) / overlap


def rounding_error(blocks_BTCC: Tensor, kappa_BT: Tensor) -> Tensor:
    """Largest shift of an eigenvalue of condition κ by rounding: C κ ‖D‖ times the unit of rounding.

    Computed eigenvalues are exact for a block that differs by about ε‖D‖; the true block's eigenvalues lie
    in discs of C times their first-order shift (Wilkinson 1965). A defective eigenvalue of multiplicity C
    needs the factor C: its shift is C times κ ε ‖D‖. Never zero: not even a zero block decides a sign.
    """
    channels, numbers = blocks_BTCC.shape[-1], torch.finfo(blocks_BTCC.dtype)
    unit_BT = _power_of_two(blocks_BTCC)
    size_BT = torch.linalg.vector_norm(blocks_BTCC / unit_BT[..., None, None], dim=(-2, -1)) * unit_BT
    return (channels * numbers.eps * size_BT * kappa_BT).clamp_min(numbers.tiny)


def check_causal(force: Map, blocks_BTCC: Tensor, z_BTC: Tensor, probes: int = 4) -> None:
    """Refuse an operator whose spectrum is not that of the blocks.

    A random tangent at one position must not affect earlier positions and must map at its own position as the
    block does. The probed positions are spread over the sequence and differ between samples.

    Raises:
        InputError: the operator looks ahead, or the blocks are not its diagonal blocks.
    """
    samples, length, _ = z_BTC.shape
    jacobian = Jacobian(force, z_BTC)
    generator = torch.Generator(device="cpu").manual_seed(length)
    tolerance = 1e3 * torch.finfo(z_BTC.dtype).eps
    row = torch.arange(samples)
    for probe in range(min(probes, length)):
        # The last position is always probed, since it sees the whole context.
        at = (length - 1 - (probe * length) // min(probes, length) - row) % length
        tangent = torch.zeros_like(z_BTC)
        tangent[row, at] = torch.randn(samples, z_BTC.shape[-1], generator=generator).to(z_BTC)
        image = jacobian.matvec(tangent)
        scale = image.abs().max().clamp_min(tangent.abs().max())
        early = torch.arange(length)[None, :] < at[:, None]
        leak = (image.abs().amax(-1) * early.to(z_BTC)).max()
        if not leak <= tolerance * scale:
            raise InputError(
                "operator",
                "not causal: a position moves the force at an earlier one",
                "use specseq.spectra.krylov_audit, which needs no structure",
            )
        expected = (blocks_BTCC[row, at] @ tangent[row, at].unsqueeze(-1)).squeeze(-1)
        if not (image[row, at] - expected).abs().max() <= tolerance * scale:
            raise InputError(
                "operator",
                "the diagonal blocks disagree with its Jacobian",
                "give the blocks of the same force at the same state",
            )
