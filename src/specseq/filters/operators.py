"""Apply a filter to time points and undo it, on torch tensors: differentiable, NaN-, mask- and id-aware.

Notation: y a series, z = A(L) y the filtered one, c the d taps, s the stride (time steps between two taps),
M = d·s the filter's reach, tail the M points before a horizon.
Shapes: T time points, H horizon steps, Q quantiles, any leading dimensions before them.

All values are in scaled space, where 0 is the series' typical value. A value is missing if it is NaN or not
observed. A point is filtered if all its d taps exist (same series, t ≥ M) and

- ``missing="skip"``: none of them is missing; otherwise z = y;
- ``missing="zero"``: in any case; a missing tap counts as 0.

A missing value never spreads: it stays as it was, and no other point becomes NaN. The reversals follow the
same rule, so a perfect forecast of z gives back y.

A reversal subtracts a shift, ŷ = ẑ - shift, the same for every quantile. The shifts differ in the source of
the lags inside the horizon:

- :func:`self_shift`: from the already reversed median (recursive). Error e = E/A.
- :func:`path_shift`: from a given path: the forecaster's own unfiltered forecast (plug-in), another model's
  (hybrid), or the truth (oracle: error E exactly; a diagnostic, never a forecast).
- :func:`fir_shift`: from the filtered series itself through a finite inverse, Σ_j g_j z_{t-j}.

Source: Marsden & Hazan, Universal Sequence Preconditioning, arXiv:2502.06545, for the filter; the reversals
follow from its definition.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from specseq.filters.lagged import lagged_add
from specseq.filters.recursion import recursion

Missing = Literal["skip", "zero"]


def forward(
    y: Tensor,
    taps: Tensor,
    stride: int = 1,
    *,
    observed: Tensor | None = None,
    ids: Tensor | None = None,
    missing: Missing = "skip",
) -> Tensor:
    """z_t = y_t + Σ_i c_i y_{t - i·stride}.

    Args:
        y: [..., T]; NaN where missing.
        observed: [..., T] boolean; False counts as missing, as does NaN.
        ids: [..., T]; a lag across a change of id does not exist. Needed for rows that pack several series or
            variates; one number that combines both is enough.

    Returns:
        z, [..., T], equal to y bit for bit where the filter does not apply or all taps are 0.
    """
    return _filtered(y, y, taps, stride, observed, ids, missing)


def hint(
    y: Tensor,
    taps: Tensor,
    stride: int = 1,
    *,
    observed: Tensor | None = None,
    ids: Tensor | None = None,
    missing: Missing = "skip",
) -> Tensor:
    """z - y, [..., T]: what the filter adds; 0 where it does not apply or y is missing."""
    return _filtered(None, y, taps, stride, observed, ids, missing)


def applies(
    y: Tensor,
    degree: int,
    stride: int = 1,
    *,
    observed: Tensor | None = None,
    ids: Tensor | None = None,
    missing: Missing = "skip",
) -> Tensor:
    """Mask of the points that :func:`forward` filters, [..., T] boolean."""
    valid = _valid(y, observed)
    there = torch.ones_like(y, dtype=torch.bool) if valid is None else valid
    return _applies(there, age(ids) if ids is not None else None, degree, stride, missing)


def age(ids: Tensor) -> Tensor:
    """Points since the start of each point's run of equal ids, [..., T] int32."""
    place = torch.arange(ids.shape[-1], device=ids.device, dtype=torch.int32).expand(ids.shape)
    start = torch.zeros_like(place)
    start[..., 1:] = torch.where(ids[..., 1:] != ids[..., :-1], place[..., 1:], 0)
    return place - torch.cummax(start, -1).values


def self_shift(
    median: Tensor, tail: Tensor, taps: Tensor, stride: int = 1, *, missing: Missing = "skip"
) -> Tensor:
    """Shift of the recursive reversal: lags inside the horizon come from the already reversed median.

    Args:
        median: forecast median of z, [..., H]; finite.
        tail: the M = d·stride points of y before the horizon, [..., M]; NaN where missing or before the
            start of the series.

    Returns:
        [..., H], to be subtracted from every quantile of z.
    """
    return median - self_reversal(median, tail, taps, stride, missing=missing)


def self_reversal(
    z: Tensor, tail: Tensor, taps: Tensor, stride: int = 1, *, missing: Missing = "skip"
) -> Tensor:
    """ŷ_t = z_t - Σ_i c_i ŷ_{t - i·stride}, [..., H]: the recursive reversal of a single path.

    Arguments as in :func:`self_shift`. Unstable if the filter's spectral radius is 1 or more.
    """
    z_RH, tail_RM = _rows(z), _rows(_expand(tail, z))
    valid = ~torch.isnan(tail_RM)
    head = None
    if missing == "skip" and not bool(valid.all()):
        length = min(z_RH.shape[-1], tail_RM.shape[-1])
        head = _lags_there(valid, torch.ones_like(z_RH[:, :length], dtype=torch.bool), len(taps), stride)
    clean = torch.where(valid, tail_RM, 0.0)
    return recursion(z_RH, clean, taps.to(z.dtype), stride, head).reshape(z.shape)


