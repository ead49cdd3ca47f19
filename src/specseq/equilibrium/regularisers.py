"""Penalties that shape the operator, added to the surrogate of the loss.

Shapes: B sample, T position, C channel, P examined sample.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.penalty_config import (
    JacobianNorm,
    LeadingEigenvalue,
    NumericalAbscissa,
    Penalty,
    ResidualNorm,
)
from specseq.spectra.diagnostics import ritz_radius, subspace_iteration
from specseq.spectra.dominant import dominant_eigenvalues
from specseq.spectra.exact import block_eigenvalues, leading_vectors
from specseq.spectra.krylov import Arnoldi

SQUARED_FROM = 128
"""With at least this many channels, squaring a block is quicker than diagonalising it."""


@dataclass(frozen=True)
class Equilibrium:
    """Where a penalty is taken: the free state of a batch and the generator of the training run.

    Attributes:
        block: its weights carry the gradient.
        x_BTC: input, a function of the weights.
        root_BTC: free state, a constant.
        generator: draws random directions, always for the whole batch.
        rows: in a batch shared by several processes, the number of the first sample here and the batch size.
    """

    block: EquilibriumBlock
    x_BTC: Tensor
    root_BTC: Tensor
    generator: torch.Generator
    step: float = 0.1
    rows: tuple[int, int] | None = None

    @property
    def batch(self) -> int:
        """Number of samples in the whole batch."""
        return len(self.root_BTC) if self.rows is None else self.rows[1]

    def own(self, samples: int) -> slice:
        """This process's samples among the first ``samples`` of the batch, as a slice of the batch."""
        first = 0 if self.rows is None else self.rows[0]
        return slice(first, max(first, min(first + len(self.root_BTC), samples)))

    def normal(self, samples: int, *shape: int) -> Tensor:
        """Standard normal numbers for the first ``samples`` of the batch."""
        size = (min(samples, self.batch), *self.root_BTC.shape[1:], *shape)
        return torch.randn(size, generator=self.generator, dtype=torch.float32).to(self.root_BTC)

    def mean(self, value_P: Tensor, samples: int) -> Tensor:
        """The mean of a value over the first ``samples`` of the batch, given for this process's samples.

        With several processes, their results averaged by number of samples give the mean.
        """
        if self.rows is None:
            return value_P.mean()
        return value_P.sum() * (self.batch / (len(self.root_BTC) * min(samples, self.batch)))


@singledispatch
def penalty(settings: Penalty, at: Equilibrium) -> Tensor:
    """A non-negative scalar whose gradient in the weights is the penalty's gradient at a fixed state.

    It is unweighted; the trainer applies the weight.
    """
    raise TypeError(f"{settings!r} is no penalty")


@penalty.register
def _jacobian(settings: JacobianNorm, at: Equilibrium) -> Tensor:
    """Hutchinson's ‖J_ncᵀ e‖² / ‖e‖² with e standard normal: in the mean ‖J_nc‖²_F / n per sample.

    It shrinks rotation and non-normality along with everything else that the block has learnt.
    """
    all_BTC = at.normal(at.batch)
    e_BTC = all_BTC[at.own(at.batch)]
    z_BTC = at.root_BTC.detach().clone().requires_grad_(True)
    learned = at.block.nonconservative(z_BTC)
    (pulled,) = torch.autograd.grad(learned, z_BTC, e_BTC, create_graph=True)
    return pulled.square().sum() / (all_BTC.square().sum() * (len(e_BTC) / at.batch))


@penalty.register
def _residual(settings: ResidualNorm, at: Equilibrium) -> Tensor:
    """The squared force residual ‖F‖²/‖z‖² at the end of the free phase, averaged over samples."""
    force_BTC = at.block.force(at.root_BTC.detach(), at.x_BTC)
    return (force_BTC.square().sum((1, 2)) / at.root_BTC.square().sum((1, 2))).mean()


@penalty.register
def _eigenvalue(settings: LeadingEigenvalue, at: Equilibrium) -> Tensor:
    """One-sided control of the Euler map: the mean of max(|λ| - margin, 0)² for the leading λ of I + εJ."""
    excess_P = (leading_radius(settings, at) - settings.margin).clamp_min(0)
    return at.mean(excess_P.square(), settings.samples)


