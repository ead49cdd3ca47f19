"""The recursion x_t = z_t - a_t Σ_i c_i x_{t - i·s}, differentiable, by blocks of small triangular matrices.

Within a block of K steps the recursion is linear in the block's input and in the d values before it:
x = H z - H C x_before, with H the K×K triangular Toeplitz matrix of the impulse response of 1/A. A row of T
points thus costs T/K matrix products instead of T steps. A stride is folded away first: a row of T points
with stride s is s independent rows of T/s points with stride 1.

Shapes: R rows, T time points, d taps, M = d·s points before the row (the tail), h = min(T, M).
"""

from typing import Any

import torch
from torch import Tensor

from specseq.filters.lagged import empty_like, row_blocks, spread_adjoint, tap_products, tap_values

_STEPS = 64
# Elements in one block of rows; the matrix products need more rows than sums over lags.
_BLOCK = 1 << 20


def recursion(
    z_RT: Tensor, tail_RM: Tensor, taps: Tensor, stride: int = 1, applies_Rh: Tensor | None = None
) -> Tensor:
    """x_t = z_t - a_t Σ_i c_i x_{t - i·stride}, with x before the row given by the tail.

    Args:
        z_RT: input, finite.
        tail_RM: the d·stride values before the row, finite.
        taps: c, [d], of the input's type.
        applies_Rh: where the sum is subtracted among the first min(T, d·stride) points (boolean); later
            it always is. None for everywhere.

    Returns:
        [R, T]; differentiable in z, tail and taps.
    """
    if stride > 1:
        folded = recursion(
            _fold(z_RT, stride), _fold(tail_RM, stride), taps, 1,
            None if applies_Rh is None else _fold(applies_Rh, stride),
        )  # fmt: skip
        return _unfold(folded, stride)[:, : z_RT.shape[1]]
    result: Tensor = _Recursion.apply(z_RT, tail_RM, taps, applies_Rh)
    return result


class _Recursion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, tail: Tensor, taps: Tensor, applies: Tensor | None) -> Tensor:
        length, degree = z.shape[1], len(taps)
        head = 0 if applies is None else min(length, degree)
        out = empty_like(z)
        before = tail
        if applies is not None and head:
            before = _head(z, tail, tap_values(taps), applies, out, head)
        _scan(z[:, head:], before, _block_matrix(taps, length), out[:, head:])
        ctx.save_for_backward(out, tail, taps, applies)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        out, tail, taps, applies = ctx.saved_tensors
        length, degree = out.shape[1], len(taps)
        head = 0 if applies is None else min(length, degree)
        values = tap_values(taps)
        # The adjoint runs the same recursion backwards in time, starting from zeros.
        z_slope = empty_like(slope)
        nothing = torch.zeros_like(tail)
        _scan(slope[:, head:], nothing, _block_matrix(taps, length), z_slope[:, head:], backwards=True)
        inner = z_slope
        if applies is not None:
            inner = z_slope.clone()
            for step in range(head - 1, -1, -1):
                z_slope[:, step] = slope[:, step]
                for number in range(1, min(degree, length - 1 - step) + 1):
                    z_slope[:, step] -= values[number - 1] * inner[:, step + number]
                inner[:, step] = z_slope[:, step] * applies[:, step]
        tail_slope = taps_slope = None
        if ctx.needs_input_grad[1]:
            tail_slope = torch.zeros_like(tail)
            spread_adjoint(-inner[:, :degree], values, 1, None, tail_slope, True)
        if ctx.needs_input_grad[2]:
            taps_slope = torch.zeros_like(taps)
            for rows in row_blocks(out):
                taps_slope -= tap_products(inner[rows], out[rows], tail[rows], degree, 1)
        return z_slope, tail_slope, taps_slope, None


def _head(z: Tensor, tail: Tensor, values: list[Any], applies: Tensor, out: Tensor, head: int) -> Tensor:
    """The first steps one by one, where the sum may not apply; returns the d values before the next step."""
    degree = len(values)
    window = torch.cat([tail, z[:, :head]], 1)
    for step in range(head):
        shift = torch.zeros_like(z[:, 0])
        for number, tap in enumerate(values, 1):
            shift += tap * window[:, degree + step - number]
        window[:, degree + step] = z[:, step] - applies[:, step] * shift
    out[:, :head] = window[:, degree:]
    return window[:, head:]


def _block_matrix(taps: Tensor, length: int) -> Tensor:
    """[-HC | H] of a block, transposed: [d + K, K], maps preceding values and input to the output."""
    degree, steps = len(taps), max(1, min(_STEPS, length))
    band = torch.cat([taps.flip(0), taps.new_ones(1)]).double()
    rows = torch.zeros(steps, degree + steps, dtype=torch.float64, device=taps.device)
    rows.as_strided((steps, degree + 1), (degree + steps + 1, 1)).copy_(band.expand(steps, degree + 1))
    right = torch.cat([-rows[:, :degree], torch.eye(steps, dtype=torch.float64, device=taps.device)], 1)
    solved = torch.linalg.solve_triangular(rows[:, degree:], right, upper=False, unitriangular=True)
    return solved.T.to(taps.dtype).contiguous()


def _scan(z: Tensor, before: Tensor, matrix: Tensor, out: Tensor, backwards: bool = False) -> None:
    """Run the recursion over all points, block by block, into ``out``.

    Backwards, a point depends on the d points after it, and ``before`` holds the values after the last one.
    """
    degree, steps, length = before.shape[1], matrix.shape[1], z.shape[1]
    starts = range(0, length, steps)
    with torch.autocast(z.device.type, enabled=False):
        for rows in row_blocks(z, _BLOCK):
            source, target, state = z[rows], out[rows], before[rows]
            for start in starts:
                size = min(steps, length - start)
                from_before, from_input = matrix[:degree, :size], matrix[degree : degree + size, :size]
                here = slice(start, start + size)
                if backwards:
                    from_before, from_input = from_before.flip(0, 1), from_input.flip(0, 1)
                    here = slice(length - start - size, length - start)
                torch.mm(source[:, here], from_input, out=target[:, here])
                target[:, here].addmm_(state, from_before)
                state = _window(state, target[:, here], backwards)


def _window(state: Tensor, block: Tensor, backwards: bool) -> Tensor:
    """The d values that the next block depends on, once a block is done."""
    degree, size = state.shape[1], block.shape[1]
    if backwards:
        return block[:, :degree] if size >= degree else torch.cat([block, state[:, : degree - size]], 1)
    return block[:, size - degree :] if size >= degree else torch.cat([state[:, size:], block], 1)


def _fold(values_RT: Tensor, stride: int) -> Tensor:
    """[R, T] to [R·s, ⌈T/s⌉]: one row per phase, padded at the end."""
    rows, length = values_RT.shape
    folded = -(-length // stride)
    padded = torch.nn.functional.pad(values_RT, (0, folded * stride - length))
    return padded.reshape(rows, folded, stride).transpose(1, 2).reshape(rows * stride, folded)


def _unfold(values: Tensor, stride: int) -> Tensor:
    """The inverse of :func:`_fold`, padding included."""
    rows, folded = values.shape
    return (
        values.reshape(rows // stride, stride, folded)
        .transpose(1, 2)
        .reshape(rows // stride, folded * stride)
    )