def path_shift(
    path: Tensor, tail: Tensor, taps: Tensor, stride: int = 1, *, missing: Missing = "skip"
) -> Tensor:
    """Σ_i c_i u_{t - i·stride}, where u is the tail followed by a given path of y, [..., H].

    The path may hold NaN (a truth with gaps); the rule for missing taps applies there too.
    """
    return -path_reversal(None, path, tail, taps, stride, missing=missing)


def path_reversal(
    z: Tensor | None, path: Tensor, tail: Tensor, taps: Tensor, stride: int = 1, *, missing: Missing = "skip"
) -> Tensor:
    """z - :func:`path_shift`, [..., H], in one pass; ``None`` stands for z = 0."""
    path_RH, tail_RM = _rows(path), _rows(_expand(tail, path))
    where = None
    tail_valid = ~torch.isnan(tail_RM)
    whole = bool(tail_valid.all())
    if not whole:
        tail_RM = torch.where(tail_valid, tail_RM, 0.0)
    if has_nan(path_RH) or not whole:
        path_valid = ~torch.isnan(path_RH)
        if missing == "skip":
            where = _lags_there(tail_valid, path_valid, len(taps), stride)
        path_RH = torch.where(path_valid, path_RH, 0.0)
    base = None if z is None else _rows(z)
    return lagged_add(base, path_RH, tail_RM, -taps.to(path.dtype), stride, where).reshape(path.shape)


def fir_shift(median: Tensor, z_tail: Tensor, inverse_taps: Tensor, stride: int = 1) -> Tensor:
    """r̂_t = Σ_j g_j z_{t - j·stride}, [..., H]: the residual r = z - y read off the filtered series.

    Args:
        median: forecast median of z, [..., H].
        z_tail: filtered context before the horizon, [..., J·stride]; NaN where missing.
        inverse_taps: g, [J]; the ideal ones are -h_j, minus the impulse response of 1/A.
    """
    return path_shift(median, z_tail, inverse_taps, stride, missing="zero")


def horizon_applies(
    tail: Tensor, horizon: int, degree: int, stride: int = 1, *, missing: Missing = "skip"
) -> Tensor:
    """Mask of a horizon's points to which the filter applies if none is missing, [..., H] boolean."""
    there = torch.ones(*tail.shape[:-1], horizon, dtype=torch.bool, device=tail.device)
    return there if missing == "zero" else _lags_there(~torch.isnan(tail), there, degree, stride)


def has_nan(values: Tensor) -> bool:
    """Whether any value is NaN; usually settled by a single sum if not."""
    return bool(torch.isnan(values.detach().sum())) and bool(torch.isnan(values).any())


def _filtered(
    base: Tensor | None,
    y: Tensor,
    taps: Tensor,
    stride: int,
    observed: Tensor | None,
    ids: Tensor | None,
    missing: Missing,
) -> Tensor:
    y_RT = _rows(y)
    valid = _valid(y_RT, None if observed is None else _rows(observed))
    since = age(_rows(ids)) if ids is not None else None
    where, clean = None, y_RT
    if valid is not None or since is not None:
        there = torch.ones_like(y_RT, dtype=torch.bool) if valid is None else valid
        where = _applies(there, since, len(taps), stride, missing)
    if valid is not None:
        clean = torch.where(valid, y_RT, 0.0)
    start = None if base is None else _rows(base)
    return lagged_add(start, clean, None, taps.to(y.dtype), stride, where).reshape(y.shape)


def _valid(y: Tensor, observed: Tensor | None) -> Tensor | None:
    """Mask of the values that are present; None if all are."""
    if observed is not None:
        return observed.bool() & ~torch.isnan(y)
    return ~torch.isnan(y) if has_nan(y) else None


def _applies(valid_RT: Tensor, since_RT: Tensor | None, degree: int, stride: int, missing: Missing) -> Tensor:
    """Mask of points whose taps all exist and, unless a missing one counts as 0, are present, [R, T]."""
    reach = degree * stride
    if since_RT is None:
        where = torch.ones_like(valid_RT)
        where[..., :reach] = False
    else:
        where = since_RT >= reach
    where &= valid_RT
    if missing == "skip":
        for lag in range(stride, reach + 1, stride):
            where[..., lag:] &= valid_RT[..., :-lag]
    return where


def _lags_there(tail_valid: Tensor, path_valid: Tensor, degree: int, stride: int) -> Tensor:
    """Mask of the path's points whose d lags are all present, [R, H]."""
    length, reach = path_valid.shape[-1], tail_valid.shape[-1]
    joined = torch.cat([tail_valid, path_valid], -1)
    there = torch.ones_like(path_valid)
    for lag in range(stride, degree * stride + 1, stride):
        there &= joined[..., reach - lag : reach - lag + length]
    return there


def _rows(values: Tensor) -> Tensor:
    return values.reshape(math.prod(values.shape[:-1]), values.shape[-1])


def _expand(tail: Tensor, like: Tensor) -> Tensor:
    return tail.expand(*like.shape[:-1], tail.shape[-1])
