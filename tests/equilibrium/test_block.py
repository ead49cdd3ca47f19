"""The block: derivatives, causality and its continuation to complex states."""

import pytest
import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.errors import InputError
from specseq.settings import read


def make(**sizes) -> tuple[EquilibriumBlock, torch.Tensor, torch.Tensor, torch.Tensor]:
    shape = BlockShape(**{"width": 8, "heads": 2, "length": 4, "residual_gain": 1.0, **sizes})
    draw = torch.Generator().manual_seed(0)
    block = EquilibriumBlock(shape, 7, draw, torch.float64)
    tokens, targets = (torch.randint(0, 7, (2, shape.length), generator=draw) for _ in range(2))
    return (
        block,
        tokens,
        targets,
        torch.randn(2, shape.length, shape.width, generator=draw, dtype=torch.float64),
    )


@pytest.mark.parametrize("normalise", [True, False])
def test_derivatives_of_the_force_are_right_twice(normalise: bool) -> None:
    block, tokens, _, z = make(normalise_queries=normalise)
    x = block.embed(tokens).detach()
    state = z.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda s: block.force(s, x), (state,))
    small, tokens, _, z = make(width=4, length=2, normalise_queries=normalise)
    x = small.embed(tokens).detach()
    assert torch.autograd.gradgradcheck(lambda s: small.force(s, x), (z[:1].requires_grad_(True),))


def test_weight_gradients_are_right() -> None:
    block, tokens, _, z = make(width=4, length=2)
    names = [name for name, _ in block.named_parameters()]

    def energy(*weights: torch.Tensor) -> torch.Tensor:
        inner = dict(zip(names, weights, strict=True))
        force = torch.func.functional_call(block, inner, (z, inner["token"][tokens]))
        return force.square().sum()

    assert torch.autograd.gradcheck(energy, tuple(block.parameters()))


def test_the_cost_gradient_is_the_derivative_of_the_cost() -> None:
    block, _, targets, z = make()
    state = z.requires_grad_(True)
    (grad,) = torch.autograd.grad(block.cost(state, targets), state)
    torch.testing.assert_close(block.cost_gradient(state, targets), grad)


def test_complex_states_continue_the_real_force_holomorphically() -> None:
    block, tokens, targets, z = make()
    x = block.embed(tokens).detach()
    direction = torch.randn(z.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    for function in (lambda s: block.force(s, x.to(s.dtype)), lambda s: block.cost_gradient(s, targets)):
        torch.testing.assert_close(function(z.to(torch.complex128)).real, function(z))
        # The complex-step derivative is exact for a holomorphic function of real coefficients.
        step = function(torch.complex(z, 1e-20 * direction)).imag / 1e-20
        slope = (function(z + 1e-6 * direction) - function(z - 1e-6 * direction)) / 2e-6
        torch.testing.assert_close(step, slope, rtol=1e-6, atol=1e-8)


def test_the_local_force_is_the_force_where_context_and_state_agree() -> None:
    block, tokens, _, z = make()
    x = block.embed(tokens)
    torch.testing.assert_close(block.local_force(z, z, x), block.force(z, x))


def test_no_position_sees_a_later_one() -> None:
    block, tokens, _, z = make()
    x = block.embed(tokens)
    moved = z.clone()
    moved[:, 2] += 1
    change = (block.force(moved, x) - block.force(z, x)).abs().amax((0, 2))
    assert (change[:2] == 0).all()
    assert (change[2:] > 0).all()


def test_constants_outside_the_learned_part() -> None:
    block, tokens, _, z = make(damping=0.5)
    x = block.embed(tokens)
    torch.testing.assert_close(block.force(z, x), x - 1.5 * z + block.nonconservative(z))


@pytest.mark.parametrize(
    ("sizes", "place"),
    [({"width": 6, "heads": 4}, "heads"), ({"width": 0}, "width"), ({"length": 2.5}, "length")],
)
def test_impossible_sizes_are_refused(sizes: dict, place: str) -> None:
    with pytest.raises(InputError, match=place):
        read(BlockShape, sizes, "model")
    with pytest.raises(InputError, match=r"model.widht: unknown key; did you mean width"):
        read(BlockShape, {"widht": 8}, "model")
