"""Stability of the flow z' = F(z) and its Euler map I + εJ from the eigenvalues μ = a + ib of the Jacobian J.

All functions reduce the last axis, which runs over the modes. A spectrum with a non-finite value gives NaN.
"""

import math

import torch
from torch import Tensor


def _known(mu: Tensor, value: Tensor) -> Tensor:
    bad = ~torch.isfinite(mu.real + mu.imag).all(-1)
    return value.masked_fill(bad, float("nan"))


def leading_mode(mu: Tensor) -> Tensor:
    """The rightmost eigenvalue, with Im ≥ 0 for a conjugate pair; its real part is the abscissa α."""
    index = mu.real.nan_to_num(-torch.inf).argmax(-1, keepdim=True)
    lead = mu.gather(-1, index).squeeze(-1)
    return torch.complex(_known(mu, lead.real), lead.imag.abs())


def spectral_abscissa(mu: Tensor) -> Tensor:
    """α = max Re μ: the flow is stable if and only if it is negative."""
    return _known(mu, mu.real.amax(-1))


def spectral_radius(mu: Tensor, step: float) -> Tensor:
    """ρ(ε) = max |1 + εμ|: the Euler map with step ε is stable if and only if it is below one."""
    return _known(mu, (1 + step * mu).abs().amax(-1))


def critical_step(mu: Tensor) -> tuple[Tensor, Tensor]:
    """The largest stable Euler step and the mode that limits it.

    |1 + εμ| < 1 holds for ε < -2a / (a² + b²) when a < 0 and for no step when a ≥ 0. The limiting mode is
    often not the rightmost one: a fast rotation far to the left can be the first to leave the unit disc.

    Returns:
        ``ε_crit`` (0 where some a ≥ 0) and the limiting eigenvalue with Im ≥ 0.
    """
    size = mu.abs()
    steps = -2 * mu.real / size.square()
    # The square of a very small or large modulus under- or overflows.
    steps = torch.where(torch.isfinite(steps) & (steps != 0), steps, -2 * (mu.real / size) / size)
    steps = torch.where(mu.real < 0, steps, 0.0)
    limit, index = steps.min(-1)
    mode = mu.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    # If several modes rule out every step, report the rightmost.
    mode = torch.where(limit > 0, mode, leading_mode(mu))
    return _known(mu, limit), torch.complex(_known(mu, mode.real), mode.imag.abs())


def settling_time(mu: Tensor) -> Tensor:
    """Time in which the slowest mode of the flow decays to 2 %, ln 50 / -α; infinite where α ≥ 0."""
    alpha = spectral_abscissa(mu)
    return torch.where(alpha < 0, math.log(50) / -alpha, alpha.abs() + torch.inf)


def damping_ratio(mu: Tensor) -> Tensor:
    """min -Re μ / |μ|: 1 if nothing rotates, near 0 if a mode rings, negative if one grows."""
    size = mu.abs().clamp_min(torch.finfo(mu.real.dtype).tiny)
    return _known(mu, (-mu.real / size).amin(-1))


def largest_rotation(mu: Tensor) -> Tensor:
    """max |Im μ|: the fastest rotation in the spectrum."""
    return _known(mu, mu.imag.abs().amax(-1))
