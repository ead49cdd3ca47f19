"""Hand-written products with the Jacobian against automatic differentiation, in float64."""

import pytest
import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.linearised import Linearised
from specseq.spectra.operators import Jacobian


@pytest.mark.parametrize("length", [1, 8, 130])  # attention is fused from 128 positions on
@pytest.mark.parametrize("normalise_queries", [True, False])
@pytest.mark.parametrize("offsets", [True, False])
def test_both_products_are_those_of_automatic_differentiation(
    length: int, normalise_queries: bool, offsets: bool
) -> None:
    draw = torch.Generator().manual_seed(0)
    shape = BlockShape(16, 4, length, residual_gain=0.5, normalise_queries=normalise_queries, offsets=offsets)
    block = EquilibriumBlock(shape, 40, draw, torch.float64)
    for name, parameter in block.named_parameters():
        if name.endswith("offset"):
            torch.nn.init.normal_(parameter, generator=draw)
    z, v, w = torch.randn(3, 2, length, 16, generator=draw, dtype=torch.float64)
    by_hand, reference = Linearised(block, z), Jacobian(block.nonconservative, z)
    torch.testing.assert_close(by_hand.matvec(v), reference.matvec(v), rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(by_hand.rmatvec(w), reference.rmatvec(w), rtol=1e-11, atol=1e-12)


def test_the_products_are_each_others_transposes_and_no_position_sees_the_future() -> None:
    draw = torch.Generator().manual_seed(1)
    block = EquilibriumBlock(BlockShape(16, 4, 8, residual_gain=0.5), 40, draw, torch.float64)
    z, v, w = torch.randn(3, 2, 8, 16, generator=draw, dtype=torch.float64)
    at = Linearised(block, z)
    assert (w * at.matvec(v)).sum().item() == pytest.approx((v * at.rmatvec(w)).sum().item(), rel=1e-12)
    v[:, :5] = 0
    assert at.matvec(v)[:, :5].abs().max() == 0


def test_the_precision_is_that_of_the_state() -> None:
    block = EquilibriumBlock(BlockShape(16, 4, 8, residual_gain=0.5), 40, torch.Generator().manual_seed(2))
    z, v = torch.randn(2, 2, 8, 16).bfloat16()
    at, reference = Linearised(block, z), Linearised(block, z.float())
    for product, exact in ((at.matvec, reference.matvec), (at.rmatvec, reference.rmatvec)):
        assert product(v).dtype == torch.bfloat16
        torch.testing.assert_close(product(v).float(), exact(v.float()), rtol=0.05, atol=0.05)
