"""What coarser products cost equilibrium propagation: cosines of its gradient, and how solvers settle.

TF32 is imitated by rounding factors to 10 bits, so any machine can measure it. Rows: products of both phases
or of the nudged one in TF32 or bfloat16 (``free.products``, ``nudged.products``), which act on differences,
and everything in TF32, which no setting does.
Blocks: of the published size at its initial weights, the same with larger residual branches, small trained
ones, and a rotating one near its critical step.
"""

import argparse
from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape, Products, TwoSided
from specseq.equilibrium.estimators import Problem, estimate
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.gradients import cosine, operator_gradient, surrogate
from specseq.equilibrium.precision import ImitatedTF32, tf32
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import Anderson, Euler, Solver
from specseq.equilibrium.solvers import solve


class Mode(NamedTuple):
    """Precisions of the products; ``whole`` rounds those that see whole states, too."""

    name: str
    free: Literal["float32", "tf32"] = "float32"
    nudged: Products = "float32"
    whole: bool = False


MODES = (
    Mode("float32"),
    Mode("nudge tf32", nudged="tf32"),
    Mode("both tf32", "tf32", "tf32"),
    Mode("nudge bfloat16", nudged="bfloat16"),
    Mode("all tf32", whole=True),
)
PUBLISHED = {"width": 512, "heads": 16, "length": 256}
SYMBOLS = 4096


def blocks(samples: int) -> Iterator[tuple[str, EquilibriumBlock, Tensor, Tensor]]:
    """Name, block, tokens and targets."""
    for gain in (0.1, 0.5, 1.0):
        draw = torch.Generator().manual_seed(0)
        block = EquilibriumBlock(BlockShape(**PUBLISHED, residual_gain=gain), SYMBOLS, draw)
        tokens = torch.randint(SYMBOLS, (samples, 257), generator=draw)
        yield f"published, gain {gain:g}", block, tokens[:, :-1], tokens[:, 1:]
    for name, gains in CASES.items():
        tokens = rotating_tokens(8)
        yield name, rotating_block(*gains).float().requires_grad_(True), tokens, tokens.roll(-1, 1)


def gradient(
    block: EquilibriumBlock, tokens: Tensor, targets: Tensor, solver: Solver, mode: Mode
) -> tuple[Tensor, int, int, float]:
    """Gradient of the weights, evaluations of both phases, residual of the nudged one."""
    with tf32(mode.whole), ImitatedTF32():
        x = block.embed(tokens).detach()
        free = solve(solver, FreePhase(block, x, mode.free), x, 160, 1e-5)
        problem = Problem(block, x, free.state, targets, mode.nudged)
        adjoint = estimate(TwoSided(), problem, solver, 160, 1e-4)
    found = operator_gradient(block, surrogate(block, free.state, tokens, targets, adjoint.a_BTC)).detach()
    return found, free.evaluations, adjoint.evaluations, float(adjoint.residual_B.max())


def compare(name: str, block: EquilibriumBlock, tokens: Tensor, targets: Tensor, solver: Solver) -> None:
    exact: Tensor | None = None
    for mode in MODES:
        found, free, nudged, residual = gradient(block, tokens, targets, solver, mode)
        exact = found if exact is None else exact
        off = 1 - cosine(found, exact)
        print(
            f"{name:22s} {solver.name:9s} {mode.name:15s} 1-cos {off:9.2e}  free {free:4d} "
            f"nudged {nudged:4d} residual {residual:.1e}",
            flush=True,
        )


def settle(name: str, block: EquilibriumBlock, tokens: Tensor) -> None:
    """Force residual against evaluations, of the free phase."""
    x = block.embed(tokens).detach()
    for solver in (Euler(), Anderson()):
        solution = solve(solver, FreePhase(block, x), x, 160, 1e-7)
        shown = [f"{spent}: {float(g_B.max()):.1e}" for spent, g_B in solution.trace if spent % 20 == 0]
        print(f"{name:22s} {solver.name:9s} {'  '.join(shown)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=1, help="windows of the published size")
    parser.add_argument("--only", default="", help="blocks whose name begins so")
    options = parser.parse_args()
    for name, block, tokens, targets in blocks(options.samples):
        if name.startswith(options.only):
            settle(name, block, tokens)
            compare(name, block, tokens, targets, Anderson())
            if not name.startswith("published"):
                compare(name, block, tokens, targets, Euler(0.05))


if __name__ == "__main__":
    main()
