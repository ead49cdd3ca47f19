"""Restart-free GMRES for a batch of independent linear systems (Saad & Schultz 1986).

Shapes: B sample, N entry of a flattened state, K Krylov vector.
"""

import torch
from torch import Tensor

from specseq.spectra.operators import Map


def gmres(
    product: Map, right: Tensor, size: int = 40, tolerance: float | Tensor = 1e-2
) -> tuple[Tensor, Tensor]:
    """Solve A x = b for every sample at once.

    Args:
        product: ``v -> A v`` on real states ``[B, ...]``, samples not interacting.
        right: b.
        size: largest Krylov space.
        tolerance: relative residual at which to stop, one number or one per sample; all samples continue
            until the last one reaches it.

    Returns:
        x, and the relative residual reached by each sample. A zero right side gives a zero solution.
    """
    b_BN = right.flatten(1)
    scale_B = b_BN.norm(dim=1)
    tiny = torch.finfo(b_BN.dtype).tiny
    basis = [b_BN / scale_B.clamp_min(tiny).unsqueeze(-1)]
    samples = b_BN.shape[0]
    hessenberg = b_BN.new_zeros(samples, size + 1, size)
    goal = b_BN.new_zeros(samples, size + 1, 1)
    goal[:, 0, 0] = 1
    y = b_BN.new_zeros(samples, 0, 1)
    residual_B = torch.ones_like(scale_B)
    for k in range(size):
        w = product(basis[k].view_as(right)).flatten(1)
        stacked = torch.stack(basis, 1)
        for _ in range(2):  # twice is enough for orthogonality (Giraud et al. 2005)
            h = stacked @ w.unsqueeze(-1)
            w = w - (stacked.mT @ h).squeeze(-1)
            hessenberg[:, : k + 1, k] += h.squeeze(-1)
        norm_B = w.norm(dim=1)
        hessenberg[:, k + 1, k] = norm_B
        y = _least_squares(hessenberg[:, : k + 2, : k + 1], goal[:, : k + 2])
        residual_B = (hessenberg[:, : k + 2, : k + 1] @ y - goal[:, : k + 2]).norm(dim=(1, 2))
        # An exhausted Krylov space has nothing to add; a zero vector keeps the batch in step.
        alive = norm_B > 1e-14 * hessenberg[:, : k + 1, k].norm(dim=1)
        basis.append(torch.where(alive, 1 / norm_B.clamp_min(tiny), 0.0).unsqueeze(-1) * w)
        if bool(((residual_B <= tolerance) | ~torch.isfinite(residual_B) | (scale_B == 0)).all()):
            break
    x_BN = (torch.stack(basis[: y.shape[1]], -1) @ y).squeeze(-1) * scale_B.unsqueeze(-1)
    return x_BN.view_as(right), torch.where(scale_B == 0, 0.0, residual_B)


def _least_squares(matrix: Tensor, right: Tensor) -> Tensor:
    finite = torch.isfinite(matrix).all(-1).all(-1)
    q, r = torch.linalg.qr(torch.where(finite[:, None, None], matrix, 0.0))
    # An exhausted sample has zero columns; their weights do not matter, since their basis vectors are zero.
    empty = r.diagonal(dim1=-2, dim2=-1).abs() <= 1e-14 * matrix.abs().amax((-2, -1), keepdim=True)[..., 0]
    r = r + torch.diag_embed(empty.to(r))
    return torch.linalg.solve_triangular(r, q.mT @ right, upper=True)
