"""Log density of MOIRAI's mixture, with a hand-written gradient.

Density and gradient share most of what they need. Left to autograd they are hundreds of operators on short
vectors, whose dispatch takes longer than the arithmetic, and some forty vectors are kept between the two.
Here the gradient is computed along with the density, and nothing else is kept.

Each family gives its log density and a function from weights (the share of the point's density that is due to
the family, times whatever multiplies it) to the weighted derivatives with respect to its parameters. Weights
are multiplied first, since those of points outside a support are 0.

Shapes: Q points, C = 4 components, 12 parameters per point.
"""

import math
from collections.abc import Callable
from itertools import chain
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
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
_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
# Beyond these, differences of log gamma functions are computed from series, since in float32 the functions
# themselves overflow or leave no digits of the difference.
_LARGE_DF = 1e3
_LARGE_COUNT = 1e8
_ATEN = torch.ops.aten
# Rows of the Student's degrees of freedom and scale and of the count; those between them are locations.
_POSITIVE, _LOCATIONS = slice(4, 9, 2), slice(5, 8, 2)


class Parameters:
    """The parameters of the distribution at Q points, made from unconstrained ones; constants to autograd.

    Attributes (each ``[Q]`` except the first two):
        raw_12Q: the unconstrained parameters, which may belong to a graph.
        log_weights_CQ: normalised log weights, in the order Student-T, Normal, negative binomial, log-normal.
        student_df, student_loc, student_scale: degrees of freedom above 2, location, scale.
        normal_loc: location; the scale is :data:`NORMAL_SCALE`.
        count, logits: the negative binomial counts successes of log-odds ``logits`` before failure ``count``.
        log_normal_loc, log_normal_scale: mean and standard deviation of the logarithm.
    """

    @torch.no_grad()
    def __init__(self, raw_12Q: Tensor) -> None:
        """Map ``[12, Q]`` real numbers, in the order of :data:`PARAMETERS`, into their domains."""
        if raw_12Q.shape[0] != len(PARAMETERS):
            raise ValueError(f"{len(PARAMETERS)} parameters per point are needed, not {raw_12Q.shape[0]}")
        self.raw_12Q = raw_12Q
        self.log_weights_CQ = raw_12Q[:COMPONENTS].log_softmax(0)
        _, loc, _, normal_loc, _, logits, log_loc, log_scale = raw_12Q[COMPONENTS:].unbind(0)
        df, scale, count = F.softplus(raw_12Q[_POSITIVE]).unbind(0)
        self._smallest, self._smallest_count = torch.finfo(raw_12Q.dtype).eps, torch.finfo(raw_12Q.dtype).tiny
        self.student_df = df.add_(2)
        self.student_loc = loc
        self.student_scale = scale.clamp_(min=self._smallest)
        self.normal_loc = normal_loc
        self.count = count.clamp_(min=self._smallest_count)
        self.logits = logits
        self.log_normal_loc = log_loc
        self.log_normal_scale = F.softplus(log_scale).clamp_(min=self._smallest)

    def chain(self, slopes_12Q: Tensor) -> None:
        """Turn derivatives with respect to the parameters into those with respect to the raw ones, in place.

        The four of the weights are taken with respect to the raw ones already.
        """
        for rows in (_POSITIVE, 11):
            slope = _ATEN.softplus_backward(slopes_12Q[rows], self.raw_12Q[rows], 1, 20)
            slopes_12Q[rows] = slope
        bounded = (
            (6, self.student_scale, self._smallest),
            (8, self.count, self._smallest_count),
            (11, self.log_normal_scale, self._smallest),
        )
        for row, value_Q, least in bounded:
            slopes_12Q[row].masked_fill_(value_Q <= least, 0)


class Component(NamedTuple):
    """A family at Q points.

    Attributes:
        log_prob: its log density, minus infinity outside its support.
        slopes: from weights ``[Q]`` to the weighted derivatives of ``log_prob`` with respect to each of the
            family's parameters, in the order of :class:`Parameters`.
    """

    log_prob: Tensor
    slopes: Callable[[Tensor], tuple[Tensor, ...]]


