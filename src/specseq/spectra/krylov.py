"""Leading eigenvalues of operators without structure, with error bounds: batched Arnoldi and Lanczos.

For a unit Ritz vector v with residual r = ‖Jv - μv‖, an eigenvalue lies within κ r of μ to first order, where
κ = 1 / |uᵀv| with the unit left vector u. For a non-normal J κ is not small, and a Ritz value without such a
bound can be off on either side: on a stable block, twenty steps of Arnoldi gave ρ = 1.005 instead of 0.988.
The bound shows that there is an eigenvalue near μ, not that none lies further right; a larger space makes
that likelier.

Shapes: B sample, N entry of a flattened state, K Krylov vector.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from specseq.spectra.operators import Map


@dataclass(frozen=True)
class RitzPair:
    """One eigenvalue per sample, with its error bound.

    Attributes:
        mu_B: Ritz value of J, Im ≥ 0.
        residual_B: ‖Jv - μv‖ / ‖v‖.
        kappa_B: condition number from right and left Ritz vectors.
        products: number of products with J and Jᵀ spent; each covers all samples.
    """

    mu_B: Tensor
    residual_B: Tensor
    kappa_B: Tensor
    products: int

    @property
    def error_B(self) -> Tensor:
        """First-order bound on the distance to an eigenvalue."""
        return self.residual_B * self.kappa_B

    def certified(self, margin: float) -> Tensor:
        """Samples whose pair is certified: its error bound is below the margin."""
        return self.error_B < margin


class Arnoldi:
    """A Krylov space for every sample, grown in stages and orthogonalised twice."""

    def __init__(self, product: Map, start: Tensor) -> None:
        self.product, self.like = product, start
        q = start.detach().flatten(1)
        self.basis = [q / q.norm(dim=1, keepdim=True)]
        self.columns: list[Tensor] = []

    def grow(self, size: int) -> None:
        """Grow the space to ``size`` vectors, or until it is exhausted."""
        while len(self.columns) < min(size, self.basis[0].shape[1]):
            w = self.product(self.basis[-1].view_as(self.like)).detach().flatten(1)
            stacked = torch.stack(self.basis, 1)
            column = w.new_zeros(w.shape[0], len(self.basis) + 1)
            for _ in range(2):
                h = stacked @ w.unsqueeze(-1)
                w = w - (stacked.mT @ h).squeeze(-1)
                column[:, :-1] += h.squeeze(-1)
            norm = w.norm(dim=1)
            # In an exhausted space only rounding errors are left; a zero vector ends it for that sample.
            empty = norm <= max(1e-13, 30 * torch.finfo(w.dtype).eps) * column.norm(dim=1)
            column[:, -1] = torch.where(empty, 0.0, norm)
            scale = torch.where(empty, 0.0, 1 / norm.clamp_min(torch.finfo(w.dtype).tiny))
            self.basis.append(w * scale.unsqueeze(-1))
            self.columns.append(column)

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Ritz values ``[B, K]``, their residuals and the coefficients of their vectors ``[B, K, K]``."""
        size = len(self.columns)
        square = torch.stack(
            [torch.nn.functional.pad(c, (0, size + 1 - c.shape[1]))[:, :size] for c in self.columns], -1
        )
        mu, y = torch.linalg.eig(square)
        y = y / y.norm(dim=1, keepdim=True)
        mu = mu.masked_fill(self._empty(y), complex("nan"))
        # An exhausted space has no remainder, but the eigenproblem itself has rounding errors.
        floor = torch.finfo(square.dtype).eps * torch.linalg.matrix_norm(square)
        residual = self.columns[-1][:, -1:].abs() * y[:, -1].abs()
        return mu, residual.maximum(floor.unsqueeze(-1)), y

    def _empty(self, y: Tensor) -> Tensor:
        """Mask of vectors ``y[:, :, k]`` that are supported on zero vectors of an exhausted space."""
        dead = torch.stack([q.norm(dim=1) == 0 for q in self.basis[: y.shape[1]]], 1)
        return (y.abs().square() * dead.unsqueeze(-1)).sum(1) > 0.5

    def symmetric_top(self) -> tuple[Tensor, Tensor]:
        """For a symmetric operator: the largest Ritz value of each sample and its residual."""
        diagonal = torch.stack([column[:, -2] for column in self.columns], 1)
        matrix = torch.diag_embed(diagonal)
        if len(self.columns) > 1:
            beside = torch.stack([column[:, -1] for column in self.columns[:-1]], 1)
            matrix = matrix + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
        values, vectors = torch.linalg.eigh(matrix)
        values = values.masked_fill(self._empty(vectors), -torch.inf)
        index = values.argmax(1)
        tail = _pick(vectors[:, -1], index).abs()
        return _pick(values, index), self.columns[-1][:, -1].abs() * tail

    def vector(self, y_BK: Tensor) -> Tensor:
        """The vector ``[B, N]`` with these coefficients."""
        stacked = torch.stack(self.basis[: y_BK.shape[1]], -1).to(y_BK.dtype)
        return (stacked @ y_BK.unsqueeze(-1)).squeeze(-1)


