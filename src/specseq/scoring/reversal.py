"""Every way to forecast a batch: plain, and on filtered contexts under every reversal, with its control.

The forecast of filtered contexts is made once per filter; each reversal is applied to it. A model that was
trained on filtered series forecasts in the space of its own filter, and is scored the same way. The oracle
reversal uses the truth inside the horizon: a diagnostic, which lowers the error of any forecast. So every
oracle score comes with the score of seasonal naive under the same oracle.

Shapes: B windows, Q quantile levels, H horizon steps.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from itertools import pairwise
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from specseq.filters import Filter
from specseq.models.preconditioned import FilteredContexts, Missing, Mode, precondition
from specseq.models.protocol import Forecaster, Query, at_levels
from specseq.scoring.evaluation import Batch, Evaluation, Recorded, batches_for
from specseq.scoring.forecasting import check_quantiles, forecast, forecast_contexts, in_rows

Values = NDArray[np.float64]
Quantiles = NDArray[np.floating]

NONE = "none"
CONTEXT_VALUES = 4_000_000


class Variant(NamedTuple):
    """One way to forecast: the forecaster's name, the name of the filter, the mode of the reversal."""

    forecaster: str
    filter: str = NONE
    reversal: str = NONE


# Variants, each with its filter and what makes its quantiles [B, Q, H].
Variants = Iterator[tuple[Variant, Filter | None, Callable[[], Quantiles]]]


@dataclass
class ForecastPlan:
    """Forecaster, filters and reversals to score on each config or task.

    Attributes:
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
        """What reverses the forecast (None if it is of the raw series), and the forecast [B, Q, H].

        Its Q levels are the model's own, whatever the query asks.
        """

    def forecast_unfiltered(
        self, contexts: Sequence[NDArray[np.float32]], query: Query
    ) -> NDArray[np.float32]:
        """The model's median [B, H] when it is shown the series as they are, for the reversal plug_in."""


@dataclass
class _Filtered:
    """A forecast in the space of a filter.

    Attributes:
        contexts: the filtered contexts.
        quantiles: the forecast, [B, Q, H].
        levels: its Q levels.
        order: the row of the batch that each row belongs to, [B].
        inverse: taps and stride of the finite inverse; None for the ideal one.
    """

    contexts: FilteredContexts
    quantiles: NDArray[np.float32]
    levels: tuple[float, ...]
    order: NDArray[np.int64]
    inverse: tuple[Values, int] | None = None


