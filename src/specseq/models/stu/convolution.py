"""Causal linear convolution of packed tokens with one filter per channel, within each segment.

Long segments use a real FFT of twice their bucket's length (a shorter transform would wrap the end of a
segment onto its beginning). Short ones use a product with Toeplitz matrices, which is exact: a later token
cannot change an earlier output even by rounding. The columns of these matrices are reversed, like the tokens
they multiply: they become Hankel matrices, strided views of the filter that are thirty times quicker to copy
than a Toeplitz matrix is to gather. Transforms run in at least float32.

Shapes: N tokens, D channels, L filter length, S segments of a bucket, n its length, F frequencies.
"""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from specseq.models.stu.segments import TOEPLITZ_UP_TO, SegmentTables

Method = Literal["auto", "fft", "toeplitz", "circular"]
# Measured on one CPU thread with 384 channels: this many at once fit in the cache.
CPU_CHANNELS = 64


def segment_convolution(
    x_ND: Tensor, filters_LD: Tensor, tables: SegmentTables, method: Method = "auto"
) -> Tensor:
    """``y[t] = sum_{s <= t} filters[t - s] * x[s]`` over the tokens s of the same segment.

    Args:
        filters_LD: impulse responses, at least as long as the longest segment.
        method: ``auto`` picks by length; ``fft`` and ``toeplitz`` force one; ``circular`` transforms each
            segment at the next power of two, so that its end wraps onto its beginning. This published form is
            not causal; it is kept for reproduction.

    Returns:
        ``[N, D]`` in the dtype of ``x_ND``; differentiable once in both inputs.
    """
    longest = max((bucket.longest for bucket in tables.buckets), default=0)
    if longest > filters_LD.shape[0]:
        raise ValueError(f"a segment of {longest} tokens needs a filter as long, not {filters_LD.shape[0]}")
    wide = torch.promote_types(x_ND.dtype, torch.float32)
    with torch.autocast(x_ND.device.type, enabled=False):
        convolve = _circular if method == "circular" else _SegmentConvolution.apply
        y_ND = convolve(x_ND.to(wide), filters_LD.to(wide), tables, method)
    return y_ND.to(x_ND.dtype)


def _circular(x_ND: Tensor, filters_LD: Tensor, tables: SegmentTables, method: Method) -> Tensor:
    """The published transform of each segment alone, with as many taps as it has tokens."""
    parts, places = [], []
    for bucket in tables.buckets:
        lengths = torch.bincount(bucket.segment, minlength=bucket.count)
        for length in lengths.unique().tolist():
            tokens_ST = bucket.tokens[lengths[bucket.segment] == length].view(-1, length)
            size = 1 << (length - 1).bit_length()
            spectrum_SFD = torch.fft.rfft(x_ND[tokens_ST], n=size, dim=1)
            spectrum_SFD = spectrum_SFD * torch.fft.rfft(filters_LD[:length], n=size, dim=0)
            parts.append(torch.fft.irfft(spectrum_SFD, n=size, dim=1)[:, :length].flatten(0, 1))
            places.append(tokens_ST.flatten())
    return torch.cat(parts)[torch.cat(places).argsort()] if parts else x_ND


