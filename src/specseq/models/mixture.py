"""MOIRAI's predictive distribution: a mixture of four families (Woo et al. 2024, section 3.2.2).

Student-T for heavy tails, a narrow Normal for certainty, a negative binomial for counts, and a log-normal for
right-skewed values, all on the standardised scale. The negative binomial's mass function serves as a density
on the reals >= 0, as published; for sampling and inversion it is restricted to the integers.

Shapes: Q points, C = 4 components, 12 raw parameters per point (see
:data:`~specseq.models.mixture_density.PARAMETERS`), V quantile levels.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from specseq.models.mixture_density import NORMAL_SCALE, LogDensity, Parameters

Floats = NDArray[np.float64]
_TOLERANCE = 1e-6
_GRID = 12
# Rate above which normal draws replace Poisson draws, which torch makes as integers.
_LARGE_RATE = 1e15


class Mixture(Parameters):
    """The distribution at Q points, made from unconstrained parameters."""

    def log_prob(self, x_Q: Tensor) -> Tensor:
        """Log density ``[Q]``; differentiable once, in the raw parameters only."""
        log_prob_Q: Tensor = LogDensity.apply(self.raw_12Q, self, x_Q)
        return log_prob_Q

    @torch.no_grad()
    def sample(self, count: int, rng: torch.Generator | None = None) -> Tensor:
        """``[count, Q]`` draws."""
        weights_QC = self.log_weights_CQ.exp().T
        chosen = torch.multinomial(weights_QC, count, replacement=True, generator=rng).T
        shape = (count, weights_QC.shape[0])

        def gamma(concentration_Q: Tensor) -> Tensor:
            return torch._standard_gamma(concentration_Q.expand(shape), generator=rng)

        def normal() -> Tensor:
            return torch.randn(shape, generator=rng, dtype=weights_QC.dtype, device=weights_QC.device)

        largest = torch.finfo(weights_QC.dtype).max
        chi_square = 2 * gamma(0.5 * self.student_df)
        rates = (gamma(self.count) * self.logits.exp()).nan_to_num(0.0, largest)
        student = self.student_loc + self.student_scale * normal() * (self.student_df / chi_square).sqrt()
        narrow = self.normal_loc + NORMAL_SCALE * normal()
        counts = torch.poisson(rates.clamp_max(_LARGE_RATE), generator=rng)
        log_normal = (self.log_normal_loc + self.log_normal_scale * normal()).exp()
        counts = torch.where(rates < _LARGE_RATE, counts, (rates + rates.sqrt() * normal()).round())
        draws = torch.stack([student, narrow, counts, log_normal])
        return draws.gather(0, chosen[None])[0].clamp(-largest, largest)

    def cdf(self, x_Q: Floats) -> Floats:
        """Probability ``[Q]`` of a value up to ``x``, whose last axis is Q."""
        return _Inverter(self).cdf(x_Q)

    def quantile(self, levels: tuple[float, ...]) -> Floats:
        """``[V, Q]`` quantiles at increasing levels, by inversion of the distribution function: no sampling.

        They are exact to 1e-6, relative to their magnitude or to 1 if that is larger, or to 1e-7 in
        probability; whole numbers if only the negative binomial has weight; NaN if a parameter is NaN or a
        location infinite.
        """
        return _Inverter(self).quantile(np.asarray(levels, dtype=np.float64))


class _Inverter:
    """The mixture in float64 NumPy, because torch lacks the incomplete beta function."""

    def __init__(self, mixture: Mixture) -> None:
        def plain(value: Tensor) -> Floats:
            return value.detach().double().cpu().numpy()

        self.weights_CQ = np.exp(plain(mixture.log_weights_CQ))
        self.df, self.loc, self.scale = map(
            plain, (mixture.student_df, mixture.student_loc, mixture.student_scale)
        )
        self.normal_loc, self.count, logits = map(plain, (mixture.normal_loc, mixture.count, mixture.logits))
        self.failure = special.expit(-logits)
        self.log_loc, self.log_scale = map(plain, (mixture.log_normal_loc, mixture.log_normal_scale))
        parts = (
            self.weights_CQ.sum(0),
            self.df,
            self.loc,
            self.scale,
            self.normal_loc,
            self.count,
            self.failure,
        )
        with np.errstate(invalid="ignore"):
            self.unknown = np.isnan(sum(parts) + self.log_loc + self.log_scale)
            self.unknown |= ~np.isfinite(self.loc + self.scale + self.normal_loc)
        self.counts_alone = self.weights_CQ[2] > 1 - _TOLERANCE / 10

    def cdf(self, x: Floats, at: Any = slice(None)) -> Floats:
        """The distribution function of the points ``at``."""
        counted, positive = np.maximum(x, 0), np.maximum(x, np.finfo(float).tiny)
        log_standard = (np.log(positive) - self.log_loc[at]) / self.log_scale[at]
        parts = (
            special.stdtr(self.df[at], (x - self.loc[at]) / self.scale[at]),
            special.ndtr((x - self.normal_loc[at]) / NORMAL_SCALE),
            np.where(x >= 0, special.betainc(self.count[at], np.floor(counted) + 1, self.failure[at]), 0.0),
            np.where(x > 0, special.ndtr(log_standard), 0.0),
        )
        return sum(weight[at] * part for weight, part in zip(self.weights_CQ, parts, strict=True))

    def quantile(self, levels_V: Floats) -> Floats:
        """Chandrupatla's method on the inverse hyperbolic sine of the value.

        Inverse quadratic interpolation where three values indicate a smooth function, bisection where a count
        or the narrow Normal makes it jump (Chandrupatla 1997, Adv. Eng. Software 28). The inverse hyperbolic
        sine resolves values of any magnitude.
        """
        shape = (len(levels_V), len(self.df))
        level, point = np.repeat(levels_V, shape[1]), np.tile(np.arange(shape[1]), shape[0])
        quantile, place = np.empty_like(level), np.arange(level.size)
        # The bracket's newest end and the other one, each with its error.
        a, at_a, b, at_b = self._brackets(levels_V)
        self._narrow_to_counts(a, at_a, b, at_b, level, point)
        share = np.clip(at_a / (at_a - at_b), 0.05, 0.95)
        while True:
            x = a + share * (b - a)
            at_x = self.cdf(np.sinh(x), point) - level
            same = (at_x >= 0) == (at_a >= 0)
            c, at_c = np.where(same, a, b), np.where(same, at_a, at_b)
            b, at_b = np.where(same, b, a), np.where(same, at_b, at_a)
            a, at_a = x, at_x
            found, width = np.abs(at_a) <= _TOLERANCE / 10, np.abs(b - a)
            open_ = ~found & (width > _TOLERANCE)
            quantile[place[~open_]] = np.where(found | (at_a >= 0), a, b)[~open_]
            if not open_.any():
                return self._rounded(np.sinh(quantile).reshape(shape))
            place, point = place[open_], point[open_]
            state = (level, a, at_a, b, at_b, c, at_c, width)
            level, a, at_a, b, at_b, c, at_c, width = (part[open_] for part in state)
            share = _next_share(a, at_a, b, at_b, c, at_c, _TOLERANCE / width)

    def _rounded(self, quantile_VQ: Floats) -> Floats:
        """Sorted quantiles; whole where only counts have mass, NaN where a parameter is NaN."""
        quantile_VQ = _whole(quantile_VQ)
        # Between counts the distribution function is flat, with the probability of the lower count.
        quantile_VQ = np.where(self.counts_alone, np.maximum(np.floor(quantile_VQ), 0), quantile_VQ)
        quantile_VQ = np.maximum.accumulate(quantile_VQ, axis=0)
        return np.where(self.unknown, np.nan, quantile_VQ)

    def _brackets(self, levels_V: Floats) -> tuple[Floats, ...]:
        """``[V·Q]`` each: a value below the quantile and its error, a value above it and its error.

        One grid serves all levels of a point and gives each a narrow initial bracket.
        """
        low_Q, high_Q = self._bounds(levels_V[0], levels_V[-1])
        grid_GQ = np.linspace(np.arcsinh(low_Q), np.arcsinh(high_Q), _GRID)
        cdf_GQ = np.stack([self.cdf(np.sinh(x_Q)) for x_Q in grid_GQ])
        level_VQ = np.broadcast_to(levels_V[:, None], (len(levels_V), len(low_Q)))
        above_VQ = np.stack([(cdf_GQ < level).sum(0) for level in levels_V]).clip(1, _GRID - 1)
        ends = []
        for index_VQ, side in ((above_VQ - 1, -1), (above_VQ, 1)):
            error_VQ = np.take_along_axis(cdf_GQ, index_VQ, 0) - level_VQ
            # At the ends of the grid, rounding may violate this.
            error_VQ = np.minimum(error_VQ, -_TOLERANCE) if side < 0 else np.maximum(error_VQ, 0)
            ends += [np.take_along_axis(grid_GQ, index_VQ, 0).ravel(), error_VQ.ravel()]
        return tuple(ends)

    def _bounds(self, lowest: float, highest: float) -> tuple[Floats, Floats]:
        """``[Q]`` each: bounds below the quantiles at the lowest level and above those at the highest.

        A quantile lies between the least and the greatest of the components' quantiles.
        """
        low = np.min(self._continuous_quantiles(lowest), axis=0)
        high = np.max(self._continuous_quantiles(highest), axis=0)
        # The negative binomial's quantile is above -1, since no mass lies below, and is reached by doubling.
        low, high = np.minimum(low, -1.0), np.maximum(high, 1.0)
        while (short := (self.cdf(high) < highest) & (high < 1e300)).any():
            high = np.where(short, 2 * high, high)
        return low, high

    def _continuous_quantiles(self, level: float) -> list[Floats]:
        """Quantiles ``[Q]`` of each component except the negative binomial."""
        normal = special.ndtri(level)
        return [
            self.loc + self.scale * special.stdtrit(self.df, level),
            self.normal_loc + NORMAL_SCALE * normal,
            np.exp(np.minimum(self.log_loc + self.log_scale * normal, 700.0)),
        ]

    def _narrow_to_counts(
        self, a: Floats, at_a: Floats, b: Floats, at_b: Floats, level: Floats, point: NDArray[np.int64]
    ) -> None:
        """Make the first count in a bracket one of its ends, and the point just below it the other.

        The distribution function jumps at a count; if it jumps past the level, the count is the quantile.
        """
        count = np.arcsinh(np.maximum(np.floor(np.sinh(a)) + 1, 0))
        # A little above, so that rounding cannot put it below; zero is exact.
        for place in (count + np.where(count > 0, 1e-12, 0.0), count - 0.9 * _TOLERANCE):
            inside = np.flatnonzero((a < place) & (place < b))
            error = self.cdf(np.sinh(place[inside]), point[inside]) - level[inside]
            for moved, end, at_end in ((error < 0, a, at_a), (error >= 0, b, at_b)):
                end[inside[moved]], at_end[inside[moved]] = place[inside[moved]], error[moved]


def _whole(value: Floats) -> Floats:
    """Restore counts, which the inverse hyperbolic sine and its inverse move by rounding."""
    count = np.rint(value)
    return np.where((count >= 1) & (np.abs(value - count) <= 1e-9 * count), count, value)


def _next_share(
    a: Floats, at_a: Floats, b: Floats, at_b: Floats, c: Floats, at_c: Floats, tolerance: Floats
) -> Floats:
    """The next point as a fraction of the way from a to b, at least half the tolerance from either end."""
    place, height = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
    smooth = (height**2 < place) & ((1 - height) ** 2 < 1 - place)
    with np.errstate(divide="ignore", invalid="ignore"):
        interpolated = at_a / (at_b - at_a) * at_c / (at_b - at_c)
        interpolated += (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)
    least = np.minimum(0.5, 0.5 * tolerance)
    return np.clip(np.where(smooth, interpolated, 0.5), least, 1 - least)
