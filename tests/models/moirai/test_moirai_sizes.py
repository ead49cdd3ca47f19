"""The maps with weights per patch size against one product per token, in float64."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from specseq.models.moirai.batch import SizeGroup
from specseq.models.moirai.sizes import MultiSizeHeads, MultiSizeInput

SIZES = (2, 4, 8)


def groups(*tokens: tuple[int, list[int]]) -> tuple[SizeGroup, ...]:
    return tuple(SizeGroup(number, SIZES[number], torch.tensor(places)) for number, places in tokens)


MIXED = groups((0, [4, 0]), (2, [1, 5, 3]))
CASES = [MIXED, groups((1, [2])), ()]


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in module.double().parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return module


def check(ours: Tensor, plain: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(ours, plain, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    grads = [
        torch.autograd.grad((value * upstream).sum(), leaves, allow_unused=True) for value in (ours, plain)
    ]
    for mine, expected in zip(*grads, strict=True):
        expected = torch.zeros_like(mine) if expected is None else expected
        torch.testing.assert_close(mine, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parts", CASES)
def test_inputs(parts: tuple[SizeGroup, ...]) -> None:
    module = randomised(MultiSizeInput(SIZES, 5))
    x_TP = torch.randn(6, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    hidden_1D = torch.ones(1, 5, dtype=torch.float64, requires_grad=True)
    rows = [hidden_1D[0]] * 6
    order = [token for g in parts for token in g.tokens.tolist()]
    for g in parts:
        for token in g.tokens.tolist():
            weight_Dp = module.weight[g.number, :, : g.size]
            rows[token] = weight_Dp @ x_TP[token, : g.size] + module.bias[g.number]
    entry_T = torch.tensor([order.index(token) if token in order else len(order) for token in range(6)])
    hidden = torch.tensor([token for token in range(6) if token not in order])
    tables = SimpleNamespace(context=parts, entry_T=entry_T, hidden=hidden)
    check(module(x_TP, hidden_1D, tables), torch.stack(rows), [hidden_1D, *module.parameters()])


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("parts", CASES)
def test_heads(parts: tuple[SizeGroup, ...], parity: bool) -> None:
    module = randomised(MultiSizeHeads(5, SIZES, parity))
    count = sum(len(g.tokens) for g in parts)
    x_KD = torch.randn(count, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x_KD.requires_grad_()
    weight = module.weight * module._used()[..., None]
    columns, token = [0 * module.bias[0, :, :0] + 0 * x_KD.sum()], 0
    for g in parts:
        for _ in g.tokens:
            used = weight if parity else module.weight
            columns.append(used[g.number, :, : g.size] @ x_KD[token] + module.bias[g.number, :, : g.size])
            token += 1
    check(module(x_KD, parts), torch.cat(columns, dim=1), [x_KD, *module.parameters()])
