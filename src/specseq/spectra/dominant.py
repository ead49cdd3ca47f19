"""The eigenvalue of largest modulus of many matrices by repeated squaring, in batched products.

M^n with n = 2^k turns any start towards the dominant modes, so a few of its images span them, and a
Rayleigh-Ritz step on M yields the eigenvalues with residuals. Gelfand's formula shows that none was missed:
the spectral radius is at most ‖M^n‖^(1/n) for every n.

Shapes: N matrix, C row, V vector of the space.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

SQUARINGS = 14
"""Up to M^16384, in which a mode 0.1 % smaller than the largest is damped by e^-16."""
VECTORS = 16
"""Number of images that span the dominant modes."""
# Residual, in units of the matrix' norm, at which a Ritz pair counts as an eigenpair.
_SETTLED = 1e-9
# Largest relative excess of the bound over the radius; it is (√C κ)^(1/n) - 1 for modes of condition κ.
_SLACK = 2e-3


@dataclass(frozen=True)
class Dominant:
    """Eigenvalues of largest modulus, or bounds where they were not found.

    Attributes:
        value_N: the eigenvalue, complex; the one with Im ≥ 0 of a conjugate pair. The bound, if not found.
        bound_N: upper bound on the modulus of all eigenvalues.
        found_N: whether the value is the eigenvalue.
    """

    value_N: Tensor
    bound_N: Tensor
    found_N: Tensor


@torch.no_grad()
def dominant_eigenvalues(matrices_NCC: Tensor, enough: float = 0.0) -> Dominant:
    """The eigenvalue of largest modulus of each matrix.

    Args:
        matrices_NCC: real and in double precision, on any device.
        enough: bounds are not refined further once all are at most this.
    """
    power_NCC, bound_N = _powers(matrices_NCC, enough)
    size = matrices_NCC.shape[-1]
    draw = torch.Generator().manual_seed(size)
    start = torch.randn(size, min(VECTORS, size), generator=draw, dtype=torch.float64)
    basis_NCV = torch.linalg.qr(power_NCC @ start.to(power_NCC))[0]
    image_NCV = matrices_NCC @ basis_NCV
    # Matrices of 16 rows are faster on the CPU, wherever the large ones lie.
    quotient_NVV = (basis_NCV.mT @ image_NCV).cpu()
    finite = torch.isfinite(quotient_NVV).all(-1).all(-1)[:, None, None]
    values_NV, vectors_NVV = (
        part.to(matrices_NCC.device) for part in torch.linalg.eig(torch.where(finite, quotient_NVV, 0.0))
    )
    off_NCV = image_NCV.to(values_NV.dtype) @ vectors_NVV
    off_NCV -= (basis_NCV.to(values_NV.dtype) @ vectors_NVV) * values_NV.unsqueeze(-2)
    scale_N = torch.linalg.vector_norm(matrices_NCC, dim=(-2, -1))
    settled_NV = off_NCV.norm(dim=-2) <= _SETTLED * scale_N.unsqueeze(-1)
    radius_N, lead_N = torch.where(settled_NV, values_NV.abs(), 0.0).max(-1)
    value_N = values_NV.gather(-1, lead_N.unsqueeze(-1)).squeeze(-1)
    value_N = torch.complex(value_N.real, value_N.imag.abs())
    found_N = radius_N >= (1 - _SLACK) * bound_N
    return Dominant(torch.where(found_N, value_N, bound_N.to(value_N.dtype)), bound_N, found_N)


def _powers(matrices_NCC: Tensor, enough: float) -> tuple[Tensor, Tensor]:
    """M^n scaled to unit norm, and the least of the bounds ‖M^m‖^(1/m) found on the way."""
    power_NCC, logarithm_N = matrices_NCC, torch.zeros_like(matrices_NCC[:, 0, 0])
    bound_N = torch.full_like(logarithm_N, torch.inf)
    for squaring in range(SQUARINGS + 1):
        size_N = torch.linalg.vector_norm(power_NCC, dim=(-2, -1))
        size_N = size_N.clamp_min(torch.finfo(size_N.dtype).tiny)
        power_NCC = power_NCC / size_N[:, None, None]
        logarithm_N = logarithm_N + size_N.log()
        bound_N = torch.minimum(bound_N, (logarithm_N / 2**squaring).exp())
        # Reading the value stalls an accelerator, so this is not done at each squaring.
        if squaring == SQUARINGS or (squaring % 4 == 3 and bool((bound_N <= enough).all())):
            break
        power_NCC, logarithm_N = power_NCC @ power_NCC, 2 * logarithm_N
    return power_NCC, bound_N
