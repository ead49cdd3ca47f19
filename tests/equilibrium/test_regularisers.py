"""Penalties against finite differences, and controllers against arithmetic."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.controllers import AdaptiveWeight, NormCaps, gate
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import cosine, operator_gradient
from specseq.equilibrium.penalty_config import (
    JacobianNorm,
    LeadingEigenvalue,
    NumericalAbscissa,
    Penalty,
    Regularisers,
    ResidualNorm,
)
from specseq.equilibrium.regularisers import (
    Equilibrium,
    differentiable_abscissa,
    leading_radius,
    penalty,
)
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import NewtonGMRES
from specseq.equilibrium.solvers import solve
from specseq.errors import InputError
from specseq.settings import read
from specseq.spectra.audit import causal_spectrum
from specseq.spectra.modes import spectral_radius
from specseq.spectra.operators import dense_jacobian


def place(rotating: bool = True) -> tuple[EquilibriumBlock, torch.Tensor, torch.Tensor]:
    if rotating:
        block = rotating_block(*CASES["unstable"], width=16, length=6)
        tokens = rotating_tokens(2, 6)
    else:
        draw = torch.Generator().manual_seed(4)
        block = EquilibriumBlock(BlockShape(8, 2, 5, residual_gain=2.0), 9, draw, torch.float64)
        tokens = torch.randint(0, 9, (2, 5), generator=draw)
    x = block.embed(tokens).detach()
    root = solve(NewtonGMRES(), FreePhase(block, x), x, 2000, 1e-12).state
    return block.requires_grad_(True), tokens, root


def value(block: EquilibriumBlock, tokens: torch.Tensor, root: torch.Tensor, of: Penalty) -> torch.Tensor:
    at = Equilibrium(block, block.embed(tokens), root, torch.Generator().manual_seed(0))
    if isinstance(of, NumericalAbscissa):
        return differentiable_abscissa(of, at).sum()
    return leading_radius(of, at).sum() if isinstance(of, LeadingEigenvalue) else penalty(of, at)


@pytest.mark.parametrize("rotating", [True, False], ids=["complex", "general"])
@pytest.mark.parametrize(
    "of",
    [
        LeadingEigenvalue(weight=1),
        LeadingEigenvalue(weight=1, positions=2),
        JacobianNorm(weight=1),
        ResidualNorm(weight=1),
        NumericalAbscissa(weight=1, size=96),
    ],
    ids=["eigenvalue", "eigenvalue_of_two", "jacobian", "residual", "abscissa"],
)
def test_gradients_equal_finite_differences(of: Penalty, rotating: bool) -> None:
    block, tokens, root = place(rotating)
    root = root + 0.01  # off the root, where the residual has a gradient
    scalar = value(block, tokens, root, of)
    names = block.operator_names()
    grads = torch.autograd.grad(scalar, [getattr(block, name) for name in names], allow_unused=True)
    draw = torch.Generator().manual_seed(1)
    for name, grad in zip(names, grads, strict=True):
        weight = getattr(block, name)
        direction = torch.randn(weight.shape, generator=draw, dtype=torch.float64)
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                weight += sign * 1e-6 * direction
            values.append(value(block, tokens, root, of).item())
            with torch.no_grad():
                weight -= sign * 1e-6 * direction
        slope = (values[0] - values[1]) / 2e-6
        got = 0.0 if grad is None else (grad * direction).sum().item()
        assert got == pytest.approx(slope, rel=1e-4, abs=1e-7)


def test_the_abscissa_penalty_measures_the_abscissa_and_lets_the_margin_pass() -> None:
    block, tokens, root = place()
    x = block.embed(tokens).detach()
    jacobian = dense_jacobian(lambda z: block.force(z, x), root)
    true = torch.linalg.eigvalsh((jacobian + jacobian.mT) / 2)[:, -1]
    at = Equilibrium(block, block.embed(tokens), root, torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        differentiable_abscissa(NumericalAbscissa(weight=1, size=96), at).detach(), true
    )
    assert penalty(NumericalAbscissa(weight=1, size=96, margin=true.max().item() + 0.1), at).item() == 0
    assert penalty(NumericalAbscissa(weight=1, size=96, margin=true.min().item() - 1), at).item() >= 1


def test_the_left_right_form_measures_the_radius_and_the_published_form_does_not() -> None:
    block, tokens, root = place()
    x = block.embed(tokens).detach()
    spectrum = causal_spectrum(lambda z: block.force(z, x), diagonal_blocks(block, root), root)
    true = spectral_radius(spectrum.mu_BN, 0.1)
    at = Equilibrium(block, block.embed(tokens), root, torch.Generator().manual_seed(0))
    torch.testing.assert_close(leading_radius(LeadingEigenvalue(weight=1), at), true)
    published = leading_radius(LeadingEigenvalue(weight=1, form="published"), at)
    assert published.requires_grad
    assert ((published - true).abs() > 0.01).all()


def test_positions_are_drawn_anew_and_never_exceed_the_leading_one() -> None:
    block, tokens, root = place()
    at = Equilibrium(block, block.embed(tokens), root, torch.Generator().manual_seed(0))
    whole, one = leading_radius(LeadingEigenvalue(weight=1), at), LeadingEigenvalue(weight=1, positions=1)
    seen = torch.stack([leading_radius(one, at).detach() for _ in range(40)])
    assert (seen <= whole + 1e-12).all()
    torch.testing.assert_close(seen.amax(0), whole)
    assert len(seen.unique(dim=0)) == 6
    torch.testing.assert_close(leading_radius(LeadingEigenvalue(weight=1, positions=99), at), whole)


def test_the_published_gradient_is_another() -> None:
    block, tokens, root = place()
    at = Equilibrium(block, block.embed(tokens), root, torch.Generator().manual_seed(0))
    exact, published = (
        operator_gradient(block, leading_radius(LeadingEigenvalue(weight=1, form=form), at).sum())
        for form in ("left_right", "published")
    )
    assert cosine(exact, published) < 0.9


def test_the_penalty_is_one_sided() -> None:
    block, tokens, root = place()
    at = Equilibrium(block, block.embed(tokens), root, torch.Generator().manual_seed(0))
    assert penalty(LeadingEigenvalue(weight=1, margin=2.0), at).item() == 0
    radius = leading_radius(LeadingEigenvalue(weight=1), at)
    expected = (radius - 0.9).square().mean()
    torch.testing.assert_close(penalty(LeadingEigenvalue(weight=1, margin=0.9), at), expected)


def test_hutchinson_has_the_frobenius_norm_in_the_mean() -> None:
    block, tokens, root = place(rotating=False)
    generator = torch.Generator().manual_seed(0)
    at = Equilibrium(block, block.embed(tokens), root, generator)
    mean = sum(penalty(JacobianNorm(weight=1), at).item() for _ in range(300)) / 300
    dense = dense_jacobian(lambda z: block.nonconservative(z), root)
    assert mean == pytest.approx((dense.square().sum() / root.numel()).item(), rel=0.1)


def test_a_state_that_is_not_finite_gives_no_radius() -> None:
    block, tokens, root = place()
    at = Equilibrium(block, block.embed(tokens), root * math.nan, torch.Generator().manual_seed(0))
    assert not penalty(LeadingEigenvalue(weight=1), at) > 0


def test_caps_hold_the_norms_and_survive_a_resume() -> None:
    block, _, _ = place()
    caps = NormCaps(block, 1.5)
    first = block.key.norm().item()
    with torch.no_grad():
        block.key *= 4
        block.query *= 1.2
    resumed = NormCaps(block, 1.5)
    resumed.load_state_dict(caps.state_dict())
    assert resumed.apply(block) == 1
    assert block.key.norm().item() == pytest.approx(1.5 * first)
    assert resumed.apply(block) == 0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60))
def test_an_adaptive_weight_stays_in_its_bounds(residuals: list[float]) -> None:
    weight = AdaptiveWeight(Penalty(weight=1.0, target=0.1, rate=2.0, floor=0.25, ceiling=4.0))
    for residual in residuals:
        before = weight.weight
        weight.update(residual)
        assert 0.25 <= weight.weight <= 4
        assert (weight.weight >= before) is (not residual <= 0.1 or before == 0.25)
    fixed = AdaptiveWeight(Penalty(weight=1.0))
    fixed.update(5.0)
    assert fixed.weight == 1.0


def test_the_gate_lets_no_unsettled_sample_teach() -> None:
    assert gate(torch.tensor([0.01, 0.3, math.inf, math.nan]), 0.1).tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    ("params", "place"),
    [
        ({"jacobain": {"weight": 1}}, "regularisers.jacobain"),
        ({"jacobian": {}}, "weight"),
        ({"eigenvalue": {"weight": 1, "margn": 1}}, "regularisers.eigenvalue"),
        ({"eigenvalue": {"weight": 1, "form": "left"}}, "regularisers.eigenvalue.form"),
        ({"eigenvalue": {"weight": 1, "positions": 0}}, "regularisers.eigenvalue.positions"),
        ({"eigenvalue": {"weight": 1, "iterations": 3}}, "iterations: acts on the published form only"),
        ({"jacobian": {"weight": 1, "rate": 2}}, "rate: acts on a weight with a target only"),
        ({"jacobian": {"weight": 20, "target": 0.1}}, "weight: 20 is not from 0.0001 to 10"),
        ({"abscissa": {"weight": float("nan")}}, "regularisers.abscissa.weight: nan"),
    ],
)
def test_unknown_penalties_are_refused(params: dict, place: str) -> None:
    with pytest.raises(InputError, match=place):
        read(Regularisers, params, "regularisers")


def test_a_penalty_of_no_weight_is_none() -> None:
    assert Regularisers(jacobian=JacobianNorm(weight=0)).active() == {}


def test_the_eigenvalue_is_that_of_the_runs_own_step() -> None:
    block, tokens, root = place()
    at = Equilibrium(block, block.embed(tokens), root, torch.Generator().manual_seed(0), step=0.05)
    radius = leading_radius(LeadingEigenvalue(weight=1), at)
    assert torch.equal(radius, leading_radius(LeadingEigenvalue(weight=1, step=0.05), at))
    assert not torch.equal(radius, leading_radius(LeadingEigenvalue(weight=1, step=0.2), at))
