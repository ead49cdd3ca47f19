"""Score a forecaster on filtered contexts under every reversal of the filter, with its control.

The filtered-space forecast is made once a filter; each reversal is applied to it. The oracle reversal uses
the truth inside the horizon: a diagnostic, which lowers the error of any forecast. So every oracle score
comes with the score of seasonal naive under the same oracle.

Legend: B windows, Q quantile levels, H horizon.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from specseq.errors import Diverged
from specseq.filters import Filter
from specseq.models.levels import at_levels
from specseq.models.preconditioned import (
    FilteredContexts,
    Missing,
    Mode,
    precondition,
)
from specseq.models.protocol import Forecaster, Query
from specseq.scoring.evaluation import Batch, Evaluation, Metrics, batches_for
from specseq.scoring.forecasting import check_quantiles, forecast, forecast_contexts
from specseq.scoring.metrics import window_sums
from specseq.scoring.steps import StepErrors

Values = NDArray[np.float64]

NONE = "none"
_CONTEXT_VALUES = 4_000_000


@dataclass(frozen=True)
class Variant:
    """One way to forecast.

    Attributes:
        forecaster: its name.
        filter: name of the filter, or ``none``.
        reversal: mode of the reversal, or ``none``.
    """

    forecaster: str
    filter: str = NONE
    reversal: str = NONE


@dataclass
class Outcome:
    """What a variant scored.

    Attributes:
        values: metrics by column name; all NaN where the reversal diverged.
        filter: the filter, None for a plain forecast.
        diverged: why it did, or empty.
        steps: scaled absolute error of each horizon step, ``[H]``; None where it was not asked for.
    """

    values: dict[str, float]
    filter: Filter | None = None
    diverged: str = ""
    steps: Values | None = None


@dataclass
class Plan:
    """What to score on each config.

    Attributes:
        forecaster: who forecasts.
        filters: filters by name.
        reversals: modes to undo them with.
        control: scored plain and under each oracle, beside the forecaster; None for none.
        other: forecasts the lags of the hybrid reversal.
        missing, centre: how the filter treats missing taps and the level, see
            :func:`specseq.models.preconditioned.precondition`. By default a missing tap is the
            context's mean: with gaps in the context, filtering just where all taps are known leaves steps in
            the filtered series, and errors come out far larger.
        by_step: pool errors of each horizon step too.
    """

    forecaster: Forecaster
    filters: Mapping[str, Filter] = field(default_factory=dict)
    reversals: Sequence[Mode] = ()
    control: Forecaster | None = None
    other: Forecaster | None = None
    missing: Missing = "zero"
    centre: bool = True
    by_step: bool = False


@runtime_checkable
class FilteredForecaster(Protocol):
    """A model that may be trained on filtered series and undoes its filter by the self reversal."""

    @property
    def quantile_levels(self) -> tuple[float, ...]:
        """The levels of :meth:`forecast_filtered`, 0.5 among them."""

    @property
    def inverse(self) -> tuple[Values, int] | None:
        """Taps and stride of the finite inverse that was learned with the model; None without one."""

    def forecast_filtered(
        self, contexts: Sequence[NDArray[np.float32]], query: Query
    ) -> tuple[FilteredContexts | None, NDArray[np.float32]]:
        """What reverses the forecast (None: it is of raw series), and the forecast ``[B, Q, H]``.

        Its Q levels are the model's own, whatever the query asks.
        """


class _Scores:
    """Pools every variant's windows; a variant that diverged once is done."""

    def __init__(self, evaluation: Evaluation, by_step: bool) -> None:
        self.evaluation, self.by_step = evaluation, by_step
        self.pools: dict[Variant, Metrics] = {}
        self.steps: dict[Variant, StepErrors] = {}
        self.filters: dict[Variant, Filter] = {}
        self.reasons: dict[Variant, str] = {}
        self._scaled: tuple[Batch | None, Values] = (None, np.zeros(0))

    def add(
        self,
        variant: Variant,
        batch: Batch,
        truth: Values,
        make: Callable[[], NDArray[np.floating]],
        filter: Filter | None = None,
    ) -> None:
        pool = self.pools.setdefault(variant, self.evaluation.metrics())
        if filter is not None:
            self.filters[variant] = filter
        if variant in self.reasons:
            return
        try:
            quantiles = make()
        except Diverged as error:
            self.reasons[variant] = str(error)
            return
        pool.add(batch, window_sums(truth, quantiles))
        if self.by_step:
            steps = self.steps.setdefault(variant, StepErrors(truth.shape[1]))
            steps.add(truth, quantiles, self.scales(batch))

    def outcomes(self) -> dict[Variant, Outcome]:
        found = {}
        for variant, pool in self.pools.items():
            values, reason = pool.values(), self.reasons.get(variant, "")
            steps = self.steps[variant].values() if variant in self.steps and not reason else None
            if reason:
                values = dict.fromkeys(values, float("nan"))
            found[variant] = Outcome(values, self.filters.get(variant), reason, steps)
        return found

    def scales(self, batch: Batch) -> Values:
        """Seasonal errors of a batch, computed once for all its variants."""
        if self._scaled[0] is not batch:
            self._scaled = (batch, self.evaluation.scales(batch))
        return self._scaled[1]


