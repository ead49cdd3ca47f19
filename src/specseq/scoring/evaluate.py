"""Evaluate a plan on a config or task: the errors of every variant pooled over its windows."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.errors import Diverged
from specseq.filters import Filter
from specseq.models.protocol import Forecaster
from specseq.scoring.evaluation import Evaluation
from specseq.scoring.metrics import StepErrors, Totals, window_sums
from specseq.scoring.reversal import NONE, ForecastPlan, Piece, Quantiles, Variant, pieces


@dataclass
class Outcome:
    """Result of a variant on a config or task.

    Attributes:
        values: metrics by column name; all NaN where the reversal diverged.
        filter: the filter, None for a plain forecast.
        diverged: why it did, or empty.
        steps: scaled absolute error of each horizon step, [H]; None where it was not asked for.
    """

    values: dict[str, float]
    filter: Filter | None = None
    diverged: str = ""
    steps: NDArray[np.float64] | None = None


def score(
    evaluation: Evaluation, forecaster: Forecaster, report: Callable[[int], None] = lambda points: None
) -> dict[str, float]:
    """The metrics of a plain forecast by their published column names, see :func:`evaluate`.

    Raises:
        InputError: a forecast is missing, not finite or out of order.
        Diverged: the forecast left the range of 32-bit floats.
    """
    (outcome,) = evaluate(evaluation, ForecastPlan(forecaster), report).values()
    if outcome.diverged:
        raise Diverged(outcome.diverged)
    return outcome.values


@dataclass
class Checkpoint:
    """Progress of pooling the windows of a plain forecast, from which work can resume.

    Attributes:
        windows: number of windows pooled.
        totals: the sums over them, see :meth:`specseq.scoring.metrics.Totals.plain`; None at the start.
    """

    windows: int = 0
    totals: dict[str, Any] | None = None


def evaluate(
    evaluation: Evaluation,
    plan: ForecastPlan,
    report: Callable[[int], None] = lambda points: None,
    checkpoint: Checkpoint | None = None,
) -> dict[Variant, Outcome]:
    """Score every variant of a plan on one config or task.

    Args:
        report: called after each batch with its number of forecast points.
        checkpoint: of a plan without filters: where to begin; moved after each batch, before ``report``.

    Raises:
        InputError: a forecast is missing, not finite or out of order.
    """
    parts = by_filter(evaluation, plan, report, checkpoint=checkpoint)
    return dict(chain.from_iterable(made.items() for _, made in parts))


def by_filter(
    evaluation: Evaluation,
    plan: ForecastPlan,
    report: Callable[[int], None] = lambda points: None,
    done: Collection[str] = (),
    checkpoint: Checkpoint | None = None,
) -> Iterator[tuple[str, dict[Variant, Outcome]]]:
    """Score a plan on one config or task part by part: the plain forecasts, then each filter.

    Forecasts of the unfiltered contexts are made once for all parts.

    Args:
        done: parts that are not wanted again.

    Yields:
        The part, ``none`` or the name of a filter, and its variants.

    Raises:
        InputError: a forecast is missing, not finite or out of order.
    """
    parts = [NONE, *plan.filters]
    left = [part for part in parts if part not in done]
    begun = checkpoint.windows if checkpoint else 0
    made = (
        Piece(evaluation, plan, batch[max(begun - batch.first, 0) :])
        for batch in pieces(evaluation, plan, fine=checkpoint is not None)
        if batch.first + len(batch.windows) > begun
    )
    kept = list(made) if len(left) > 1 else made
    for number, part in enumerate(parts):
        if part not in left:
            report(_share(evaluation.points, number, len(parts)))
            continue
        pools: dict[Variant, _Pool] = {}
        if checkpoint and checkpoint.totals:
            pool = pools[Variant(plan.forecaster.name)] = _Pool(evaluation, plan.by_step, None)
            pool.totals.restore(checkpoint.totals)
        for piece in kept:
            for variant, filter, make in piece.variants(part):
                pool = pools.setdefault(variant, _Pool(evaluation, plan.by_step, filter))
                pool.add(piece, make)
            if checkpoint:
                checkpoint.windows = piece.batch.first + len(piece.batch.windows)
                checkpoint.totals = pool.totals.plain()
            report(_share(piece.truth.size, number, len(parts)))
        yield part, {variant: pool.outcome() for variant, pool in pools.items()}


def _share(points: int, number: int, parts: int) -> int:
    """A part's share of the points; the shares of all parts add up to the whole."""
    return points * (number + 1) // parts - points * number // parts


class _Pool:
    """Pools the windows of one variant; once it diverged, it is done."""

    def __init__(self, evaluation: Evaluation, by_step: bool, filter: Filter | None) -> None:
        self.evaluation, self.filter, self.diverged = evaluation, filter, ""
        self.totals: Totals = evaluation.totals()
        self.steps = StepErrors(evaluation.query.horizon) if by_step else None

    def add(self, piece: Piece, make: Callable[[], Quantiles]) -> None:
        if self.diverged:
            return
        try:
            quantiles = make()
        except Diverged as error:
            self.diverged = str(error)
            return
        self.totals.add(window_sums(piece.truth, quantiles), piece.scales, piece.batch.pool)
        if self.steps is not None:
            self.steps.add(piece.truth, quantiles, piece.scales)

    def outcome(self) -> Outcome:
        values = self.evaluation.metrics(self.totals)
        if self.diverged:
            return Outcome(dict.fromkeys(values, float("nan")), self.filter, self.diverged)
        return Outcome(values, self.filter, steps=self.steps.values() if self.steps else None)
