"""Coarser products: what TF32 rounds, where, and what it costs the adjoint."""

import pytest
import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape, Products, TwoSided
from specseq.equilibrium.estimators import Problem, estimate
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import cosine
from specseq.equilibrium.nudging import NudgedPhase
from specseq.equilibrium.precision import ImitatedTF32, rounds, tf32, to_tf32
from specseq.equilibrium.solver_config import Anderson
from specseq.equilibrium.solvers import solve
from specseq.training.metering import metered


def test_tf32_keeps_ten_bits_ties_to_even() -> None:
    bit = 2.0**-10
    x = torch.tensor([1 + bit, 1 + bit / 2, 1 + 1.5 * bit, 1 + 0.6 * bit, -3.0, 0.0, torch.inf, torch.nan])
    rounded = to_tf32(x)
    expected = torch.tensor([1 + bit, 1.0, 1 + 2 * bit, 1 + bit, -3.0, 0.0, torch.inf, torch.nan])
    torch.testing.assert_close(rounded, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(to_tf32(x.double()[:4]), x.double()[:4])


def test_products_are_rounded_within_the_region_alone() -> None:
    a = torch.full((2, 2), 1 + 2.0**-12)
    with ImitatedTF32():
        assert (a @ a)[0, 0] != 2
        with tf32(True):
            assert rounds()
            assert (a @ a)[0, 0] == 2
        with tf32(False):
            assert not rounds()
    assert not rounds()


def problem(products: Products) -> Problem:
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(BlockShape(32, 4, 16, residual_gain=0.5), 40, draw)
    tokens, targets = (torch.randint(40, (4, 16), generator=draw) for _ in range(2))
    x = block.embed(tokens).detach()
    root = solve(Anderson(), FreePhase(block, x), x, 200, 1e-6).state
    return Problem(block, x, root, targets, products)


@pytest.mark.parametrize(("products", "off"), [("tf32", 1e-6), ("bfloat16", 1e-4)])
def test_coarse_products_turn_the_adjoint_little(products: Products, off: float) -> None:
    exact = estimate(TwoSided(), problem("float32"), Anderson(), 100, 1e-4).a_BTC.flatten()
    with ImitatedTF32():
        found = estimate(TwoSided(), problem(products), Anderson(), 100, 1e-4).a_BTC.flatten()
    assert not torch.equal(found, exact)
    assert 1 - cosine(found, exact) < off


def test_the_force_at_the_free_state_is_not_rounded() -> None:
    made = problem("tf32")
    still = torch.zeros(1)
    field = NudgedPhase(made.block, made.x_BTC, made.root_BTC, made.targets_BT, still, products="tf32")
    with ImitatedTF32():
        force = field(made.root_BTC)
    # Not to the bit, since the products have other shapes; TF32 would be off by some 1e-3.
    with torch.no_grad():
        torch.testing.assert_close(force, made.block.force(made.root_BTC, made.x_BTC))


def test_metered_products_are_of_the_precision_in_force() -> None:
    a = torch.empty(4, 4, device="meta")

    def work() -> None:
        a @ a
        with tf32(True):
            a @ a

    assert {kind[0] for kind in metered(work).operators if kind[1]} == {"float32", "tf32"}


def test_fused_attention_is_the_same_force() -> None:
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(BlockShape(16, 2, 130, residual_gain=1.0), 9, draw, torch.float64)
    x = block.embed(torch.randint(9, (2, 130), generator=draw)).detach()
    with torch.no_grad():
        fused = block.force(x, x)
    torch.testing.assert_close(fused, block.force(x, x).detach(), rtol=1e-10, atol=1e-10)