def evaluate(
    evaluation: Evaluation, plan: Plan, report: Callable[[int], None] = lambda points: None
) -> dict[Variant, Outcome]:
    """Score every variant of a plan on one config or task.

    Args:
        evaluation: the config or task.
        plan: what to score.
        report: called after each batch with its number of forecast points.

    Raises:
        InputError: a forecast is missing, not finite or out of order.
    """
    scores = _Scores(evaluation, plan.by_step)
    for batch in _pieces(evaluation, plan):
        piece = _Piece(evaluation, plan, batch)
        _add_plain(scores, plan, piece)
        for name, made in plan.filters.items():
            _add_filter(scores, plan, plan.forecaster, plan.reversals, name, made, piece)
            _add_control(scores, plan, name, made, piece)
        report(piece.truth.size)
    return scores.outcomes()


class _Piece:
    """A batch, its truth ``[B, H]``, and medians of its unfiltered contexts, made once for all filters."""

    def __init__(self, evaluation: Evaluation, plan: Plan, batch: Batch) -> None:
        self.evaluation, self.plan, self.batch = evaluation, plan, batch
        self.truth = batch.windows.targets()

    @cached_property
    def plug_in(self) -> NDArray[np.floating]:
        """The forecaster's own median, ``[B, H]``."""
        return self._median(self.plan.forecaster)

    @cached_property
    def hybrid(self) -> NDArray[np.floating]:
        """The other forecaster's median, ``[B, H]``."""
        return self._median(self.plan.other or self.plan.forecaster)

    def _median(self, model: Forecaster) -> NDArray[np.floating]:
        query = replace(self.evaluation.query, quantile_levels=(0.5,))
        seen = self.batch.windows.contexts(model.context_length)
        return forecast_contexts(model, seen, query, self.evaluation.name)[:, 0]


def _pieces(evaluation: Evaluation, plan: Plan) -> Iterator[Batch]:
    """Batches whose contexts together stay small: filtering copies them."""
    limit = plan.forecaster.context_length if plan.control is None else plan.control.context_length
    reach = max((made.reach for made in plan.filters.values()), default=0)
    for batch in batches_for(evaluation, plan.forecaster):
        windows = batch.windows
        lengths = windows.cuts - windows.starts
        if limit is not None:
            lengths = np.minimum(lengths, limit + reach)
        part = np.cumsum(lengths) // _CONTEXT_VALUES if plan.reversals else np.zeros_like(lengths)
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(lengths)]
        for first, last in pairwise(edges):
            rows = slice(first, last)
            yield Batch(windows[rows], batch.target, batch.window[rows], batch.begins[rows])