def components(mixture: Parameters, x_Q: Tensor) -> tuple[Component, ...]:
    """Student-T, Normal, negative binomial and log-normal at ``x_Q``."""
    df = mixture.student_df
    student_Q, normal_Q = (x_Q - mixture.raw_12Q.detach()[_LOCATIONS]).unbind(0)
    # Whether anything needs the formulas for extremes is asked once, since on a GPU the answer is waited for.
    largest = torch.stack((student_Q, normal_Q, df, x_Q)).abs().amax(1).tolist() if len(x_Q) else [0.0] * 4
    return (
        _student(student_Q, df, mixture.student_scale, largest[0], largest[2]),
        _normal(normal_Q, largest[1]),
        _negative_binomial(x_Q, mixture.count, mixture.logits, largest[3]),
        _log_normal(x_Q, mixture.log_normal_loc, mixture.log_normal_scale),
    )


def _student(deviation: Tensor, df: Tensor, scale: Tensor, largest: float, largest_df: float) -> Component:
    limit, above = _square_limit(deviation), df + 1
    # The scale is at least the dtype's rounding unit, so below this no square overflows.
    if largest > limit * torch.finfo(deviation.dtype).eps:
        far = deviation.abs() > limit * scale.clamp_max(1)
        distance = torch.where(far, deviation, 1.0)
        standard = torch.where(far, 0.0, deviation) / scale
    else:
        far, distance, standard = None, deviation, deviation / scale
    square = standard.square()
    log_tail = torch.log1p(square / df)
    if far is not None:
        # Here log1p(t²/df) equals log(t²/df) up to rounding.
        log_tail = torch.where(far, 2 * (distance.abs().log() - scale.log()) - df.log(), log_tail)
    half_df, half_above = 0.5 * df, 0.5 * above
    large = df > _LARGE_DF if largest_df > _LARGE_DF else None
    log_prob = _log_gamma_step(half_df, half_above, large).add_((scale * df.sqrt()).log_())
    log_prob.addcmul_(half_above, log_tail).add_(0.5 * math.log(math.pi)).neg_()

    def slopes(weight: Tensor) -> tuple[Tensor, ...]:
        total = df + square
        share, pull = square / total, standard / (total * scale)
        if far is not None:
            share, pull = torch.where(far, 1.0, share), torch.where(far, 1 / distance, pull)
        excess = share.mul_(above).sub_(1)
        by_df = (excess / df).sub_(log_tail).sub_(_log_gamma_step_slope(half_df, half_above, large))
        return by_df.mul_(weight).mul_(0.5), pull.mul_(above).mul_(weight), excess.mul_(weight).div_(scale)

    return Component(log_prob, slopes)


def _normal(deviation: Tensor, largest: float) -> Component:
    standard, limit = deviation / NORMAL_SCALE, _square_limit(deviation)
    beyond = standard.abs() > limit if largest > limit * NORMAL_SCALE else None
    if beyond is not None:
        standard.clamp_(-limit, limit)
    log_prob = standard.square().mul_(-0.5).sub_(_HALF_LOG_2PI + math.log(NORMAL_SCALE))

    def slopes(weight: Tensor) -> tuple[Tensor, ...]:
        by_loc = weight * standard / NORMAL_SCALE
        return (by_loc if beyond is None else by_loc.masked_fill_(beyond, 0),)

    return Component(log_prob, slopes)


