"""The test of symmetry knows planted symmetry, and finds none in weights that are drawn."""

import numpy as np
import pytest
import torch

from specseq.spacings.config import SpacingModelConfig
from specseq.spacings.hermiticity import attention_forms, hermiticity
from specseq.spacings.model import SpacingModel


def drawn(seed: int = 0, blocks: int = 2) -> SpacingModel:
    torch.manual_seed(seed)
    return SpacingModel(SpacingModelConfig(length=8, width=32, heads=4, blocks=blocks))


def with_keys(turn: torch.Tensor) -> SpacingModel:
    """A model whose keys are its queries, turned by an (E, E) matrix."""
    model = drawn()
    for block in model.blocks:
        weight = block.get_parameter("qkv.weight")
        with torch.no_grad():
            queries = weight[:32].view(4, 8, 32)
            weight[32:64] = (turn @ queries).reshape(32, 32)
    return model


def test_forms_give_the_logits() -> None:
    model = drawn()
    block = model.blocks[0]
    x = torch.randn(5, 32)
    q, k, _ = block.get_submodule("qkv")(x).view(5, 3, 4, 8).unbind(1)
    expected = torch.einsum("xhe,yhe->hxy", q, k).detach().double()
    forms = torch.tensor(np.stack(list(attention_forms(model))[:4]))
    assert torch.allclose(x.double() @ forms @ x.double().T, expected, atol=1e-5)


def test_planted_symmetry_is_found() -> None:
    found = hermiticity(with_keys(torch.eye(8)), np.random.default_rng(0))
    assert found.symmetry == pytest.approx(1)
    assert found.z > 10
    assert found.p == pytest.approx(1 / 1001)


def test_planted_antisymmetry_is_found() -> None:
    turn = torch.zeros(8, 8)
    turn[:4, 4:] = torch.eye(4)
    found = hermiticity(with_keys(turn - turn.T), np.random.default_rng(0))
    assert found.symmetry == pytest.approx(-1)
    assert found.z < -10


def test_drawn_weights_are_of_the_null() -> None:
    """z is of mean 0 and variance 1, and p uniform, over models as they start."""
    found = [hermiticity(drawn(seed), np.random.default_rng(seed), 200) for seed in range(100)]
    z, p = (np.array([getattr(one, name) for one in found]) for name in ("z", "p"))
    assert abs(z.mean()) < 0.4
    assert z.std() == pytest.approx(1, abs=0.25)
    assert 0 <= (p < 0.05).mean() < 0.15
    assert p.mean() == pytest.approx(0.5, abs=0.12)


def test_channels_of_unequal_size_are_no_symmetry() -> None:
    """Queries and keys that use the same few channels share their norms, not their signs."""
    z = []
    for seed in range(40):
        model = drawn(seed, blocks=1)
        with torch.no_grad():
            model.blocks[0].get_parameter("qkv.weight").mul_(torch.logspace(0, -2, 32))
        z.append(hermiticity(model, np.random.default_rng(seed), 300).z)
    assert abs(np.mean(z)) < 0.5
    assert np.std(z) < 1.5


def test_without_attention_there_is_nothing_to_test() -> None:
    assert np.isnan(hermiticity(drawn(blocks=0), np.random.default_rng(0)).p)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_weights_of_zero_or_nan_give_no_p_value(value: float) -> None:
    model = drawn()
    with torch.no_grad():
        model.get_parameter("blocks.0.qkv.weight").fill_(value)
    found = hermiticity(model, np.random.default_rng(0))
    assert np.isnan([found.symmetry, found.null, found.z, found.p]).all()
