"""MOIRAI's predictive distribution: a mixture of four families (Woo et al. 2024, section 3.2.2).

Student-T for heavy tails, a narrow Normal for certainty, a negative binomial for counts, a log-normal for
right-skewed values; all on the standardised scale. The negative binomial's mass function is used as a density
on the reals >= 0, as published; where it is sampled or inverted it lives on the integers.

Shapes: Q points, C = 4 components, 12 raw parameters a point (see :data:`PARAMETERS`), V quantile levels.
"""

import itertools
import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

COMPONENTS = 4
PARAMETERS = (
    "student_logit",
    "normal_logit",
    "negative_binomial_logit",
    "log_normal_logit",
    "student_df",
    "student_loc",
    "student_scale",
    "normal_loc",
    "negative_binomial_count",
    "negative_binomial_logits",
    "log_normal_loc",
    "log_normal_scale",
)
NORMAL_SCALE = 1e-3
_TOLERANCE = 1e-6
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Mixture:
    """The distribution at Q points, made from unconstrained parameters.

    Attributes (each ``[Q]`` but for the first):
        log_weights_CQ: normalised log weights, in the order Student-T, Normal, negative binomial, log-normal.
        student_df, student_loc, student_scale: degrees of freedom above 2, location, scale.
        normal_loc: location; the scale is :data:`NORMAL_SCALE`.
        count, logits: the negative binomial counts successes of log-odds ``logits`` before failure ``count``.
        log_normal_loc, log_normal_scale: mean and deviation of the logarithm.
    """

    def __init__(self, raw_12Q: Tensor) -> None:
        """Map ``[12, Q]`` real numbers, in the order of :data:`PARAMETERS`, into their domains."""
        if raw_12Q.shape[0] != len(PARAMETERS):
            raise ValueError(f"{len(PARAMETERS)} parameters a point are needed, not {raw_12Q.shape[0]}")
        self.log_weights_CQ = raw_12Q[:COMPONENTS].log_softmax(0)
        df, loc, scale, normal_loc, count, logits, log_loc, log_scale = raw_12Q[COMPONENTS:].unbind(0)
        smallest = torch.finfo(raw_12Q.dtype).eps
        self.student_df = 2 + F.softplus(df)
        self.student_loc = loc
        self.student_scale = F.softplus(scale).clamp_min(smallest)
        self.normal_loc = normal_loc
        self.count = F.softplus(count).clamp_min(torch.finfo(raw_12Q.dtype).tiny)
        self.logits = logits
        self.log_normal_loc = log_loc
        self.log_normal_scale = F.softplus(log_scale).clamp_min(smallest)

    def log_prob(self, x_Q: Tensor) -> Tensor:
        """Log density ``[Q]``: log-sum-exp over the components whose support holds the point."""
        return (self.log_weights_CQ + self.component_log_prob(x_Q)).logsumexp(0)

    def component_log_prob(self, x_Q: Tensor) -> Tensor:
        """``[C, Q]``, minus infinity outside a component's support."""
        positive_Q, counted_Q = x_Q > 0, x_Q >= 0
        # A point outside the support is moved inside before the formula, lest its gradient be NaN.
        count_at = self._negative_binomial(torch.where(counted_Q, x_Q, 1.0))
        log_at = self._log_normal(torch.where(positive_Q, x_Q, 1.0))
        nowhere = x_Q.new_tensor(-torch.inf)
        return torch.stack(
            [
                self._student(x_Q),
                self._normal(x_Q),
                torch.where(counted_Q, count_at, nowhere),
                torch.where(positive_Q, log_at, nowhere),
            ]
        )

    def _student(self, x_Q: Tensor) -> Tensor:
        df, standard = self.student_df, (x_Q - self.student_loc) / self.student_scale
        normaliser = (
            self.student_scale.log()
            + 0.5 * (df * math.pi).log()
            + torch.lgamma(0.5 * df)
            - torch.lgamma(0.5 * (df + 1))
        )
        return -0.5 * (df + 1) * torch.log1p(standard.square() / df) - normaliser

    def _normal(self, x_Q: Tensor) -> Tensor:
        standard = (x_Q - self.normal_loc) / NORMAL_SCALE
        return -0.5 * standard.square() - (_HALF_LOG_2PI + math.log(NORMAL_SCALE))

    def _negative_binomial(self, x_Q: Tensor) -> Tensor:
        combinations = torch.lgamma(self.count + x_Q) - torch.lgamma(1 + x_Q) - torch.lgamma(self.count)
        failures, successes = F.logsigmoid(-self.logits), F.logsigmoid(self.logits)
        return combinations + self.count * failures + x_Q * successes

    def _log_normal(self, x_Q: Tensor) -> Tensor:
        log_x = x_Q.log()
        standard = (log_x - self.log_normal_loc) / self.log_normal_scale
        return -0.5 * standard.square() - self.log_normal_scale.log() - log_x - _HALF_LOG_2PI

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

        chi_square = 2 * gamma(0.5 * self.student_df)
        rates = gamma(self.count) * self.logits.exp()
        draws = torch.stack(
            [
                self.student_loc + self.student_scale * normal() * (self.student_df / chi_square).sqrt(),
                self.normal_loc + NORMAL_SCALE * normal(),
                torch.poisson(rates, generator=rng),
                (self.log_normal_loc + self.log_normal_scale * normal()).exp(),
            ]
        )
        return draws.gather(0, chosen[None])[0]

    def cdf(self, x_Q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability ``[Q]`` of a value of at most ``x``; the last axis of ``x`` is Q."""
        return _Inverter(self).cdf(x_Q)

    def quantile(self, levels: tuple[float, ...]) -> NDArray[np.float64]:
        """``[V, Q]`` quantiles at increasing levels, by bisection of the distribution function: no sampling.

        They are exact to 1e-6 of their magnitude (of 1, where that is smaller), or to 1e-7 in probability.
        """
        return _Inverter(self).quantile(np.asarray(levels, dtype=np.float64))


class _Inverter:
    """The mixture in float64 NumPy, where the incomplete beta function is to be had."""

    def __init__(self, mixture: Mixture) -> None:
        def plain(value: Tensor) -> NDArray[np.float64]:
            return value.detach().double().cpu().numpy()

        self.weights_CQ = np.exp(plain(mixture.log_weights_CQ))
        self.df, self.loc, self.scale = map(
            plain, (mixture.student_df, mixture.student_loc, mixture.student_scale)
        )
        self.normal_loc, self.count, logits = map(plain, (mixture.normal_loc, mixture.count, mixture.logits))
        self.failure = special.expit(-logits)
        self.log_loc, self.log_scale = map(plain, (mixture.log_normal_loc, mixture.log_normal_scale))

    def cdf(self, x: NDArray[np.float64], at: Any = slice(None)) -> NDArray[np.float64]:
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

    def quantile(self, levels_V: NDArray[np.float64]) -> NDArray[np.float64]:
        """Alternate bisection and the secant of the bracket, on the inverse hyperbolic sine of the value.

        The secant is quick where the function is smooth, bisection safe where a count or the narrow Normal
        makes it jump, and the inverse hyperbolic sine gains digits at any magnitude.
        """
        shape = (len(levels_V), len(self.df))
        level = np.repeat(levels_V, shape[1])
        low, high = (np.arcsinh(side).ravel() for side in self._bracket(levels_V[:, None]))
        below, above = np.zeros_like(level) - level, np.ones_like(level) - level
        open_ = np.arange(level.size)
        for step in itertools.count():
            a, b, at = low[open_], high[open_], open_ % shape[1]
            share = 0.5 if step % 2 else np.clip(below[open_] / (below[open_] - above[open_]), 0.02, 0.98)
            middle = a + share * (b - a)
            error = self.cdf(np.sinh(middle), at) - level[open_]
            found, reached = np.abs(error) <= _TOLERANCE / 10, error >= 0
            low[open_], below[open_] = np.where(reached, a, middle), np.where(reached, below[open_], error)
            high[open_] = np.where(reached | found, middle, b)
            above[open_] = np.where(reached, error, above[open_])
            open_ = open_[~found & (high[open_] - low[open_] > _TOLERANCE)]
            if not open_.size:
                return np.maximum.accumulate(np.sinh(high).reshape(shape), axis=0)
        raise AssertionError("the bracket halves in every second step")

    def _bracket(self, level: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``[V, Q]`` each: a quantile lies between the least and greatest of the components'."""
        log_quantile = np.minimum(self.log_loc + self.log_scale * special.ndtri(level), 700.0)
        continuous = np.stack(
            [
                self.loc + self.scale * special.stdtrit(self.df, level),
                self.normal_loc + NORMAL_SCALE * special.ndtri(level),
                np.exp(log_quantile),
            ]
        )
        # The binomial's quantile is above -1, for nothing lies below, and is reached by doubling.
        low = np.minimum(continuous.min(0), -1.0)
        high = np.maximum(continuous.max(0), 1.0)
        while (short := (self.cdf(high) < level) & (high < 1e300)).any():
            high = np.where(short, 2 * high, high)
        return low, high
