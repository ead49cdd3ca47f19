"""The force that solvers evaluate: as the block's own, and with differences in TF32 near a base state."""

import pytest
import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.frozen import RENEWAL, FrozenForce
from specseq.equilibrium.precision import ImitatedTF32, tf32
from specseq.equilibrium.solver_config import Anderson, Euler
from specseq.equilibrium.solvers import solve
from specseq.training.metering import metered


def block_of(length: int = 8, dtype: torch.dtype = torch.float64, **shape: bool) -> EquilibriumBlock:
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(BlockShape(16, 4, length, residual_gain=0.5, **shape), 40, draw, dtype)
    for name, parameter in block.named_parameters():
        if name.endswith("offset"):
            torch.nn.init.normal_(parameter, generator=draw)
    return block


def states(count: int, length: int = 8, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(count, 2, length, 16, generator=torch.Generator().manual_seed(1), dtype=dtype)


def distance(found: Tensor, exact: Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


@pytest.mark.parametrize("length", [1, 8, 130])  # attention is fused from 128 positions on
@pytest.mark.parametrize("normalise_queries", [True, False])
@pytest.mark.parametrize("offsets", [True, False])
def test_it_is_the_force_of_the_block(length: int, normalise_queries: bool, offsets: bool) -> None:
    block = block_of(length, normalise_queries=normalise_queries, offsets=offsets)
    x, base, z = states(3, length)
    expected = block.force(z, x).detach()
    torch.testing.assert_close(FrozenForce(block, x)(z), expected, rtol=1e-12, atol=1e-12)
    near = FrozenForce(block, x, "tf32", base)  # float64 has no TF32, so nothing is rounded
    torch.testing.assert_close(near(z), expected, rtol=1e-12, atol=1e-12)


def test_no_position_sees_the_future_through_the_base() -> None:
    block = block_of()
    x, base, z = states(3)
    later = z.clone()
    later[:, 5:] += 1
    near = FrozenForce(block, x, "tf32", base)
    assert torch.equal(near(z)[:, :5], near(later)[:, :5])


def test_the_error_of_tf32_shrinks_with_the_distance_from_the_base() -> None:
    block = block_of(dtype=torch.float32)
    x, base, away = states(3, dtype=torch.float32)
    off = {}
    for size in (1e-1, 1e-3):
        z = base + size * away
        exact = block.double().force(z.double(), x.double()).detach()
        block.float()
        with ImitatedTF32():
            near = FrozenForce(block, x, "tf32", base)(z)
            with tf32(True):
                rounded = FrozenForce(block, x)(z)
        off[size] = distance(near, exact)
        assert off[size] < 5e-4 * size < distance(rounded, exact)
    assert off[1e-3] < off[1e-1] / 20


def test_a_new_base_is_taken_after_a_number_of_evaluations() -> None:
    block = block_of(dtype=torch.float32)
    x, first, z = states(3, dtype=torch.float32)
    exact = FrozenForce(block, x)(z)
    force = FrozenForce(block, x, "tf32")
    with ImitatedTF32():
        force(first)
        off = [distance(force(z), exact) for _ in range(RENEWAL + 1)]
    assert min(off[: RENEWAL - 1]) > 1e-6
    assert max(off[RENEWAL - 1 :]) < 1e-7


def test_a_lost_sample_neither_stays_lost_nor_disturbs_others() -> None:
    block = block_of(dtype=torch.float32)
    x, first, z = states(3, dtype=torch.float32)
    lost = first.clone()
    lost[1] = torch.inf
    whole, part = FrozenForce(block, x, "tf32"), FrozenForce(block, x, "tf32")
    whole(first)
    assert not torch.isfinite(part(lost)[1]).any()
    assert torch.equal(part(z)[0], whole(z)[0])
    torch.testing.assert_close(part(z)[1], FrozenForce(block, x)(z)[1])


@pytest.mark.parametrize("solver", [Euler(), Anderson()])
def test_a_phase_settles_in_tf32_where_rounding_all_products_keeps_it_from_settling(
    solver: Euler | Anderson,
) -> None:
    block = block_of(dtype=torch.float32)
    x = states(1, dtype=torch.float32)[0]
    with ImitatedTF32():
        near = solve(solver, FreePhase(block, x, "tf32"), x, 300, 1e-6)
        with tf32(True):
            rounded = solve(solver, FreePhase(block, x), x, 300, 1e-6)
    assert near.converged_B.all()
    assert not rounded.converged_B.any()
    exact = solve(solver, FreePhase(block, x), x, 300, 1e-6)
    assert abs(near.evaluations - exact.evaluations) <= 0.1 * exact.evaluations


def test_only_projections_are_rounded() -> None:
    block = block_of(130, torch.float32).to("meta")
    x = torch.empty(2, 130, 16, device="meta")
    used = {}
    for products in ("float32", "tf32"):
        force = FrozenForce(block, x, products, x)  # type: ignore[arg-type]
        used[products] = metered(lambda force=force: force(x)).operators
    rounded = sum(flops * count for (kind, flops, _), count in used["tf32"].items() if kind == "tf32")
    projections = 2 * 2 * 130 * (16 * (3 * 16 + 64) + 16 * 16 + 64 * 16)
    assert rounded == projections
    assert {kind for kind, flops, _ in used["float32"] if flops} == {"float32"}
