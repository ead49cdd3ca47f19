"""Sums over lags, differentiable and blocked for the cache: out_t = base_t + a_t Σ_i c_i u_{t - i·s}.

Shapes: R rows, T time points, d taps, M = d·s points of history before the row (the tail).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

# Elements in one block of rows, few enough for all operands of a block to stay in a core's cache.
_BLOCK = 1 << 17


def lagged_add(
    base_RT: Tensor | None,
    path_RT: Tensor,
    tail_RM: Tensor | None,
    taps: Tensor,
    stride: int,
    applies_RT: Tensor | None = None,
) -> Tensor:
    """base + a · Σ_i c_i u_{t - i·stride}, where u is the path preceded by the tail.

    Args:
        base_RT: values that the sum is added to; None for zero.
        path_RT: finite values.
        tail_RM: the d·stride points before the path; without it, the first d·stride points get no sum.
        taps: c, [d], of the path's type.
        applies_RT: where the sum is added (boolean); None for everywhere.

    Returns:
        [R, T]; differentiable in base, path, tail and taps.
    """
    result: Tensor = _LaggedAdd.apply(base_RT, path_RT, tail_RM, taps, stride, applies_RT)
    return result


class _LaggedAdd(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        base: Tensor | None,
        path: Tensor,
        tail: Tensor | None,
        taps: Tensor,
        stride: int,
        applies: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(path, tail, taps, applies)
        ctx.stride = stride
        values = tap_values(taps)
        out = empty_like(path)
        for rows in row_blocks(path):
            target = out[rows]
            if applies is None:
                _start(target, base, rows)
                _accumulate(target, path[rows], _rows(tail, rows), values, stride)
            else:
                shift = torch.zeros_like(target)
                _accumulate(shift, path[rows], _rows(tail, rows), values, stride)
                _start(target, base, rows)
                target += shift.masked_fill_(~applies[rows], 0.0)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        path, tail, taps, applies = ctx.saved_tensors
        values = tap_values(taps)
        needs_base, needs_path, needs_tail, needs_taps = ctx.needs_input_grad[:4]
        path_slope = torch.zeros_like(path) if needs_path else None
        tail_slope = torch.zeros_like(tail) if needs_tail else None
        taps_slope = torch.zeros_like(taps) if needs_taps else None
        for rows in row_blocks(path):
            inner = slope[rows] if applies is None else slope[rows] * applies[rows]
            path_part, tail_part = _rows(path_slope, rows), _rows(tail_slope, rows)
            spread_adjoint(inner, values, ctx.stride, path_part, tail_part, tail is not None)
            if taps_slope is not None:
                taps_slope += tap_products(inner, path[rows], _rows(tail, rows), len(taps), ctx.stride)
        return slope if needs_base else None, path_slope, tail_slope, taps_slope, None, None


def tap_values(taps: Tensor) -> list[Any]:
    """Taps as numbers on the CPU; elsewhere as scalars on the device, since reading them would stall."""
    return taps.tolist() if taps.device.type == "cpu" else list(taps.unbind())


def empty_like(values: Tensor) -> Tensor:
    """An uninitialised contiguous tensor.

    On the CPU its memory comes from NumPy, which requests huge pages; otherwise page faults would cost as
    much as the arithmetic on a large batch.
    """
    if values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64):
        kind = np.float32 if values.dtype == torch.float32 else np.float64
        return torch.from_numpy(np.empty(tuple(values.shape), kind))
    return torch.empty(values.shape, dtype=values.dtype, device=values.device)


def row_blocks(values_RT: Tensor, elements: int = _BLOCK) -> list[slice]:
    """Slices over rows; a single slice off the CPU, where one large kernel beats many small ones."""
    rows, length = values_RT.shape
    size = rows if values_RT.device.type != "cpu" else max(1, elements // max(length, 1))
    return [slice(start, start + size) for start in range(0, rows, max(size, 1))]


def spread_adjoint(
    slope_RT: Tensor,
    values: list[Any],
    stride: int,
    path_slope_RT: Tensor | None,
    tail_slope_RM: Tensor | None,
    has_tail: bool,
) -> None:
    """Add to the gradients of path and tail their part through Σ_i c_i u_{t - i·stride}."""
    length, reach = slope_RT.shape[1], len(values) * stride
    for number, tap in enumerate(values, 1):
        lag = number * stride
        first = lag if has_tail else reach
        if path_slope_RT is not None and first < length:
            _axpy(path_slope_RT[:, first - lag : length - lag], slope_RT[:, first:], tap)
        if tail_slope_RM is not None:
            head = min(lag, length)
            _axpy(tail_slope_RM[:, reach - lag : reach - lag + head], slope_RT[:, :head], tap)


def tap_products(
    slope_RT: Tensor, path_RT: Tensor, tail_RM: Tensor | None, degree: int, stride: int
) -> Tensor:
    """Σ_t slope_t u_{t - i·stride} for each tap, [d]."""
    length, reach = slope_RT.shape[1], degree * stride
    products = slope_RT.new_zeros(degree)
    for number in range(1, degree + 1):
        lag = number * stride
        first = reach if tail_RM is None else lag
        if first < length:
            products[number - 1] += (slope_RT[:, first:] * path_RT[:, first - lag : length - lag]).sum()
        if tail_RM is not None:
            head = min(lag, length)
            products[number - 1] += (slope_RT[:, :head] * tail_RM[:, reach - lag : reach - lag + head]).sum()
    return products


def _accumulate(out: Tensor, path: Tensor, tail: Tensor | None, values: list[Any], stride: int) -> None:
    length, reach = out.shape[1], len(values) * stride
    for number, tap in enumerate(values, 1):
        lag = number * stride
        first = reach if tail is None else lag
        if first < length:
            _axpy(out[:, first:], path[:, first - lag : length - lag], tap)
        if tail is not None:
            head = min(lag, length)
            _axpy(out[:, :head], tail[:, reach - lag : reach - lag + head], tap)


def _axpy(out: Tensor, values: Tensor, tap: Any) -> None:
    """out += tap · values, for a number or a scalar tensor."""
    if isinstance(tap, float):
        if tap:
            out.add_(values, alpha=tap)
    else:
        out.addcmul_(values, tap)


def _start(target: Tensor, base: Tensor | None, rows: slice) -> None:
    if base is None:
        target.zero_()
    else:
        target.copy_(base[rows])


def _rows(values: Tensor | None, rows: slice) -> Tensor | None:
    return None if values is None else values[rows]