def _add_filter(
    scores: _Scores,
    plan: Plan,
    who: Forecaster,
    modes: Sequence[Mode],
    name: str,
    made: Filter,
    piece: _Piece,
) -> None:
    """Forecast the filtered contexts of a batch once, and score it under each reversal."""
    batch, truth = piece.batch, piece.truth
    query, where, limit = scores.evaluation.query, scores.evaluation.name, who.context_length
    contexts = batch.windows.contexts(None if limit is None else limit + made.reach)

    def filtered() -> tuple[FilteredContexts, NDArray[np.float32]]:
        inputs = precondition(contexts, made, missing=plan.missing, centre=plan.centre, keep=limit)
        return inputs, forecast_contexts(who, inputs.series, query, where).astype(np.float32, copy=False)

    def reverse(mode: Mode) -> NDArray[np.float32]:
        inputs, quantiles = once()
        path: NDArray[np.floating] | None = None
        if mode == "oracle":
            path = truth
        elif mode in ("plug_in", "hybrid"):
            path = piece.hybrid if mode == "hybrid" else piece.plug_in
        answer = inputs.reverse(quantiles, query.quantile_levels, mode, path_BH=path)
        check_quantiles(answer, f"{who.name} under {mode}", where)
        return answer

    once = cache(filtered)
    for mode in modes:
        scores.add(Variant(who.name, name, mode), batch, truth, partial(reverse, mode), made)


def _add_control(scores: _Scores, plan: Plan, name: str, made: Filter, piece: _Piece) -> None:
    if plan.control is not None and "oracle" in plan.reversals:
        _add_filter(scores, plan, plan.control, ["oracle"], name, made, piece)


def _add_plain(scores: _Scores, plan: Plan, piece: _Piece) -> None:
    batch, truth = piece.batch, piece.truth
    query, where = scores.evaluation.query, scores.evaluation.name
    who = plan.forecaster
    if isinstance(who, FilteredForecaster) and plan.reversals:
        _add_own_filter(scores, plan, who, piece)
    else:
        scores.add(Variant(who.name), batch, truth, partial(forecast, who, batch.windows, query, where))
    if plan.control is not None:
        plain = partial(forecast, plan.control, batch.windows, query, where)
        scores.add(Variant(plan.control.name), batch, truth, plain)


def _add_own_filter(scores: _Scores, plan: Plan, model: FilteredForecaster, piece: _Piece) -> None:
    """Score a model that was trained on filtered series, plain and under the reversals of its own filter.

    Its plain forecast is its self reversal; the reversals that need another forecast do not apply. The finite
    inverse is the one that was learned with the model, and the ideal one where none was.
    """
    batch, truth = piece.batch, piece.truth
    query, where, name = scores.evaluation.query, scores.evaluation.name, plan.forecaster.name
    contexts = batch.windows.contexts(plan.forecaster.context_length)
    order = np.argsort([len(context) for context in contexts], kind="stable")
    filtered, quantiles = model.forecast_filtered([contexts[place] for place in order], query)
    place = np.argsort(order)

    def reverse(mode: Mode) -> NDArray[np.float32]:
        answer = quantiles
        if filtered is not None:
            path = truth[order] if mode == "oracle" else None
            taps, stride = (model.inverse if mode == "fir" else None) or (None, None)
            answer = filtered.reverse(
                quantiles, model.quantile_levels, mode, path_BH=path, inverse_taps=taps, inverse_stride=stride
            )
        answer = at_levels(answer, model.quantile_levels, query.quantile_levels)
        check_quantiles(answer, f"{name} under {mode}", where)
        return answer[place]

    scores.add(Variant(name), batch, truth, partial(reverse, "self"))
    if filtered is None:
        return
    made = filtered.filter
    for mode in plan.reversals:
        if mode in ("self", "oracle", "fir"):
            scores.add(Variant(name, made.name, mode), batch, truth, partial(reverse, mode), made)
    _add_control(scores, plan, made.name, made, piece)
