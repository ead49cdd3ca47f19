"""Work on tensors without values: FLOPs, memory, answers to questions about values."""

from collections.abc import Callable

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from specseq.training.metering import Usage, metered


def test_flops_of_a_linear_layer_and_its_gradients_are_those_of_its_products() -> None:
    layer = torch.nn.Linear(64, 32, device="meta")
    x = torch.empty(10, 64, device="meta", requires_grad=True)
    usage = metered(lambda: layer(x).sum().backward())
    # forward, gradient of the weights, gradient of the input
    assert usage.flops == 3 * 2 * 10 * 64 * 32


def test_flops_are_those_that_torch_counts_with_values() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.GELU(), torch.nn.Linear(16, 8))
    x = torch.randn(5, 8)
    with FlopCounterMode(display=False) as counter:
        model(x).square().mean().backward()
    twin = model.to("meta")
    usage = metered(lambda: twin(x.to("meta")).square().mean().backward())
    assert usage.flops == counter.get_total_flops()


def test_inference_mode_meters_the_same_operators() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.LayerNorm(16), torch.nn.GELU()).to("meta")
    x = torch.empty(5, 8, device="meta")
    with torch.no_grad():
        usage = metered(lambda: model(x))
    with torch.inference_mode():
        assert metered(lambda: model(x)).operators == usage.operators


def test_attention_is_one_operator_and_keeps_no_scores() -> None:
    q = torch.empty(2, 4, 512, 32, device="meta", requires_grad=True)
    usage = metered(
        lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).sum().backward()
    )
    # Two products forward, five backward, of 2 · 2 · 4 · 512 · 512 · 32 FLOPs.
    assert usage.flops == 7 * 2 * 2 * 4 * 512 * 512 * 32
    assert usage.peak_bytes < 2 * 4 * 512 * 512 * 4


def test_peak_of_memory_is_that_of_what_is_alive_at_once() -> None:
    x = torch.empty(1000, device="meta")

    def work() -> None:
        y = x + 1
        z = y + 1
        del y
        z = z + 1

    assert metered(work).peak_bytes == 2 * 4000


def test_scattering_in_place_moves_what_the_index_names() -> None:
    wide, index = torch.empty(100, 1000, device="meta"), torch.empty(100, 1, device="meta", dtype=torch.int64)
    usage = metered(lambda: wide.scatter_add_(1, index, torch.empty(100, 1, device="meta")))
    (moved,) = (kind[2] for kind in usage.operators if kind[2])
    assert moved == 100 * (8 + 3 * 4)


def moved(work: Callable[[], object]) -> float:
    """Bytes that all operators of some work read and write."""
    return sum(kind[2] * count for kind, count in metered(work).operators.items())


def test_allocations_move_nothing_and_an_output_that_is_given_is_only_written() -> None:
    x = torch.empty(1000, device="meta")
    assert moved(lambda: torch.empty_like(x)) == 0
    assert moved(lambda: torch.mul(x, x, out=torch.empty_like(x))) == moved(lambda: x * x) == 3 * 4000
    assert moved(lambda: x.mul_(2)) == 2 * 4000


def test_an_rms_norm_is_one_operator_in_each_direction() -> None:
    x = torch.empty(100, 1000, device="meta", requires_grad=True)
    weight = torch.empty(1000, device="meta", requires_grad=True)
    norm = torch.nn.functional.rms_norm
    entries = 100 * 1000 * 4
    assert moved(lambda: norm(x, (1000,), weight, 1e-5)) == pytest.approx(2 * entries, rel=0.02)
    usage = metered(lambda: norm(x, (1000,), weight, 1e-5).backward(torch.empty_like(x)))
    assert usage.kernels == 2
    assert usage.peak_bytes == pytest.approx(3 * entries, rel=0.02)


def test_adding_a_product_in_place_saves_the_copy_of_the_matrix() -> None:
    start, a, b = torch.empty(64, 32, device="meta"), *torch.empty(2, 64, 32, device="meta")
    added, in_place = (
        metered(work)
        for work in (lambda: torch.addmm(start, a, b.T[:, :32]), lambda: start.addmm_(a, b.T[:, :32]))
    )
    assert added.flops == in_place.flops == 2 * 64 * 32 * 32
    copies = {kind: count for kind, count in added.operators.items() if not kind[1]}
    assert copies == {("float32", 0.0, 2 * 4 * 64 * 32): 1}
    assert not any(flops == 0 for _, flops, _ in in_place.operators)


def test_products_under_autocast_are_in_bfloat16_and_regions_without_it_are_not() -> None:
    a = torch.empty(4, 4, device="meta")

    def work() -> None:
        assert (a @ a).dtype == torch.bfloat16
        with torch.autocast("meta", enabled=False):
            assert (a @ a).dtype == torch.float32

    usage = metered(work, bfloat16=True)
    assert {kind[0] for kind in usage.operators if kind[1]} == {"bfloat16", "float32"}
    assert torch.autocast is torch.amp.autocast_mode.autocast or torch.autocast.__module__.startswith("torch")


def test_questions_about_values_have_the_answer_of_a_representative_entry() -> None:
    x = torch.empty(8, device="meta")

    def work() -> None:
        assert bool(torch.isfinite(x + 2).all())
        assert not bool((x.norm() <= 1e-5).any())
        assert bool((torch.zeros(8, device="meta") == 0).all())
        assert not bool(torch.isnan(x).any())
        assert int((~torch.isfinite(x)).sum()) == 0

    assert metered(work).syncs["_local_scalar_dense"] == 5


@pytest.mark.parametrize(("mask", "rows"), [(torch.ones, 8), (torch.zeros, 0)])
def test_a_boolean_index_takes_all_or_nothing(mask: object, rows: int) -> None:
    x = torch.empty(8, 3, device="meta")
    shapes = []
    metered(lambda: shapes.append(x[mask(8, dtype=torch.bool, device="meta")].shape))  # type: ignore[operator]
    assert shapes == [(rows, 3)]


def test_usages_add_up_and_extrapolate() -> None:
    a = torch.empty(16, 16, device="meta")

    def products(count: int) -> Usage:
        def work() -> None:
            x = a
            for _ in range(count):
                x = x @ a

        return metered(work)

    two, four = products(2), products(4)
    assert (two + two).flops == four.flops
    assert (two * 3).flops == products(6).flops
    assert two.extrapolated(four, 4).flops == products(10).flops
    assert two.extrapolated(four, 4).kernels == pytest.approx(10)
