"""Attention with a written-out gradient against the composition for accelerators, in float64 and float32."""

import pytest
import torch

from specseq.models.layers import Attention, TokenContext
from specseq.models.layout import Layout, Widths, balanced, exact, power_of_two
from specseq.series.batch import Segments


def attention_of(dim: int, heads: int) -> Attention:
    generator = torch.Generator().manual_seed(0)
    attention = Attention(dim, heads).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, 0.3, 0.3, generator=generator)
    return attention


def context_of(lengths: list[int], variates: int, causal: bool, widths: Widths) -> TokenContext:
    """Segments one after another, those of a multiple of ``variates`` tokens with so many variates."""
    sizes = torch.tensor(lengths, dtype=torch.int64)
    segments = Segments(torch.zeros_like(sizes), sizes.cumsum(0) - sizes, sizes)
    total = int(sizes.sum())
    layout = Layout.of(segments, 1, total, widths)
    time, variate = [], []
    for length in lengths:
        count = variates if length % variates == 0 else 1
        time.append(torch.arange(length // count).repeat(count))
        variate.append(torch.arange(count).repeat_interleave(length // count))
    ids = (layout.flatten(torch.cat(part)[None]) for part in (time, variate))
    return TokenContext.of(layout, *ids, 2, causal)


@pytest.mark.parametrize("widths", [balanced, exact, power_of_two])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("variates", [1, 3])
@pytest.mark.parametrize("lengths", [[6, 9, 3, 12, 70], [1], [16, 16]])
def test_value_and_gradient(lengths: list[int], variates: int, causal: bool, widths: Widths) -> None:
    attention = attention_of(24, 3)
    context = context_of(lengths, variates, causal, widths)
    generator = torch.Generator().manual_seed(1)
    x, upstream = torch.randn(2, sum(lengths), 24, generator=generator, dtype=torch.float64)
    leaves = [x.requires_grad_(), *attention.parameters()]
    written, composed = attention(x, context), attention.composed(x, context)
    torch.testing.assert_close(written, composed, rtol=1e-12, atol=1e-12)
    grads = [torch.autograd.grad(value, leaves, upstream, allow_unused=True) for value in (written, composed)]
    for ours, theirs in zip(*grads, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_what_one_segment_holds_changes_no_other_segment() -> None:
    attention = attention_of(24, 3)
    context = context_of([5, 7, 20], 1, False, balanced)
    x = torch.randn(32, 24, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    changed = x.clone()
    changed[5:12] = 1e30
    kept = torch.cat((torch.arange(5), torch.arange(12, 32)))
    assert torch.equal(attention(x, context)[kept], attention(changed, context)[kept])
