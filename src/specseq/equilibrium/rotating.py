"""Blocks with rotating leading modes: known cases for solvers and audit.

On half of the channels the value path is g (s I + w Ω), where Ω rotates every channel pair. The leading modes
of J are then near g s - (1 + c) ± i g w, before attention and normalisation shift them.
"""

import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape

CASES: dict[str, tuple[float, float, float]] = {"rotating": (1.0, 0.5, 0.8), "unstable": (1.0, 0.6, 1.0)}
# For step-size controllers, with roots that are stable for the flow: leading modes near -1 ± i and -1 ± 16i
# (normalisation multiplies gains by 3.2); ε_crit is 0.80 and 0.0059.
PACES: dict[str, tuple[float, float, float]] = {"smooth": (1.0, 0.31, 0.31), "stiff": (1.0, 0.31, 5.0)}


def rotating_block(
    gain: float,
    shrink: float,
    rotation: float,
    feed_forward: float = 0.2,
    width: int = 32,
    length: int = 16,
) -> EquilibriumBlock:
    """A float64 block of 40 symbols with rotating leading modes.

    At the default sizes ``CASES["rotating"]`` is stable for the flow with ε_crit = 0.073, and
    ``CASES["unstable"]`` has a root with an unstable rotating pair, α = +0.09.

    Args:
        gain: g.
        shrink: s.
        rotation: w.
    """
    shape = BlockShape(width=width, heads=4, length=length, residual_gain=feed_forward)
    block = EquilibriumBlock(shape, 40, torch.Generator().manual_seed(0), torch.float64)
    half = shape.width // 2
    omega = torch.zeros(half, half, dtype=torch.float64)
    for i in range(0, half, 2):
        # Slightly different rotation speeds keep the eigenvalue pairs apart.
        omega[i, i + 1] = 1 + 0.02 * i / half
        omega[i + 1, i] = -omega[i, i + 1]
    kernel = torch.zeros(shape.width, shape.width, dtype=torch.float64)
    kernel[:half, :half] = gain * (shrink * torch.eye(half, dtype=torch.float64) + rotation * omega)
    with torch.no_grad():
        block.value.copy_(torch.eye(shape.width, dtype=torch.float64))
        block.output.copy_(kernel)
        # Small inputs on the rotating half keep the attention nearly linear there.
        block.token[:, :half] *= 0.1
        block.position[:, :half] *= 0.1
    return block.requires_grad_(False)


def rotating_tokens(samples: int = 2, length: int = 16) -> torch.Tensor:
    """Token rows; the defaults are those behind the figures given above."""
    return torch.randint(0, 40, (samples, length), generator=torch.Generator().manual_seed(1))
