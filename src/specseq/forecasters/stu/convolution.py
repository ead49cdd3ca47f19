"""Causal linear convolution of packed tokens with one filter per channel, inside every segment.

Long segments go through a real FFT of twice their bucket's length (shorter ones would wrap the end of a
segment onto its beginning), short ones through a product with Toeplitz matrices, which is exact: a later
token cannot change an earlier output even by rounding. Transforms run in float32 at least.

Shapes: N tokens, D channels, L filter length, S segments of a bucket, n its length, F frequencies.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from specseq.forecasters.stu.segments import SegmentTables

Method = Literal["auto", "fft", "toeplitz", "circular"]
# Measured on one CPU thread with 384 channels: at this length both take the same time.
TOEPLITZ_UP_TO = 16


def segment_convolution(
    x_ND: Tensor, filters_LD: Tensor, tables: SegmentTables, method: Method = "auto"
) -> Tensor:
    """``y[t] = sum_{s <= t} filters[t - s] * x[s]`` over the tokens s of the same segment.

    Args:
        x_ND: tokens in flat order.
        filters_LD: impulse responses, at least as long as the longest segment.
        tables: the segments.
        method: ``auto`` picks by length; ``fft`` and ``toeplitz`` force one; ``circular`` transforms at the
            bucket's own length, so that a segment's end wraps onto its beginning. That is the published
            form, kept to reproduce it; it is not causal.

    Returns:
        ``[N, D]`` in the dtype of ``x_ND``; differentiable once in both inputs.
    """
    longest = max((bucket.longest for bucket in tables.buckets), default=0)
    if longest > filters_LD.shape[0]:
        raise ValueError(f"a segment of {longest} tokens needs a filter as long, not {filters_LD.shape[0]}")
    wide = torch.promote_types(x_ND.dtype, torch.float32)
    with torch.autocast(x_ND.device.type, enabled=False):
        y_ND = _SegmentConvolution.apply(x_ND.to(wide), filters_LD.to(wide), tables, method)
    return y_ND.to(x_ND.dtype)


class _SegmentConvolution(Function):
    """Forward and backward by hand: autograd's own FFT backward takes complex transforms of full length."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, filters_LD: Tensor, tables: SegmentTables, method: Method) -> Tensor:
        out_ND = torch.zeros_like(x_ND)
        kept = []
        for bucket in tables.buckets:
            n, filter_nD = bucket.length, _fit(filters_LD, bucket.length)
            if _by_toeplitz(n, method):
                segment = bucket.pad(x_ND, n)
                y_DnS = torch.bmm(_toeplitz(filter_nD), segment.permute(2, 1, 0))
                bucket.unpad(y_DnS.permute(2, 1, 0), out_ND)
            else:
                size = _transform_size(n, method)
                segment = torch.fft.rfft(bucket.pad(x_ND, size), dim=1)
                spectrum_SFD = segment * torch.fft.rfft(filter_nD, n=size, dim=0)
                bucket.unpad(torch.fft.irfft(spectrum_SFD, n=size, dim=1), out_ND)
            kept.append(segment)
        ctx.save_for_backward(filters_LD, *kept)
        ctx.tables, ctx.method = tables, method
        return out_ND

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, Tensor, None, None]:
        filters_LD, *kept = ctx.saved_tensors
        grad_filters, grad_inputs = torch.zeros_like(filters_LD), torch.zeros_like(grad_ND)
        for bucket, segment in zip(ctx.tables.buckets, kept, strict=True):
            n, filter_nD = bucket.length, _fit(filters_LD, bucket.length)
            if _by_toeplitz(n, ctx.method):
                grad_DnS = bucket.pad(grad_ND, n).permute(2, 1, 0)
                bucket.unpad(torch.bmm(_toeplitz(filter_nD).mT, grad_DnS).permute(2, 1, 0), grad_inputs)
                grad_nD = _diagonal_sums(torch.bmm(grad_DnS, segment.permute(2, 0, 1)))
            else:
                size = _transform_size(n, ctx.method)
                spectrum_SFD = torch.fft.rfft(bucket.pad(grad_ND, size), dim=1)
                correlation_FD = (spectrum_SFD * segment.conj()).sum(0)
                grad_nD = torch.fft.irfft(correlation_FD, n=size, dim=0)[:n]
                spectrum_SFD *= torch.fft.rfft(filter_nD, n=size, dim=0).conj()
                bucket.unpad(torch.fft.irfft(spectrum_SFD, n=size, dim=1), grad_inputs)
            taps = min(n, filters_LD.shape[0])
            grad_filters[:taps] += grad_nD[:taps]
        return grad_inputs, grad_filters, None, None


def _by_toeplitz(length: int, method: Method) -> bool:
    return method == "toeplitz" or (method == "auto" and length <= TOEPLITZ_UP_TO)


def _transform_size(length: int, method: Method) -> int:
    return length if method == "circular" else 2 * length


def _fit(filters_LD: Tensor, length: int) -> Tensor:
    """The first ``length`` taps; a bucket may be longer than the filter, never one of its segments."""
    if filters_LD.shape[0] >= length:
        return filters_LD[:length]
    return torch.nn.functional.pad(filters_LD, (0, 0, 0, length - filters_LD.shape[0]))


def _toeplitz(filter_nD: Tensor) -> Tensor:
    """``[D, n, n]`` lower triangular, entry ``[d, t, s] = filter[t - s, d]``."""
    length = filter_nD.shape[0]
    lag = torch.arange(length, device=filter_nD.device)
    lag = lag[:, None] - lag
    return filter_nD.T[:, lag.clamp_min(0)].masked_fill_(lag < 0, 0.0)


def _diagonal_sums(matrix_Dnn: Tensor) -> Tensor:
    """``[n, D]``: sum of entries ``[d, t, s]`` with ``t - s = lag``, for lags 0..n-1."""
    channels, length, _ = matrix_Dnn.shape
    # Rows of 2n read as rows of 2n - 1 shift each row by one more; last row first, lag stands at n - 1 - lag.
    wide = torch.nn.functional.pad(matrix_Dnn.flip(1), (0, length)).flatten(1)[:, : length * (2 * length - 1)]
    return wide.view(channels, length, 2 * length - 1).sum(1)[:, :length].flip(1).T


__all__ = ["TOEPLITZ_UP_TO", "Method", "segment_convolution"]
