"""Paired comparison of two results: wins, sign test, Wilcoxon, bootstrap ratio. Paired over tasks and seeds.

Shapes: T tasks, S seeds, R resamples.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from specseq.errors import InputError
from specseq.seeding import generator

Floats = NDArray[np.float64]

# Relative difference below which two errors are the same: float32 pipelines agree no better.
TIE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """Result A compared with result B on what both have.

    Attributes:
        tasks: number of tasks compared.
        seeds: number of seeds paired on each.
        left_out: tasks without a positive, finite error on both sides.
        wins, losses, ties: tasks on which A's mean log error is below, above, equal to B's (to 1e-6).
        sign_p: two-sided exact sign test over tasks.
        wilcoxon_p: two-sided Wilcoxon signed-rank test of the log ratios; NaN where all are zero.
        ratio: geometric mean of A/B; below one is better for A.
        low, high: its interval over tasks (and seeds, where there are several); NaN for a single pair.
        task_sd, seed_sd: standard deviations of the log ratio of single tasks and seeds; NaN for one.
    """

    tasks: int
    seeds: int
    left_out: int
    wins: int
    losses: int
    ties: int
    sign_p: float
    wilcoxon_p: float
    ratio: float
    low: float
    high: float
    task_sd: float
    seed_sd: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse`` or ``undecided``, by where the interval lies; undecided without one."""
        if self.high < 1:
            return "better"
        return "worse" if self.low > 1 else "undecided"


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact sign test; ties are left out by the caller."""
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1))
    return min(1.0, 2 * tail / 2**n)


def _wilcoxon(differences_T: Floats) -> float:
    if not np.any(differences_T):
        return math.nan
    from scipy.stats import wilcoxon  # imported here: the leaderboard starts without it

    return float(wilcoxon(differences_T).pvalue)


def _shares(draw: np.random.Generator, size: int, resamples: int) -> Floats:
    return draw.multinomial(size, np.full(size, 1 / size), size=resamples) / size


def _student_reach(values: Floats) -> float:
    """Half the width of Student's 95 % interval of the mean of two values or more."""
    from scipy.special import stdtrit  # imported here: the leaderboard starts without it

    n = len(values)
    return float(stdtrit(n - 1, 0.975) * values.std(ddof=1)) / math.sqrt(n)


def student_interval(values: Floats) -> tuple[float, float]:
    """Student's interval of a mean at 95 %; NaN for fewer than two values."""
    if len(values) < 2:
        return math.nan, math.nan
    middle, reach = float(values.mean()), _student_reach(values)
    return middle - reach, middle + reach


def crosswise_interval(
    cells_TS: Floats, draw: np.random.Generator, resamples: int = 2000
) -> tuple[float, float]:
    """95 % interval of the mean of a table of tasks and seeds; NaN for a single cell.

    Percentile bootstrap that resamples tasks and seeds crosswise. With few of either, it is too narrow (it
    covers nine times in ten over ten tasks, every other time over two), so on each axis with two levels or
    more the interval reaches at least as far as Student's t over the means of those levels. With one seed
    (or one task) it says nothing about the axis that has a single level.
    """
    if cells_TS.size < 2:
        return math.nan, math.nan
    rows, columns = cells_TS.shape
    weights_RT, weights_RS = _shares(draw, rows, resamples), _shares(draw, columns, resamples)
    means = np.einsum("rs,rs->r", weights_RT @ cells_TS, weights_RS)
    low, high = (float(end) for end in np.quantile(means, [0.025, 0.975]))
    by_axis = [level for level in (cells_TS.mean(axis=1), cells_TS.mean(axis=0)) if len(level) > 1]
    reach = max(_student_reach(level) for level in by_axis)
    middle = float(cells_TS.mean())
    return min(low, middle - reach), max(high, middle + reach)


def paired_ratio(log_ratios_TS: Floats, resamples: int = 2000, seed: int = 0) -> tuple[float, float, float]:
    """Geometric mean ratio and its interval over tasks and seeds, see :func:`crosswise_interval`."""
    draw = generator(seed, "paired_ratio", *log_ratios_TS.shape)
    low, high = crosswise_interval(log_ratios_TS, draw, resamples)
    return math.exp(log_ratios_TS.mean()), math.exp(low), math.exp(high)


def compare(a: Floats, b: Floats, *, resamples: int = 2000) -> Comparison:
    """Compare two results on the same tasks.

    Args:
        a, b: errors [T] or [T, S]; entry (t, s) of both belongs to the same task and seed.

    Raises:
        InputError: shapes differ, or no task has a positive, finite error on both sides.
    """
    a, b = (np.asarray(x, float).reshape(len(x), -1) for x in (a, b))
    if a.shape != b.shape:
        raise InputError("comparison", f"shapes {a.shape} and {b.shape} differ", "pair tasks and seeds first")
    usable = (np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)).all(axis=1)
    if not usable.any():
        raise InputError(
            "comparison", "no task has a positive, finite error on both sides", "check the files"
        )
    logs_TS = np.log(a[usable]) - np.log(b[usable])
    per_task = logs_TS.mean(axis=1)
    per_task[np.abs(per_task) < TIE] = 0.0
    wins, losses = int((per_task < 0).sum()), int((per_task > 0).sum())
    ratio, low, high = paired_ratio(logs_TS, resamples)
    return Comparison(
        tasks=len(per_task),
        seeds=logs_TS.shape[1],
        left_out=int((~usable).sum()),
        wins=wins,
        losses=losses,
        ties=len(per_task) - wins - losses,
        sign_p=sign_test(wins, losses),
        wilcoxon_p=_wilcoxon(per_task),
        ratio=ratio,
        low=low,
        high=high,
        task_sd=_sd(logs_TS.mean(axis=1)),
        seed_sd=_sd(logs_TS.mean(axis=0)),
    )


def _sd(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan
