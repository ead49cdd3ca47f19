"""The spectral transform unit: its modes against the two branches written out."""

import numpy as np
import pytest
import torch

from specseq.models.stu.layer import Mode, SpectralTransformUnit
from specseq.models.stu.segments import segment_tables

LENGTH, WIDTH, FILTERS = 24, 6, 4


def unit(mode: Mode, published: bool = False) -> SpectralTransformUnit:
    torch.manual_seed(0)
    return SpectralTransformUnit(WIDTH, LENGTH, FILTERS, mode, published=published).double()


def mix(layer: SpectralTransformUnit, x_ND: torch.Tensor) -> torch.Tensor:
    return layer(x_ND, segment_tables(np.array([0]), np.array([len(x_ND)])))


def two_branches(layer: SpectralTransformUnit, x_ND: torch.Tensor) -> torch.Tensor:
    """Plus branch, and minus branch that alternates the signal's sign before and after the filter."""
    phi_LK = layer.phi_LK
    sign_N1 = torch.tensor([1.0, -1.0]).repeat(len(x_ND))[: len(x_ND), None].double()

    def filtered(u_ND: torch.Tensor) -> torch.Tensor:
        return torch.stack(
            [sum(phi_LK[t - s, :, None] * u_ND[s] for s in range(t + 1)) for t in range(len(u_ND))]
        )  # [N, K, D]

    if layer.mode == "full":
        plus, minus = filtered(x_ND), sign_N1[..., None] * filtered(sign_N1 * x_ND)
        return torch.einsum("nkd,kde->ne", plus, layer.plus_KDD) + torch.einsum(
            "nkd,kde->ne", minus, layer.minus_KDD
        )
    u_ND = x_ND @ layer.inputs_DI
    minus_KD = layer.plus_KI if layer.minus_KI is None else layer.minus_KI
    return (filtered(u_ND) * layer.plus_KI).sum(1) + sign_N1 * (filtered(sign_N1 * u_ND) * minus_KD).sum(1)


@pytest.mark.parametrize("mode", ["shared", "signed", "full"])
def test_equals_both_branches_written_out(mode: Mode) -> None:
    layer, x_ND = unit(mode), torch.randn(LENGTH, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(mix(layer, x_ND), two_branches(layer, x_ND), rtol=1e-10, atol=1e-12)


def test_shared_weights_hide_the_direct_predecessor_and_separate_ones_restore_it() -> None:
    assert (unit("shared").impulse_response()[1::2] == 0).all()
    assert (unit("signed").impulse_response()[1::2].abs() > 1e-12).all()


@pytest.mark.parametrize(("mode", "count"), [("shared", 156_672), ("signed", 165_888)])
def test_published_parameter_counts(mode: Mode, count: int) -> None:
    layer = SpectralTransformUnit(384, 512, 24, mode)
    assert sum(p.numel() for p in layer.parameters()) == count


def test_full_mode_has_a_matrix_for_each_filter_and_branch() -> None:
    assert sum(p.numel() for p in unit("full").parameters()) == 2 * FILTERS * WIDTH**2


@pytest.mark.parametrize("mode", ["shared", "signed", "full"])
def test_causal_but_for_the_published_form(mode: Mode) -> None:
    x_ND = torch.randn(16, WIDTH, dtype=torch.float64)
    later_ND = x_ND.clone()
    later_ND[-1] += 1
    layer = unit(mode)
    assert torch.equal(mix(layer, x_ND)[:-1], mix(layer, later_ND)[:-1])
    if mode != "full":
        wrapping = unit(mode, published=True)
        moved = (mix(wrapping, later_ND) - mix(wrapping, x_ND))[:-1].norm() / mix(wrapping, x_ND)[:-1].norm()
        assert moved > 0.01


@pytest.mark.parametrize("mode", ["signed", "full"])
def test_gradients_equal_finite_differences(mode: Mode) -> None:
    layer, x_ND = unit(mode), torch.randn(10, WIDTH, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)
    tables = segment_tables(np.array([0, 4]), np.array([4, 6]))

    def run(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x, tables))

    assert torch.autograd.gradcheck(run, (x_ND, *values), atol=1e-7, nondet_tol=0.0)


def test_filters_travel_with_the_checkpoint() -> None:
    assert unit("signed").state_dict()["phi_LK"].shape == (LENGTH, FILTERS)


def test_the_sandwich_projects_more_channels_back_to_the_model_width() -> None:
    torch.manual_seed(0)
    layer, plain = SpectralTransformUnit(WIDTH, LENGTH, FILTERS, inner=10).double(), unit("signed")
    x_ND = torch.randn(9, WIDTH, dtype=torch.float64)
    assert mix(layer, x_ND).shape == x_ND.shape
    with torch.no_grad():
        for name, value in plain.named_parameters():
            getattr(layer, name).zero_()[:, :WIDTH] = value
        layer.outputs_ID.copy_(torch.eye(10, WIDTH))
    torch.testing.assert_close(mix(layer, x_ND), mix(plain, x_ND))


def test_filters_are_not_rounded_under_autocast() -> None:
    layer = unit("signed").float()
    expected = layer.impulse_response()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer.impulse_response(), expected)
