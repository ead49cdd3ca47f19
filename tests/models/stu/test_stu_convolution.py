"""The segment convolution against a plain sum, and its gradients."""

import numpy as np
import pytest
import torch

from specseq.models.stu import convolution
from specseq.models.stu.convolution import Method, segment_convolution
from specseq.models.stu.segments import SegmentTables, segment_tables

LENGTHS = [5, 16, 1, 40, 7, 33]


def tables_of(lengths: list[int]) -> SegmentTables:
    sizes = np.array(lengths)
    return segment_tables(np.cumsum(sizes) - sizes, sizes)


def plain(x_ND: torch.Tensor, filters_LD: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    out, first = torch.zeros_like(x_ND), 0
    for length in lengths:
        for t in range(length):
            for s in range(t + 1):
                out[first + t] += filters_LD[t - s] * x_ND[first + s]
        first += length
    return out


def draw(lengths: list[int], taps: int = 40, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    rng = torch.Generator().manual_seed(0)
    shape = (sum(lengths), 3)
    return tuple(torch.randn(size, generator=rng, dtype=dtype) for size in (shape, (taps, 3)))


@pytest.mark.parametrize("method", ["auto", "fft", "toeplitz"])
@pytest.mark.parametrize("block", [2, 64])
def test_equals_the_plain_sum(method: Method, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "CPU_CHANNELS", block)
    lengths = [*LENGTHS, 60]
    x_ND, filters_LD = draw(lengths, taps=60)
    y_ND = segment_convolution(x_ND, filters_LD, tables_of(lengths), method)
    torch.testing.assert_close(y_ND, plain(x_ND, filters_LD, lengths), rtol=1e-12, atol=1e-12)


def laid_out(x_ND: torch.Tensor, strides: str) -> torch.Tensor:
    """The same values with other strides."""
    if strides == "channels first":
        return x_ND.T.contiguous().T
    return x_ND.repeat_interleave(2, dim=1)[:, ::2] if strides == "every second" else x_ND


@pytest.mark.parametrize("strides", ["contiguous", "channels first", "every second"])
@pytest.mark.parametrize("channels", [1, 3, 64, 65, 130])
@pytest.mark.parametrize("tokens", [1, 2, 3, 49])
def test_every_length_and_width_and_layout(tokens: int, channels: int, strides: str) -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = ((tokens, channels), (50, channels), (tokens, channels))
    x_ND, filters_LD, slope_ND = (torch.randn(s, generator=rng, dtype=torch.float64) for s in shapes)
    x_ND = laid_out(x_ND, strides).requires_grad_()
    filters_LD.requires_grad_()
    # Freed memory that is read without being written shows up as NaN.
    torch.full((4, tokens * channels), torch.nan, dtype=torch.float64)
    results = []
    for y_ND in (
        segment_convolution(x_ND, filters_LD, tables_of([tokens])),
        plain(x_ND, filters_LD, [tokens]),
    ):
        results.append((y_ND, *torch.autograd.grad((y_ND * slope_ND).sum(), (x_ND, filters_LD))))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", ["auto", "fft", "toeplitz", "circular"])
@pytest.mark.parametrize("block", [2, 64])
def test_gradients_equal_finite_differences(
    method: Method, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convolution, "CPU_CHANNELS", block)
    lengths = [3, 17, 8]
    x_ND, filters_LD = (part.requires_grad_() for part in draw(lengths, taps=20))
    tables = tables_of(lengths)
    assert torch.autograd.gradcheck(
        lambda x, h: segment_convolution(x, h, tables, method), (x_ND, filters_LD), atol=1e-7
    )


@pytest.mark.parametrize("method", ["fft", "toeplitz"])
def test_no_output_depends_on_a_later_token_or_another_segment(method: Method) -> None:
    lengths = [20, 30]
    x_ND, filters_LD = draw(lengths)
    jacobian = torch.autograd.functional.jacobian(
        lambda x: segment_convolution(x, filters_LD, tables_of(lengths), method).sum(1), x_ND
    ).sum(-1)
    allowed = torch.block_diag(*(torch.ones(n, n).tril() for n in lengths)).bool()
    forbidden = jacobian[~allowed].abs().max()
    assert forbidden == 0 if method == "toeplitz" else forbidden < 1e-13
    assert (jacobian[allowed].abs() > 1e-6).all()


def test_other_segments_stay_bit_identical_when_one_is_perturbed() -> None:
    x_ND, filters_LD = draw(LENGTHS, dtype=torch.float32)
    tables = tables_of(LENGTHS)
    before = segment_convolution(x_ND, filters_LD, tables)
    x_ND[5:21] = torch.nan
    after = segment_convolution(x_ND, filters_LD, tables)
    assert torch.equal(before[:5], after[:5])
    assert torch.equal(before[21:], after[21:])


def test_the_published_transform_leaks_the_last_token_into_the_first_outputs() -> None:
    lengths = [32]
    x_ND, filters_LD = draw(lengths)
    before = segment_convolution(x_ND, filters_LD, tables_of(lengths), "circular")
    x_ND[-1] += 1
    leak = (segment_convolution(x_ND, filters_LD, tables_of(lengths), "circular") - before)[:-1]
    # Token n - 1 meets output t through tap (t - (n - 1)) mod n = t + 1.
    torch.testing.assert_close(leak, filters_LD[1:32], rtol=1e-9, atol=1e-12)


def test_half_precision_tokens_are_transformed_in_single_precision() -> None:
    x_ND, filters_LD = draw(LENGTHS, dtype=torch.float32)
    tables = tables_of(LENGTHS)
    exact = segment_convolution(x_ND.bfloat16().float(), filters_LD, tables)
    got = segment_convolution(x_ND.bfloat16(), filters_LD, tables)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got, exact.bfloat16(), rtol=0, atol=0)


def test_a_filter_shorter_than_a_segment_is_refused() -> None:
    x_ND, filters_LD = draw(LENGTHS, taps=39)
    with pytest.raises(ValueError, match="a segment of 40 tokens"):
        segment_convolution(x_ND, filters_LD, tables_of(LENGTHS))


def test_an_empty_batch_gives_nothing() -> None:
    x_ND, filters_LD = torch.zeros(0, 3, requires_grad=True), torch.zeros(4, 3, requires_grad=True)
    y_ND = segment_convolution(x_ND, filters_LD, tables_of([]))
    y_ND.sum().backward()
    assert y_ND.shape == (0, 3)
    assert filters_LD.grad is not None
    assert (filters_LD.grad == 0).all()
