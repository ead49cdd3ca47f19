"""Shared layers against plain dense formulas."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from specseq.models.config import swiglu_width
from specseq.models.fused import BlockedRMSNorm
from specseq.models.layers import Attention, Block, RMSNorm, Rotation, SwiGLU, TokenContext
from specseq.models.layout import Layout, balanced, exact, power_of_two
from specseq.series.batch import Segments
from specseq.training.metering import metered

ROWS = st.lists(st.lists(st.integers(1, 9), max_size=4), min_size=1, max_size=4)


def table(rows: list[list[int]]) -> tuple[Segments, int]:
    """Segments of the given lengths, one after another in each row, and the row length with some padding."""
    runs = [
        (row, sum(lengths[:number]), length)
        for row, lengths in enumerate(rows)
        for number, length in enumerate(lengths)
    ]
    columns = torch.tensor(runs, dtype=torch.int64).reshape(-1, 3).T
    return Segments(*columns), max(map(sum, rows)) + 3


def dense_attention(attention: Attention, x_BLD: Tensor, ids: dict[str, Tensor], causal: bool) -> Tensor:
    """Softmax attention over whole rows with a mask: slow, plain, and written from the formulas alone."""
    rows, length, dim = x_BLD.shape
    heads, width = attention.heads, dim // attention.heads
    q, k, v = attention.qkv(x_BLD).reshape(rows, length, 3, heads, width).permute(2, 0, 3, 1, 4)

    def normed(x: Tensor, weight: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight

    def turned(x: Tensor) -> Tensor:
        out = x.clone()
        for pair in range(width // 4):
            angle = (ids["time"] * 10_000 ** (-pair / (width // 4)))[:, None]
            a, b = x[..., 2 * pair], x[..., 2 * pair + 1]
            out[..., 2 * pair] = a * angle.cos() - b * angle.sin()
            out[..., 2 * pair + 1] = a * angle.sin() + b * angle.cos()
        return out

    q, k = turned(normed(q, attention.query_norm.weight)), turned(normed(k, attention.key_norm.weight))
    scores = q @ k.mT / math.sqrt(width)
    same_variate = ids["variate"][:, :, None] == ids["variate"][:, None, :]
    scores = scores + attention.variate_bias.weight[same_variate.long()].permute(0, 3, 1, 2)
    seen = ids["sample"][:, :, None] == ids["sample"][:, None, :]
    if causal:
        seen = seen & (ids["time"][:, None, :] <= ids["time"][:, :, None])
    scores = scores.masked_fill(~seen[:, None], float("-inf"))
    mixed = scores.softmax(-1) @ v
    return attention.out(mixed.permute(0, 2, 1, 3).reshape(rows, length, dim))


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, width=st.sampled_from([exact, balanced, power_of_two]))
def test_layout_keeps_every_token_and_clears_padding(rows: list[list[int]], width: object) -> None:
    segments, length = table(rows)
    layout = Layout.of(segments, len(rows), length, width)  # type: ignore[arg-type]
    x_BL = torch.arange(1, len(rows) * length + 1).reshape(len(rows), length)
    back = layout.unflatten(layout.flatten(x_BL))
    for row, lengths in enumerate(rows):
        assert torch.equal(back[row, : sum(lengths)], x_BL[row, : sum(lengths)])
        assert not back[row, sum(lengths) :].any()
    stream = layout.flatten(x_BL)
    if stream.numel():
        assert torch.equal(layout.join(layout.split(stream)), stream)


@pytest.mark.parametrize("width", [exact, balanced, power_of_two])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("variates", [1, 3])
def test_attention_is_dense_masked_attention(width: object, causal: bool, variates: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = [[6, 9, 3], [12, 3], [15]]
    segments, length = table(rows)
    sample = torch.zeros(3, length, dtype=torch.int64)
    time, variate = torch.zeros_like(sample), torch.zeros_like(sample)
    for row, start, size in zip(*(c.tolist() for c in vars(segments).values()), strict=True):
        sample[row, start : start + size] = int(sample[row].max()) + 1
        steps = size // variates
        time[row, start : start + size] = torch.arange(steps).repeat(variates)
        variate[row, start : start + size] = torch.arange(variates).repeat_interleave(steps)
    attention = Attention(32, 2)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, 0.3, 0.3, generator=generator)
    x = torch.randn(3, length, 32, generator=generator, requires_grad=True)
    upstream = torch.randn(3, length, 32, generator=generator) * (sample > 0)[..., None]

    layout = Layout.of(segments, 3, length, width)  # type: ignore[arg-type]
    context = TokenContext.of(layout, layout.flatten(time), layout.flatten(variate), 4, causal)
    ours = layout.unflatten(attention(layout.flatten(x), context))
    theirs = dense_attention(attention, x, {"sample": sample, "time": time, "variate": variate}, causal)
    inside = sample > 0
    torch.testing.assert_close(ours[inside], theirs[inside], atol=2e-6, rtol=1e-5)

    parameters = [x, *attention.parameters()]
    ours_grad = torch.autograd.grad((ours * upstream).sum(), parameters, allow_unused=True)
    theirs_grad = torch.autograd.grad((theirs * upstream).sum(), parameters)
    for mine, plain in zip(ours_grad, theirs_grad, strict=True):
        # With one variate a segment the bias is a constant to the softmax: its gradient is rounding noise.
        mine = torch.zeros_like(plain) if mine is None else mine
        torch.testing.assert_close(mine, plain, atol=3e-5, rtol=1e-4)


def test_rms_norm_and_its_written_out_gradient() -> None:
    generator = torch.Generator().manual_seed(1)
    norm = RMSNorm(8)
    torch.nn.init.normal_(norm.weight, generator=generator)
    x = torch.randn(5, 3, 8, generator=generator, requires_grad=True)
    upstream = torch.randn(5, 3, 8, generator=generator)
    plain = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), plain)
    ours = torch.autograd.grad(norm(x), [x, norm.weight], upstream)
    theirs = torch.autograd.grad(plain, [x, norm.weight], upstream)
    for mine, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("tokens", [0, 1, 7, 12_000])
def test_gradient_of_the_norm_is_that_of_autograd(tokens: int) -> None:
    generator = torch.Generator().manual_seed(4)
    x, upstream = torch.randn(2, tokens, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(6, generator=generator, dtype=torch.float64, requires_grad=True)
    leaves = [x.requires_grad_(), weight]
    plain = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight
    ours = BlockedRMSNorm.apply(x, weight, 1e-5)
    grads = [torch.autograd.grad(value, leaves, upstream) for value in (ours, plain)]
    for mine, expected in zip(*grads, strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shape", [(0, 6), (1, 6), (7, 6), (2, 3, 6)])
def test_feed_forward_is_the_composition_of_its_modules(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(5)
    block = Block(6, 10, torch.nn.Identity()).double()
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    x, upstream = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    x.requires_grad_()
    plain = x + block.feed_forward(block.feed_forward_norm(x))
    torch.testing.assert_close(block.fed_forward(x), plain, rtol=1e-12, atol=1e-12)
    leaves = [x, *block.feed_forward_norm.parameters(), *block.feed_forward.parameters()]
    grads = [torch.autograd.grad(value, leaves, upstream) for value in (block.fed_forward(x), plain)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


def test_rotation_keeps_lengths_and_depends_on_time_differences_only() -> None:
    generator = torch.Generator().manual_seed(2)
    q, k = torch.randn(2, 1, 1, 16, generator=generator, dtype=torch.float64)
    at = {time: Rotation(torch.tensor([time]), 4) for time in (0, 3, 10, 13)}
    torch.testing.assert_close(at[13](q).norm(), q.norm(), rtol=1e-6, atol=0)
    assert torch.equal(at[13](q)[..., 8:], q[..., 8:])
    torch.testing.assert_close((at[0](q) * at[3](k)).sum(), (at[10](q) * at[13](k)).sum(), rtol=1e-5, atol=0)
    assert not torch.allclose(at[3](q), q)


def test_swiglu_width_is_the_published_one() -> None:
    assert (swiglu_width(384), swiglu_width(64)) == (1024, 176)


def test_hand_written_gradients_equal_finite_differences() -> None:
    torch.manual_seed(0)
    gated = SwiGLU(3, 4).double()
    assert torch.autograd.gradcheck(gated, torch.randn(5, 3, dtype=torch.float64, requires_grad=True))
    rotation = Rotation(torch.tensor([0, 3, 7]), pairs=2)
    x_THE = torch.randn(3, 2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation, x_THE)


def test_rotation_in_half_precision_is_the_same_rotation() -> None:
    rotation, x_THE = Rotation(torch.arange(5), pairs=2), torch.randn(5, 2, 6)
    half = rotation(x_THE.bfloat16())
    torch.testing.assert_close(half.float(), rotation(x_THE.bfloat16().float()), rtol=2e-2, atol=2e-2)


@settings(max_examples=50, deadline=None)
@given(lengths=st.lists(st.integers(1, 120), min_size=1, max_size=7))
def test_balanced_buckets_are_the_cheapest_of_all(lengths: list[int]) -> None:
    lengths = sorted(lengths)

    quick = [length if length <= 8 else math.ceil(length / 16) * 16 for length in lengths]

    def cost(widths: list[int]) -> int:
        return 10_000 * len(set(widths)) + sum(width * (width + 13) for width in widths)

    def plans(rest: list[int]) -> list[list[int]]:
        if not rest:
            return [[]]
        ends = range(1, len(rest) + 1)
        return [[rest[end - 1]] * end + plan for end in ends for plan in plans(rest[end:])]

    chosen = balanced(np.array(lengths)).tolist()
    assert all(width >= length for width, length in zip(chosen, lengths, strict=True))
    assert cost(chosen) == min(map(cost, plans(quick)))


def test_balanced_buckets_of_no_segments() -> None:
    assert balanced(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize("lead", [(), (3,), (2, 2)])
def test_joint_norm_and_rotation_are_the_single_ones(lead: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(3)
    attention = Attention(24, 3).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, 0.3, 0.3, generator=generator)
    x = torch.randn(*lead, 5, 24, generator=generator, dtype=torch.float64, requires_grad=True)
    rotation = Rotation(torch.tensor([0, 1, 2, 0, 7]), 2)
    joint = attention.project(x, rotation)
    q, k, v = attention.qkv(x).unflatten(-1, (3, 3, 8)).unbind(-3)
    single = rotation(attention.query_norm(q)), rotation(attention.key_norm(k)), v
    upstream = [torch.randn(q.shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    leaves = [x, attention.qkv.weight, attention.query_norm.weight, attention.key_norm.weight]
    for ours, theirs in zip(joint, single, strict=True):
        torch.testing.assert_close(ours, theirs)
    grads = (torch.autograd.grad(parts, leaves, upstream) for parts in (joint, single))
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_step_metered_for_an_accelerator_does_not_run_in_the_blocks_of_a_cpu() -> None:
    attention = Attention(64, 4).to("meta")

    def operators(tokens: int) -> float:
        x_TD = torch.empty(tokens, 64, device="meta")
        rotation = Rotation(torch.empty(tokens, dtype=torch.int64, device="meta"), 4)
        return metered(lambda: attention.project(x_TD, rotation)).kernels

    assert operators(32) == operators(1 << 16)