def _negative_binomial(x: Tensor, count: Tensor, logits: Tensor, largest: float) -> Component:
    outside = x < 0
    x = x.masked_fill(outside, 1.0)
    large = x > _LARGE_COUNT if largest > _LARGE_COUNT else None
    usual = x if large is None else torch.where(large, 1.0, x)
    log_x = None if large is None else torch.where(large, x, 1.0).log()
    trials = count + usual
    ratio = torch.lgamma(trials).sub_((usual + 1).lgamma_())
    if large is not None and log_x is not None:
        # Here Γ(x + r) / Γ(x + 1) equals x^(r - 1) up to rounding.
        ratio = torch.where(large, (count - 1) * log_x, ratio)
    failures, successes = F.logsigmoid(-logits), F.logsigmoid(logits)
    log_prob = ratio.sub_(torch.lgamma(count)).addcmul_(count, failures).addcmul_(x, successes)

    def slopes(weight: Tensor) -> tuple[Tensor, ...]:
        growth = torch.digamma(trials)
        if large is not None and log_x is not None:
            growth = torch.where(large, log_x, growth)
        by_count = growth.sub_(torch.digamma(count)).add_(failures).mul_(weight)
        by_logits = (x * torch.sigmoid(-logits)).addcmul_(count, torch.sigmoid(logits), value=-1).mul_(weight)
        return by_count, by_logits

    return Component(log_prob.masked_fill_(outside, -torch.inf), slopes)


def _log_normal(x: Tensor, loc: Tensor, scale: Tensor) -> Component:
    outside = x <= 0
    log_x = x.masked_fill(outside, 1.0).log_()
    standard = (log_x - loc).div_(scale)
    log_prob = standard.square().mul_(-0.5).sub_(log_x).sub_(scale.log()).sub_(_HALF_LOG_2PI)

    def slopes(weight: Tensor) -> tuple[Tensor, ...]:
        by_loc = weight * standard / scale
        return by_loc, by_loc * standard - weight / scale

    return Component(log_prob.masked_fill_(outside, -torch.inf), slopes)


class LogDensity(torch.autograd.Function):
    """Log density ``[Q]``: log-sum-exp over the components whose support holds the point.

    It takes the raw parameters ``[12, Q]``, what was made of them, and the points ``[Q]``, and is
    differentiable once in the first.
    """

    @staticmethod
    def forward(ctx: Any, raw_12Q: Tensor, parameters: Parameters, x_Q: Tensor) -> Tensor:
        parts = components(parameters, x_Q)
        joint_CQ = torch.stack([part.log_prob for part in parts]).add_(parameters.log_weights_CQ)
        # The largest share is at least a quarter, so that its logarithm has all digits. Exponentials of large
        # negative numbers, as in logsumexp, are twenty times slower on a CPU than a softmax.
        share_CQ = joint_CQ.softmax(0)
        total_Q = joint_CQ.amax(0) - share_CQ.amax(0).log()
        if ctx.needs_input_grad[0]:
            slopes_12Q = torch.empty_like(raw_12Q)
            torch.sub(share_CQ, raw_12Q[:COMPONENTS].softmax(0), out=slopes_12Q[:COMPONENTS])
            by_parameter = (part.slopes(w_Q) for part, w_Q in zip(parts, share_CQ, strict=True))
            torch.stack(list(chain.from_iterable(by_parameter)), out=slopes_12Q[COMPONENTS:])
            parameters.chain(slopes_12Q)
            ctx.save_for_backward(slopes_12Q)
        return total_Q

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_Q: Tensor) -> tuple[Tensor, None, None]:
        (slopes_12Q,) = ctx.saved_tensors
        return slopes_12Q * grad_Q, None, None


def _log_gamma_step(half: Tensor, next_half: Tensor, large: Tensor | None) -> Tensor:
    """log Γ(df / 2) - log Γ((df + 1) / 2) from the arguments, accurate where df is ``large``."""
    step = torch.lgamma(half).sub_(torch.lgamma(next_half))
    return step if large is None else torch.where(large, 0.125 / half - 0.5 * half.log(), step)


def _log_gamma_step_slope(half: Tensor, next_half: Tensor, large: Tensor | None) -> Tensor:
    """Twice the derivative of :func:`_log_gamma_step` with respect to df."""
    slope = torch.digamma(half).sub_(torch.digamma(next_half))
    return slope if large is None else torch.where(large, -0.125 / half.square() - 0.5 / half, slope)


def _square_limit(x: Tensor) -> float:
    """A magnitude whose square is far from overflow in the dtype of ``x``."""
    return 0.05 * math.sqrt(torch.finfo(x.dtype).max)