@penalty.register
def _abscissa(settings: NumericalAbscissa, at: Equilibrium) -> Tensor:
    """One-sided control of ω(J), the largest eigenvalue of (J + Jᵀ)/2: the mean of max(ω - margin, 0)².

    ω bounds initial growth and says nothing about stability: it is positive for stable and unstable trained
    blocks alike. Kept because the study first used this penalty and later withdrew it.
    """
    excess_P = (differentiable_abscissa(settings, at) - settings.margin).clamp_min(0)
    return at.mean(excess_P.square(), settings.samples)


def leading_radius(settings: LeadingEigenvalue, at: Equilibrium) -> Tensor:
    """|λ| of each examined sample of this process, differentiable in the weights.

    The form ``left_right`` takes λ from the block spectrum and differentiates it with both eigenvectors,
    d|λ| = Re[(λ̄/|λ|) ε uᵀdD v / (uᵀv)] (Magnus 1985), exact while λ is simple. Large blocks are squared
    until their leading mode stands alone (:mod:`specseq.spectra.dominant`) and diagonalised if that fails. A
    large block that cannot exceed the margin gets a bound without a gradient. ``published`` differentiates
    the Ritz value of a two-dimensional right subspace after a few subspace iterations; for a non-normal J it
    yields neither λ nor its gradient, and is kept to show that.
    """
    z_PTC, x_PTC = _looked(settings.samples, at)
    step = at.step if settings.step is None else settings.step
    form = _right_subspace if settings.form == "published" else _left_right
    return form(settings, at, step, z_PTC, x_PTC)


def _looked(samples: int, at: Equilibrium) -> tuple[Tensor, Tensor]:
    """State and input of the examined samples of this process."""
    own = at.own(samples)
    count = own.stop - own.start
    return at.root_BTC[:count].detach(), at.x_BTC[:count]


def _left_right(
    settings: LeadingEigenvalue, at: Equilibrium, step: float, z_PTC: Tensor, x_PTC: Tensor
) -> Tensor:
    length = z_PTC.shape[1]
    looked = torch.arange(length)
    if settings.positions is not None:
        looked = torch.randperm(length, generator=at.generator)[: settings.positions]
    if not len(z_PTC):
        return z_PTC.new_zeros(0)
    looked = looked.to(z_PTC.device)
    blocks_PTCC = diagonal_blocks(at.block, z_PTC, looked).double()
    lam_PT, known_PT = _leading_multipliers(blocks_PTCC, step, settings.margin)
    # A spectrum that is not finite has no leading mode; the loop reports the diverged state.
    radius_P, place_P = lam_PT.abs().nan_to_num(0.0).max(1)
    row = torch.arange(len(place_P), device=place_P.device)
    lam_P, known_P = lam_PT[row, place_P], known_PT[row, place_P]
    if not bool(known_P.any()):
        return radius_P.to(z_PTC.dtype)
    left, right = leading_vectors(blocks_PTCC[row, place_P], (lam_P - 1) / step)
    overlap_P = (left * right).sum(-1)
    weight_P = step * lam_P.conj() / radius_P.clamp_min(1e-300) / overlap_P
    w_PC = torch.where(known_P.unsqueeze(-1), weight_P.unsqueeze(-1) * left, 0.0)
    position_P = looked[place_P]
    # Re(wᵀ D v) with D a function of the weights, by two differentiable vector-Jacobian products.
    z_live = z_PTC.clone().requires_grad_(True)
    local = at.block.local_force(z_live, z_PTC, x_PTC)
    rate_P = torch.zeros_like(radius_P)
    for part_PC, vector_PC in ((w_PC.real, right.real), (-w_PC.imag, right.imag)):
        cotangent = torch.zeros_like(local)
        cotangent[row, position_P] = part_PC.to(local.dtype)
        (pulled,) = torch.autograd.grad(local, z_live, cotangent, create_graph=True)
        rate_P = rate_P + (pulled[row, position_P].double() * vector_PC).sum(-1)
    return (radius_P + rate_P - rate_P.detach()).to(z_PTC.dtype)