class _SegmentConvolution(Function):
    """Hand-written forward and backward: autograd's FFT backward takes complex transforms of full length."""

    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, filters_LD: Tensor, tables: SegmentTables, method: Method) -> Tensor:
        x_DN, kept = _channels_first(x_ND), []
        y_DN = _output_like(x_DN)
        for channels in _channel_blocks(x_DN):
            block_DN, parts = _with_a_zero(x_DN[channels]), []
            for bucket in tables.buckets:
                n, filter_Dn = bucket.length, _fit(filters_LD[:, channels], bucket.length)
                if _by_toeplitz(n, method):
                    segment, transfer = bucket.pad(block_DN, reverse=True), _reversed_toeplitz(filter_Dn)
                    parts.append(bucket.unpad(torch.bmm(segment, transfer)))
                else:
                    size = 2 * n
                    segment = torch.fft.rfft(bucket.pad(block_DN), n=size)
                    transfer = torch.fft.rfft(filter_Dn, n=size)
                    parts.append(bucket.unpad(torch.fft.irfft(segment * transfer[:, None], n=size)))
                kept += [segment, transfer]
            tables.join(parts, y_DN[channels])
        ctx.save_for_backward(filters_LD, *kept)
        ctx.tables, ctx.method = tables, method
        return y_DN.T

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> tuple[Tensor, Tensor, None, None]:
        filters_LD, *kept = ctx.saved_tensors
        # Per block and bucket: the padded segments or their spectra, and the filter's matrix or transform.
        pairs = iter(zip(kept[::2], kept[1::2], strict=True))
        grad_DN, grad_filters = _channels_first(grad_ND), torch.zeros_like(filters_LD)
        grad_x_DN = _output_like(grad_DN)
        for channels in _channel_blocks(grad_DN):
            block_DN, parts = _with_a_zero(grad_DN[channels]), []
            for bucket in ctx.tables.buckets:
                n, (segment, transfer) = bucket.length, next(pairs)
                if _by_toeplitz(n, ctx.method):
                    grad_DSn = bucket.pad(block_DN)
                    parts.append(bucket.unpad(torch.bmm(grad_DSn, transfer), reverse=True))
                    grad_Dn = _lag_sums(torch.bmm(grad_DSn.mT, segment))
                else:
                    # Backwards in time the gradient runs through the same causal filter, so that neither of
                    # the two correlations needs a conjugate.
                    size = 2 * n
                    spectrum_DSF = torch.fft.rfft(bucket.pad(block_DN, reverse=True), n=size)
                    grad_Dn = torch.fft.irfft((spectrum_DSF * segment).sum(1), n=size)[:, :n].flip(1)
                    spectrum_DSF *= transfer[:, None]
                    parts.append(bucket.unpad(torch.fft.irfft(spectrum_DSF, n=size), reverse=True))
                taps = min(n, filters_LD.shape[0])
                grad_filters[:taps, channels] += grad_Dn[:, :taps].T
            ctx.tables.join(parts, grad_x_DN[channels])
        return grad_x_DN.T, grad_filters, None, None


def _channels_first(x_ND: Tensor) -> Tensor:
    """``[D, N]``, so that the transforms run over contiguous memory."""
    return x_ND.T.contiguous()


def _output_like(x_DN: Tensor) -> Tensor:
    """An uninitialised, strictly contiguous ``[D, N]``.

    A transposed single token counts as contiguous with strides (1, D); torch functions called with ``out=`` a
    slice of such a tensor replace the slice and leave the tensor unset.
    """
    return torch.empty(x_DN.shape, dtype=x_DN.dtype, device=x_DN.device)


def _channel_blocks(x_DN: Tensor) -> list[slice]:
    """Channels to process at once; on a CPU few enough to fit in its cache."""
    size = CPU_CHANNELS if x_DN.device.type == "cpu" else max(1, len(x_DN))
    return [slice(first, first + size) for first in range(0, len(x_DN), size)]


def _with_a_zero(x_DN: Tensor) -> Tensor:
    """``[D, N + 1]``: with a last column of zeros from which buckets read their padding."""
    return torch.nn.functional.pad(x_DN, (0, 1))


def _by_toeplitz(length: int, method: Method) -> bool:
    return method == "toeplitz" or (method == "auto" and length <= TOEPLITZ_UP_TO)


def _fit(filters_LD: Tensor, length: int) -> Tensor:
    """``[D, length]``: the first taps; a bucket may be longer than the filter, but its segments are not."""
    filter_DL = filters_LD[:length].T.contiguous()
    missing = length - filter_DL.shape[1]
    return torch.nn.functional.pad(filter_DL, (0, missing)) if missing else filter_DL


def _reversed_toeplitz(filter_Dn: Tensor) -> Tensor:
    """``[D, n, n]`` symmetric, entry ``[d, t, n - 1 - s] = filter[d, t - s]``, zero where s > t."""
    length = filter_Dn.shape[1]
    return torch.nn.functional.pad(filter_Dn, (length - 1, 0)).unfold(1, length, 1).contiguous()


def _lag_sums(matrix_Dnn: Tensor) -> Tensor:
    """``[D, n]``: sum of entries ``[d, t, n - 1 - s]`` with ``t - s = lag``, for lags 0..n-1."""
    channels, length, _ = matrix_Dnn.shape
    # Reading rows of 2n as rows of 2n - 1 shifts each row by one more, which puts each lag in one column.
    wide = torch.nn.functional.pad(matrix_Dnn, (0, length)).flatten(1)[:, : length * (2 * length - 1)]
    return wide.view(channels, length, 2 * length - 1)[:, :, length - 1 :].sum(1)
