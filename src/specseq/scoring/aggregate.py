"""Aggregates over tasks: geometric means, skill score, win rate, and percentile bootstrap intervals.

Both statistics are linear in task weights once errors are logged or compared, so all bootstrap resamples are
one product of a weight matrix [R, T] with a table [T, M]. Source of the definitions: GIFT-Eval
(arXiv:2410.10393) for the geometric mean relative to Seasonal Naive; fev-bench (arXiv:2509.26468) for skill
score, win rate, clipping, leakage imputation and intervals.

Shapes: T tasks, M models, R resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Of an interval at 95 %.
_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Estimate:
    """A statistic of each model with its interval: three arrays [M]; NaN for the interval over one task."""

    point: Floats
    low: Floats
    high: Floats

    def columns(self, name: str) -> dict[str, Floats]:
        """The three by their column names."""
        return {name: self.point, f"{name}_low": self.low, f"{name}_high": self.high}


def relative_errors(values_TM: Floats, baseline_T: Floats) -> Floats:
    """Errors divided by the baseline's on the same task: [T, M]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return values_TM / baseline_T[:, None]


def impute_leakage(errors_TM: Floats, overlap_TM: NDArray[np.bool_], stand_in_T: Floats) -> Floats:
    """Errors on data a model was trained on, replaced by a zero-shot model's: [T, M]."""
    return np.where(overlap_TM, stand_in_T[:, None], errors_TM)


def geometric_mean(errors: Floats) -> Floats:
    """Geometric mean over the first axis. No shift and no clip; a zero makes it zero, NaN stays NaN."""
    with np.errstate(divide="ignore"):
        return np.exp(np.log(errors).mean(axis=0))


def bootstrap_weights(n_tasks: int, n_resamples: int = 1000, seed: int = 123) -> Floats:
    """Share of each task in each resample: [R, T], rows sum to one.

    The draw is the one fev's leaderboard makes (NumPy's default generator on the plain seed), so that the
    published intervals come out the same.
    """
    drawn = np.random.default_rng(seed).integers(0, n_tasks, size=(n_resamples, n_tasks))
    cells = (np.arange(n_resamples)[:, None] * n_tasks + drawn).ravel()
    counts = np.bincount(cells, minlength=n_resamples * n_tasks).reshape(n_resamples, n_tasks)
    return counts / n_tasks


def _interval(point: Floats, resampled_RM: Floats, tasks: int) -> Estimate:
    if tasks < 2:  # resamples of one task are all alike
        return Estimate(point, np.full_like(point, np.nan), np.full_like(point, np.nan))
    low, high = np.quantile(resampled_RM, _ENDS, axis=0)
    return Estimate(point, low, high)


def mean_ratio(errors_TM: Floats, weights_RT: Floats) -> Estimate:
    """Geometric mean of relative errors with its bootstrap interval over tasks."""
    with np.errstate(divide="ignore"):
        logs = np.log(errors_TM)
    none = np.isneginf(logs)
    resampled = weights_RT @ np.where(none, 0.0, logs)
    # A resample without the task whose error is zero must ignore its infinite log: 0 × ∞ is NaN.
    resampled[weights_RT @ none > 0] = -np.inf
    return _interval(np.exp(logs.mean(axis=0)), np.exp(resampled), len(logs))


def skill_score(errors_TM: Floats, weights_RT: Floats) -> Estimate:
    """One minus the geometric mean relative error: 0 is the baseline, 1 is perfect."""
    ratio = mean_ratio(errors_TM, weights_RT)
    return Estimate(1 - ratio.point, 1 - ratio.high, 1 - ratio.low)


def win_shares(errors_TM: Floats) -> Floats:
    """For each task, the share of the other models that each model beats, a tie counting half: [T, M].

    NaN on a task where any model's error is.
    """
    models = errors_TM.shape[1]
    if models < 2:
        return np.full(errors_TM.shape, np.nan)
    won = (errors_TM[:, :, None] < errors_TM[:, None, :]).sum(axis=2)
    tied = (errors_TM[:, :, None] == errors_TM[:, None, :]).sum(axis=2) - 1
    known = ~np.isnan(errors_TM).any(axis=1, keepdims=True)
    return np.where(known, (won + 0.5 * tied) / (models - 1), np.nan)


def win_rate(errors_TM: Floats, weights_RT: Floats) -> Estimate:
    """Mean over tasks of the share of opponents beaten, with its bootstrap interval over tasks."""
    shares = win_shares(errors_TM)
    return _interval(shares.mean(axis=0), weights_RT @ shares, len(shares))


def mean_rank(errors_TM: Floats) -> Floats:
    """Mean over tasks of the rank by error (1 is best, ties share their average rank): [M]."""
    return 1 + (1 - win_shares(errors_TM)).mean(axis=0) * (errors_TM.shape[1] - 1)