def _leading_multipliers(blocks_PTCC: Tensor, step: float, margin: float) -> tuple[Tensor, Tensor]:
    """Eigenvalue of largest modulus of I + εD for each block, and whether its value is valid.

    A value that is not valid is a bound, at most the margin or the modulus of another block of its sample.
    """
    if blocks_PTCC.shape[-1] < SQUARED_FROM:
        lam_PT = _diagonalised(blocks_PTCC, step)
        return lam_PT, torch.ones_like(lam_PT, dtype=torch.bool)
    unit = torch.eye(blocks_PTCC.shape[-1], dtype=blocks_PTCC.dtype, device=blocks_PTCC.device)
    found = dominant_eigenvalues((unit + step * blocks_PTCC).flatten(0, 1), margin)
    lam_PT, bound_PT, known_PT = (
        part.unflatten(0, blocks_PTCC.shape[:2]) for part in (found.value_N, found.bound_N, found.found_N)
    )
    enough_P1 = torch.where(known_PT, lam_PT.abs(), 0.0).amax(1, keepdim=True).clamp_min(margin)
    open_PT = ~known_PT & ~(bound_PT <= enough_P1)
    if bool(open_PT.any()):
        lam_PT = lam_PT.masked_scatter(open_PT, _diagonalised(blocks_PTCC[open_PT], step))
    return lam_PT, known_PT | open_PT


def _diagonalised(blocks_NCC: Tensor, step: float) -> Tensor:
    # Eigenvalues of many small matrices are faster on the CPU, wherever the block lives.
    lam = 1 + step * block_eigenvalues(blocks_NCC.cpu())
    lead = lam.abs().nan_to_num(0.0).argmax(-1, keepdim=True)
    return lam.gather(-1, lead).squeeze(-1).to(blocks_NCC.device)


def _right_subspace(
    settings: LeadingEigenvalue, at: Equilibrium, step: float, z_PTC: Tensor, x_PTC: Tensor
) -> Tensor:
    start = at.normal(settings.samples, 2)[at.own(settings.samples)]
    if not len(z_PTC):
        return z_PTC.new_zeros(0)
    _, _, product = _linearised(at, z_PTC, x_PTC)
    basis = subspace_iteration(product, start, step, settings.iterations)
    images = [product(basis[..., k].view_as(z_PTC), True).flatten(1) for k in range(2)]
    return ritz_radius(basis, basis + step * torch.stack(images, -1))


def _linearised(
    at: Equilibrium, z_PTC: Tensor, x_PTC: Tensor
) -> tuple[Tensor, Tensor, Callable[..., Tensor]]:
    """State, force, and the product with J, which ``create_graph`` makes differentiable in the weights."""
    z_live = z_PTC.clone().requires_grad_(True)
    with torch.enable_grad():
        force = at.block.force(z_live, x_PTC)
        slot = torch.zeros_like(force, requires_grad=True)
        (pullback,) = torch.autograd.grad(force, z_live, slot, create_graph=True)

    def product(v: Tensor, create_graph: bool = False) -> Tensor:
        (image,) = torch.autograd.grad(pullback, slot, v, retain_graph=True, create_graph=create_graph)
        return image

    return z_live, force, product


def differentiable_abscissa(settings: NumericalAbscissa, at: Equilibrium) -> Tensor:
    """ω of each examined sample of this process, differentiable in the weights."""
    z_PTC, x_PTC = _looked(settings.samples, at)
    start = at.normal(settings.samples)[at.own(settings.samples)]
    if not len(z_PTC):
        return z_PTC.new_zeros(0)
    z_live, force, product = _linearised(at, z_PTC, x_PTC)

    def symmetric(v: Tensor) -> Tensor:
        (pulled,) = torch.autograd.grad(force, z_live, v, retain_graph=True)
        return (product(v) + pulled) / 2

    space = Arnoldi(symmetric, start)
    space.grow(settings.size)
    values, _, coefficients = space.ritz()
    lead = values.real.nan_to_num(-torch.inf).argmax(1)
    v = space.vector(coefficients[torch.arange(len(lead)), :, lead]).real
    v_PTC = (v / v.norm(dim=1, keepdim=True)).view_as(z_PTC)
    (pulled,) = torch.autograd.grad(force, z_live, v_PTC, create_graph=True)
    return (pulled * v_PTC).flatten(1).sum(1)