Score = Callable[[Tensor], Tensor]


def rightmost(mu: Tensor) -> Tensor:
    """Score of the rightmost eigenvalue, which decides the stability of the flow."""
    return mu.real


def fastest(step: float) -> Score:
    """Score of the eigenvalue of largest |1 + εμ|, which decides the stability of Euler's map."""
    return lambda mu: (1 + step * mu).abs()


def limiting(mu: Tensor) -> Tensor:
    """Score of the eigenvalue that limits Euler's step: 2a/|μ|², the nearer to zero the smaller the step."""
    return torch.where(mu.real < 0, 2 * mu.real / mu.abs().square(), mu.real)


def extreme_pairs(
    product: Map,
    rproduct: Map,
    start: Tensor,
    scores: Sequence[Score] = (rightmost,),
    *,
    margin: float = 1e-3,
    size: int = 40,
    largest: int = 200,
) -> list[RitzPair]:
    """The extreme eigenvalues of J by several scores, from one space grown until all are certified.

    A Krylov space of J is also one of every I + εJ, so one space serves all scores.

    Args:
        product: ``v -> J v`` on real states ``[B, ...]``.
        rproduct: ``w -> Jᵀ w``.
        start: any non-zero tensor shaped like a state.
        scores: each is largest at the eigenvalue sought.
        margin: error bound at which to stop.
        size: initial Krylov dimension and increment.
        largest: largest Krylov dimension; a pair from a space of this size may not be certified.

    Returns:
        One pair per score.
    """
    right, left = Arnoldi(product, start), Arnoldi(rproduct, start)
    dimension, last = 0, min(largest, start[0].numel())
    while True:
        dimension = min(dimension + size, last)
        right.grow(dimension)
        left.grow(dimension)
        pairs = [_pair(right, left, score) for score in scores]
        if dimension >= last or all(bool(pair.certified(margin).all()) for pair in pairs):
            return pairs


def _pair(right: Arnoldi, left: Arnoldi, score: Score) -> RitzPair:
    mu, residual, y = right.ritz()
    index = (score(mu) + 1e-9 * mu.imag.sign()).nan_to_num(-torch.inf).argmax(1)
    mu_B, v = _pick(mu, index), right.vector(_pick(y.mT, index))
    other, _, x = left.ritz()
    match = (other - mu_B.unsqueeze(1)).abs().nan_to_num(torch.inf).argmin(1)
    u = left.vector(_pick(x.mT, match))
    kappa_B = u.norm(dim=1) * v.norm(dim=1) / (u * v).sum(1).abs().clamp_min(1e-300)
    return RitzPair(mu_B, _pick(residual, index), kappa_B, len(right.columns) + len(left.columns))


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values[torch.arange(len(index)), index]


def numerical_abscissa(
    product: Map, rproduct: Map, like: Tensor, *, tolerance: float = 1e-6
) -> tuple[Tensor, Tensor]:
    """ω(J) = λ_max((J + Jᵀ)/2) of every sample, by Lanczos with full orthogonalisation.

    ω > 0 means that some perturbation grows at first, α < 0 that all decay in the end; the gap ω - α measures
    non-normality. ω of J_nc = J + (1 + c) I is larger by 1 + c, so state which one is meant. A start vector
    can be orthogonal to the eigenvector sought, and a small space can stop at a wrong Ritz value; hence the
    larger result of two starts with at least forty vectors counts.

    Args:
        like: gives shape, type and device of a state.
        tolerance: residual at which to stop, relative to 1 + |ω|.

    Returns:
        ω, and the residual ‖Sv - ωv‖, which bounds the distance of ω to an eigenvalue of (J + Jᵀ)/2 = S.
    """
    draw = torch.Generator().manual_seed(0)

    def symmetric(v: Tensor) -> Tensor:
        return (product(v) + rproduct(v)) / 2

    omega_B = torch.full((like.shape[0],), -torch.inf, dtype=like.dtype, device=like.device)
    bound_B = torch.full_like(omega_B, torch.inf)
    size, last = 40, min(200, like[0].numel())
    for _ in range(2):
        start = torch.randn(like.shape, generator=draw, dtype=torch.float64).to(like)
        space, dimension = Arnoldi(symmetric, start), 0
        while True:
            dimension = min(dimension + size, last)
            space.grow(dimension)
            value_B, residual_B = space.symmetric_top()
            if dimension >= last or bool((residual_B <= tolerance * (1 + value_B.abs())).all()):
                break
        better = value_B > omega_B
        omega_B = torch.where(better, value_B, omega_B)
        bound_B = torch.where(better, residual_B, bound_B)
    return omega_B, bound_B
