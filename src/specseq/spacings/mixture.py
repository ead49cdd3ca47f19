"""A mixture of normal distributions: densities, entropies, scores and samples.

Shapes: the last axis of ``log_weight``, ``mean`` and ``scale`` is K, the components; everything before it
is the batch shape, which the methods return.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


class Mixture(NamedTuple):
    """Normal mixture with log weights that sum to one in probability."""

    log_weight: Tensor
    mean: Tensor
    scale: Tensor

    def __getitem__(self, index: object) -> "Mixture":  # type: ignore[override]
        """Index the batch shape; components stay."""
        return Mixture(*(part[index] for part in tuple(self)))  # type: ignore[index]

    def double(self) -> "Mixture":
        return Mixture(*(part.double() for part in tuple(self)))

    def log_prob(self, y: Tensor) -> Tensor:
        """Log density at y; far from a component, where squares would overflow, its term stays constant."""
        farthest = 1e100 if self.mean.dtype == torch.float64 else 1e9
        z = (y[..., None] - self.mean).clamp(-farthest, farthest) / self.scale
        return torch.logsumexp(self.log_weight - torch.log(self.scale) - 0.5 * z * z, -1) - _LOG_ROOT_2PI

    def expectation(self) -> Tensor:
        return (self.log_weight.exp() * self.mean).sum(-1)

    def cdf(self, y: Tensor) -> Tensor:
        """P(s ≤ y); at the observation this is the probability integral transform."""
        return (self.log_weight.exp() * torch.special.ndtr((y[..., None] - self.mean) / self.scale)).sum(-1)

    def weight_entropy(self) -> Tensor:
        """Entropy of the mixture's weights, in nats: at most ln K. No measure of predictive uncertainty."""
        weight = self.log_weight.exp()
        return -torch.where(weight == 0, 0.0, weight * self.log_weight).sum(-1)

    def predictive_entropy(self) -> Tensor:
        """Differential entropy of the density, in nats: E[-ln p] by the trapezoidal rule.

        Each component has 513 nodes of its own, over 8.5 standard deviations to either side,
        so that narrow and wide components are resolved alike and the result does not depend on how many
        components share a density.
        """
        x = torch.linspace(-8.5, 8.5, 513, dtype=self.mean.dtype, device=self.mean.device)
        share = torch.exp(-x.square() / 2)
        nodes = self.mean[..., None] + self.scale[..., None] * x
        every = Mixture(*(part.unsqueeze(-2) for part in tuple(self)))
        values = -every.log_prob(nodes.flatten(-2)).unflatten(-1, nodes.shape[-2:])
        return (self.log_weight.exp() * (values @ share / share.sum())).sum(-1)

    def crps(self, y: Tensor) -> Tensor:
        """Continuous ranked probability score in closed form (Grimit et al. 2006, QJRMS 132)."""
        weight = self.log_weight.exp()
        near = (weight * _absolute_moment(y[..., None] - self.mean, self.scale)).sum(-1)
        spread = torch.sqrt(self.scale[..., :, None] ** 2 + self.scale[..., None, :] ** 2)
        apart = _absolute_moment(self.mean[..., :, None] - self.mean[..., None, :], spread)
        return near - 0.5 * (weight[..., :, None] * weight[..., None, :] * apart).sum((-2, -1))

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw per mixture; NaN where a parameter is.

        Gradients pass through mean and scale of the component drawn, but not through the choice of component.
        """
        shape, dtype, device = (*self.mean.shape[:-1], 1), self.mean.dtype, self.mean.device
        u = torch.rand(shape, generator=generator, dtype=dtype, device=device)
        component = (
            (self.log_weight.exp().cumsum(-1) < u).sum(-1, keepdim=True).clamp(max=self.mean.shape[-1] - 1)
        )
        noise = torch.randn(shape, generator=generator, dtype=dtype, device=device)
        draw = (self.mean.gather(-1, component) + self.scale.gather(-1, component) * noise).squeeze(-1)
        faulty = torch.stack(tuple(self)).isnan().any(0).any(-1)
        return torch.where(faulty, torch.nan, draw)


def _absolute_moment(mean: Tensor, scale: Tensor) -> Tensor:
    """E|X| of a normal variable."""
    z = mean / scale
    density = torch.exp(-0.5 * z * z - _LOG_ROOT_2PI)
    return 2 * scale * density + mean * (2 * torch.special.ndtr(z) - 1)
