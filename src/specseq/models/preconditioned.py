"""Preconditioning of any forecaster: filter the context, forecast, undo the filter.

The filtered-space forecast is made once and every reversal is applied to it::

    filtered = precondition(contexts, filter)
    quantiles = forecaster.forecast(filtered.series, query)
    own = filtered.reverse(quantiles, query.quantile_levels, "self")
    gap = filtered.reverse(quantiles, query.quantile_levels, "oracle", path_BH=truth)

The oracle needs the truth, so it is only a diagnostic and :class:`Preconditioned` does not offer it. A figure
from the oracle needs the same oracle on a seasonal naive forecast as its control.

Shapes: B windows, Q quantile levels, H horizon steps, M = degree · stride, the filter's reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from specseq.errors import Diverged, InputError
from specseq.filters import Filter, ideal_inverse
from specseq.models.protocol import Forecaster, Query

if TYPE_CHECKING:
    from torch import Tensor

Reversal = Literal["self", "plug_in", "hybrid", "fir"]
Mode = Literal["self", "plug_in", "hybrid", "fir", "oracle"]
Missing = Literal["skip", "zero"]
Floats = NDArray[np.float32]

INVERSE_LENGTH = 64
_MEDIAN = 0.5


@dataclass(frozen=True)
class FilteredContexts:
    """Filtered contexts and the data needed for reversals.

    Attributes:
        missing: what a missing tap means, see :mod:`specseq.filters.operators`.
        series: filtered contexts, for a forecaster; NaN only where the context is not finite.
        location_B: each context's typical value; the filter acts on deviations from it.
        tail_BM: the last M points of the context minus the location; NaN where missing or before its start.
        filtered_tail: the same for the filtered context, over the reach of the finite inverse.
        filtered_B: whether the filter applied anywhere; a context too short for it passes through unchanged,
            as does its forecast.
    """

    filter: Filter
    missing: Missing
    series: list[Floats]
    location_B: NDArray[np.float64]
    tail_BM: NDArray[np.float64]
    filtered_tail: NDArray[np.float64]
    filtered_B: NDArray[np.bool_]

    def reverse(
        self,
        quantiles_BQH: Floats,
        quantile_levels: Sequence[float],
        mode: Mode,
        *,
        path_BH: NDArray[np.floating] | None = None,
        inverse_taps: NDArray[np.float64] | None = None,
        inverse_stride: int | None = None,
    ) -> Floats:
        """Undo the filter in a filtered-space forecast.

        Args:
            quantile_levels: its Q levels, including 0.5.
            mode: source of the lags inside the horizon. ``self``: the already reversed median;
                ``plug_in``: the same forecaster's forecast of the unfiltered series; ``hybrid``: another
                model's; ``oracle``: the truth (a diagnostic); ``fir``: none, a finite inverse instead.
            path_BH: median of that forecast, or the truth, in the units of the contexts; like contexts, a
                truth may have gaps.
            inverse_taps: g of the finite inverse; None for the ideal ones, 64 or as many as the tail holds.
            inverse_stride: time steps between inverse taps; None for the filter's stride.

        Returns:
            [B, Q, H], every quantile shifted by the same amount.

        Raises:
            InputError: a path is missing or superfluous, or the median is missing.
            Diverged: the reversal exceeded the range of 32-bit floats.
        """
        if mode not in get_args(Mode):
            raise InputError("reversal", f"unknown mode {mode!r}", f"choose from {', '.join(get_args(Mode))}")
        if (path_BH is not None) != (mode in ("plug_in", "hybrid", "oracle")):
            need = "needs the path of the lags" if path_BH is None else "takes no path"
            raise InputError("reversal", f"{mode} {need}")
        if (inverse_taps is not None or inverse_stride is not None) and mode != "fir":
            raise InputError("reversal", f"{mode} takes no inverse taps and no stride for them")
        if inverse_taps is None and inverse_stride not in (None, self.filter.stride):
            raise InputError("inverse stride", f"{inverse_stride}", "ideal taps have the filter's stride")
        median = _median_index(quantile_levels)
        with np.errstate(over="ignore", invalid="ignore"):
            median_BH = np.asarray(quantiles_BQH)[:, median]
            if mode == "fir":
                shift_BH = self._inverse_shift(median_BH, inverse_taps, inverse_stride or self.filter.stride)
            else:
                shift_BH = self._lag_shift(median_BH if path_BH is None else path_BH, path_BH is None)
            shift_BH = np.where(self.filtered_B[:, None], shift_BH, 0.0)
            reversed_BQH = (quantiles_BQH - shift_BH[:, None]).astype(np.float32)
        before, after = np.isfinite(quantiles_BQH), np.isfinite(reversed_BQH)
        count = int((before.all(axis=(1, 2)) & ~after.all(axis=(1, 2))).sum())
        if count:
            raise Diverged(
                f"{mode} reversal of {self.filter.name}: {count} of {len(after)} windows overflow "
                f"within {after.shape[2]} steps"
            )
        return reversed_BQH

    def _lag_shift(self, path_BH: NDArray[np.floating], recursive: bool) -> NDArray[np.float64]:
        """The sum over lags, inside and before the horizon, that the filter adds to the series, [B, H]."""
        import torch

        from specseq.filters import operators

        shift = operators.self_shift if recursive else operators.path_shift
        taps, tail = torch.from_numpy(self.filter.array), torch.from_numpy(self.tail_BM)
        path_BH = path_BH if recursive else np.where(np.isinf(path_BH), np.nan, path_BH)
        return shift(self._deviation(path_BH), tail, taps, self.filter.stride, missing=self.missing).numpy()

    def _inverse_shift(
        self, median_BH: Floats, inverse_taps: NDArray[np.float64] | None, stride: int
    ) -> NDArray[np.float64]:
        """The output of a finite inverse of the filtered series, where the filter applies, [B, H]."""
        import torch

        from specseq.filters import operators

        held = self.filtered_tail.shape[1] // stride
        if inverse_taps is None:
            inverse_taps = ideal_inverse(self.filter, min(INVERSE_LENGTH, held))
        if len(inverse_taps) > held:
            fault = f"{len(inverse_taps)} of them, stride {stride}"
            raise InputError("inverse taps", fault, f"at most {held}")
        inverse = torch.from_numpy(np.asarray(inverse_taps, np.float64))
        history = np.ascontiguousarray(self.filtered_tail[:, -len(inverse) * stride :])
        shift = operators.fir_shift(self._deviation(median_BH), torch.from_numpy(history), inverse, stride)
        where = operators.horizon_applies(
            torch.from_numpy(self.tail_BM), shift.shape[1], self.filter.degree, self.filter.stride,
            missing=self.missing,
        )  # fmt: skip
        return torch.where(where, shift, 0.0).numpy()

    def _deviation(self, values_BH: NDArray[np.floating]) -> "Tensor":
        import torch

        return torch.from_numpy(np.asarray(values_BH, dtype=np.float64) - self.location_B[:, None])


def precondition(
    contexts: Sequence[Floats],
    filter: Filter,
    *,
    missing: Missing = "zero",
    centre: bool = True,
    keep: int | None = None,
) -> FilteredContexts:
    """Filter contexts.

    Args:
        contexts: B series, oldest value first, NaN or infinite where missing.
        missing: what a missing tap means. A gap causes a step in the filtered series, which a forecaster may
            continue into the horizon; ``zero`` (the context's mean) makes it smaller than ``skip``.
        centre: apply the filter to deviations from the context's mean, so that points out of its reach have
            the same level as the others; False filters the raw values.
        keep: number of last points handed to the forecaster; the filter sees all points.
    """
    import torch

    from specseq.filters import operators

    lengths = np.array([len(context) for context in contexts])
    flat = np.concatenate([np.asarray(context, dtype=np.float64) for context in contexts])
    flat[np.isinf(flat)] = np.nan
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    location = _means(flat, starts) if centre else np.zeros(len(contexts))
    deviation = flat - np.repeat(location, lengths)
    ids = torch.from_numpy(np.repeat(np.arange(len(contexts)), lengths))
    values, taps = torch.from_numpy(deviation), torch.from_numpy(filter.array)
    added = operators.hint(values, taps, filter.stride, ids=ids, missing=missing).numpy()
    where = operators.applies(values, filter.degree, filter.stride, ids=ids, missing=missing).numpy()
    with np.errstate(over="ignore"):
        filtered = (flat + added).astype(np.float32)
    if np.isinf(filtered).any():
        raise Diverged(f"filter {filter.name}: filtered contexts leave the range of 32-bit floats")
    ends = starts + lengths
    first = starts if keep is None else np.maximum(starts, ends - keep)
    return FilteredContexts(
        filter=filter,
        missing=missing,
        series=[filtered[start:end] for start, end in zip(first, ends, strict=True)],
        location_B=location,
        tail_BM=_tails(deviation, starts, ends, filter.reach),
        filtered_tail=_tails(deviation + added, starts, ends, INVERSE_LENGTH * filter.stride),
        filtered_B=np.logical_or.reduceat(where, starts),
    )


class Preconditioned:
    """A forecaster that sees filtered contexts and whose forecasts are reversed.

    Do not use a recursive reversal if the filter's spectral radius is 1 or more: errors then grow without
    bound over the horizon.
    """

    def __init__(
        self,
        forecaster: Forecaster,
        filter: Filter,
        reversal: Reversal = "self",
        *,
        other: Forecaster | None = None,
        inverse_taps: NDArray[np.float64] | None = None,
        missing: Missing = "zero",
        centre: bool = True,
    ) -> None:
        """
        Args:
            reversal: ``self``, ``plug_in``, ``hybrid`` or ``fir``, see :meth:`FilteredContexts.reverse`.
            other: forecasts the lags of the hybrid reversal.
            inverse_taps: taps of the ``fir`` reversal; None for the ideal ones.

        Raises:
            InputError: the reversal is unknown, or ``other`` is missing or superfluous.
        """
        if reversal not in get_args(Reversal):
            hint = "; the oracle uses the truth" if reversal == "oracle" else ""
            fault = f"{reversal!r}{hint}"
            raise InputError("reversal", fault, f"choose from {', '.join(get_args(Reversal))}")
        if (other is not None) != (reversal == "hybrid"):
            raise InputError("reversal", f"{reversal} with other={other!r}", "hybrid alone needs another")
        self.forecaster, self.filter, self.reversal, self.other = forecaster, filter, reversal, other
        self.inverse_taps, self.missing, self.centre = inverse_taps, missing, centre
        self.name = f"{forecaster.name}+{filter.name}+{reversal}"
        inner = forecaster.context_length
        self.context_length = None if inner is None else inner + filter.reach

    def forecast(self, contexts: Sequence[Floats], query: Query) -> Floats:
        """Quantile forecasts of the unfiltered series, [B, Q, H]."""
        levels = tuple(sorted({*query.quantile_levels, _MEDIAN}))
        filtered = precondition(
            contexts, self.filter, missing=self.missing, centre=self.centre,
            keep=self.forecaster.context_length,
        )  # fmt: skip
        quantiles = self.forecaster.forecast(filtered.series, replace(query, quantile_levels=levels))
        path = None
        if self.reversal in ("plug_in", "hybrid"):
            path = median_forecast(self.other or self.forecaster, contexts, query)
        reversed_BQH = filtered.reverse(
            quantiles, levels, self.reversal, path_BH=path, inverse_taps=self.inverse_taps
        )
        return reversed_BQH[:, [levels.index(level) for level in query.quantile_levels]]


def median_forecast(forecaster: Forecaster, contexts: Sequence[Floats], query: Query) -> Floats:
    """A forecaster's median for contexts of any length, [B, H]."""
    length = forecaster.context_length
    seen = contexts if length is None else [context[-length:] for context in contexts]
    return forecaster.forecast(seen, replace(query, quantile_levels=(_MEDIAN,)))[:, 0]


def _median_index(quantile_levels: Sequence[float]) -> int:
    distance = np.abs(np.asarray(quantile_levels) - _MEDIAN)
    if distance.min() > 1e-9:
        fault = f"{list(quantile_levels)} lack 0.5"
        raise InputError("quantile levels", fault, "the reversal follows the median")
    return int(distance.argmin())


def _means(flat: NDArray[np.float64], starts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of the known values of each context, 0 where none is known."""
    there = ~np.isnan(flat)
    count = np.add.reduceat(there, starts, dtype=np.int64)
    return np.add.reduceat(np.where(there, flat, 0.0), starts) / np.maximum(count, 1)


def _tails(
    flat: NDArray[np.float64], starts: NDArray[np.int64], ends: NDArray[np.int64], length: int
) -> NDArray[np.float64]:
    """The last ``length`` values of each context, NaN before its start, [B, length]."""
    place = ends[:, None] + np.arange(-length, 0)
    return np.where(place >= starts[:, None], flat[np.maximum(place, 0)], np.nan)