class Piece:
    """A batch with its truth [B, H] and all ways to forecast it; what several of them need is made once."""

    def __init__(self, evaluation: Evaluation, plan: ForecastPlan, batch: Batch) -> None:
        self.evaluation, self.plan, self.batch = evaluation, plan, batch
        self.truth = batch.windows.targets()

    @cached_property
    def scales(self) -> Values:
        """Seasonal errors, [B]."""
        return self.evaluation.seasonal_errors(self.batch)

    def variants(self, part: str) -> Variants:
        """The variants of a part."""
        plan, who, control = self.plan, self.plan.forecaster, self.plan.control
        if part != NONE:
            yield from self._reversals(who, part, plan.filters[part], plan.reversals)
            yield from self._control(part, plan.filters[part])
            return
        if isinstance(who, FilteredForecaster) and plan.reversals:
            yield from self._own_filter(who)
        else:
            yield Variant(who.name), None, partial(self._plain, who)
        if control is not None:
            yield Variant(control.name), None, partial(self._plain, control)

    def _plain(self, who: Forecaster) -> Quantiles:
        if isinstance(who, Recorded):
            return who.recorded(self.evaluation, self.batch.rows)
        query = self.evaluation.query
        quantiles = forecast(who, self.batch.windows, query, self.evaluation.name)
        if self.plan.filters and 0.5 in query.quantile_levels:
            self._medians[id(who)] = quantiles[:, query.quantile_levels.index(0.5)].copy()
        return quantiles

    def _control(self, name: str, filter: Filter) -> Variants:
        if self.plan.control is not None and "oracle" in self.plan.reversals:
            yield from self._reversals(self.plan.control, name, filter, ["oracle"])

    def _reversals(self, who: Forecaster, name: str, filter: Filter, modes: Sequence[Mode]) -> Variants:
        """A frozen forecaster on filtered contexts."""
        limit = who.context_length

        @cache
        def forecast_filtered() -> _Filtered:
            query = self.evaluation.query
            contexts = precondition(
                self.batch.windows.contexts(None if limit is None else limit + filter.reach),
                filter,
                missing=self.plan.missing,
                centre=self.plan.centre,
                keep=limit,
            )
            quantiles = forecast_contexts(who, contexts.series, query, self.evaluation.name)
            quantiles = quantiles.astype(np.float32, copy=False)
            return _Filtered(contexts, quantiles, query.quantile_levels, np.arange(len(quantiles)))

        for mode in modes:
            make = partial(self._reverse, who, forecast_filtered, mode)
            yield Variant(who.name, name, mode), filter, make

    def _own_filter(self, model: FilteredForecaster) -> Variants:
        """A model that was trained on filtered series, plain and under the reversals of its own filter.

        Its plain forecast is its self reversal. plug_in takes its lags from the model's forecast of the raw
        series, on which it was not trained.
        """
        who, query = self.plan.forecaster, self.evaluation.query
        contexts = self.batch.windows.contexts(who.context_length)
        order = np.argsort([len(context) for context in contexts], kind="stable")
        ordered = [contexts[row] for row in order]
        filtered, quantiles = model.forecast_filtered(ordered, query)
        if filtered is None:
            answer = at_levels(quantiles, model.quantile_levels, query.quantile_levels)
            yield Variant(who.name), None, partial(self._in_order, who, "self", answer, order)
            return
        source = _Filtered(filtered, quantiles, model.quantile_levels, order, model.inverse)
        reverse = partial(
            self._reverse,
            who,
            lambda: source,
            plug_in=lambda: in_rows(model.forecast_unfiltered(ordered, query), order),
        )
        yield Variant(who.name), None, partial(reverse, "self")
        name = filtered.filter.name
        for mode in self.plan.reversals:
            yield Variant(who.name, name, mode), filtered.filter, partial(reverse, mode)
        yield from self._control(name, filtered.filter)

    def _reverse(
        self,
        who: Forecaster,
        source: Callable[[], _Filtered],
        mode: Mode,
        plug_in: Callable[[], Quantiles] | None = None,
    ) -> Quantiles:
        """Quantiles of the raw series [B, Q, H], from a forecast in a filter's space."""
        made, path = source(), plug_in() if plug_in and mode == "plug_in" else self._path(mode)
        taps, stride = (made.inverse if mode == "fir" else None) or (None, None)
        quantiles = made.contexts.reverse(
            made.quantiles,
            made.levels,
            mode,
            path_BH=None if path is None else path[made.order],
            inverse_taps=taps,
            inverse_stride=stride,
        )
        quantiles = at_levels(quantiles, made.levels, self.evaluation.query.quantile_levels)
        return self._in_order(who, mode, quantiles, made.order)

    def _in_order(
        self, who: Forecaster, mode: Mode, answer: Quantiles, order: NDArray[np.int64]
    ) -> Quantiles:
        check_quantiles(answer, f"{who.name} under {mode}", self.evaluation.name)
        return in_rows(answer, order)

    def _path(self, mode: Mode) -> Quantiles | None:
        """Path that the lags inside the horizon are taken from, [B, H]; None for a mode that needs none."""
        if mode == "oracle":
            return self.truth
        if mode == "plug_in":
            return self._median(self.plan.forecaster)
        return self._median(self.plan.other or self.plan.forecaster) if mode == "hybrid" else None

    @cached_property
    def _medians(self) -> dict[int, Quantiles]:
        return {}

    def _median(self, who: Forecaster) -> Quantiles:
        """A forecaster's median of the unfiltered contexts, [B, H]."""
        if id(who) not in self._medians:
            query = replace(self.evaluation.query, quantile_levels=(0.5,))
            contexts = self.batch.windows.contexts(who.context_length)
            answer = forecast_contexts(who, contexts, query, self.evaluation.name)
            self._medians[id(who)] = answer[:, 0]
        return self._medians[id(who)]


def pieces(evaluation: Evaluation, plan: ForecastPlan, *, fine: bool) -> Iterator[Batch]:
    """Batches whose contexts together stay small: filtering copies them."""
    limit = plan.forecaster.context_length if plan.control is None else plan.control.context_length
    reach = max((filter.reach for filter in plan.filters.values()), default=0)
    for batch in batches_for(evaluation, plan.forecaster, fine=fine):
        windows = batch.windows
        lengths = windows.cuts - windows.starts
        if limit is not None:
            lengths = np.minimum(lengths, limit + reach)
        part = np.cumsum(lengths) // CONTEXT_VALUES if plan.reversals else np.zeros_like(lengths)
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(lengths)]
        for first, last in pairwise(edges):
            yield batch[first:last]
