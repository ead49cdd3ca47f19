"""Solvers on the same blocks: evaluations to a force residual of 1e-8, time, and what they landed on.

    python benchmarks/bench_solvers.py [--checkpoint FILE] [--json FILE]

Block A rotates and is stable for the flow (ε_crit 0.073), block B is Hopf-unstable, and a checkpoint adds a
trained block. The peer is a plain Anderson iteration over the whole batch as one vector with a fixed memory
and no safeguard, the usual form in libraries of deep equilibrium models. One thread, one process.
"""

import argparse
import json
import math
import time
from pathlib import Path

import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.checkpoint import audit_texts, load_block
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.rotating import CASES, rotating_block, rotating_tokens
from specseq.equilibrium.solver_config import SOLVERS
from specseq.equilibrium.solvers import solve
from specseq.spectra.exact import block_eigenvalues

BUDGET, TOLERANCE = 3000, 1e-8


def plain_anderson(field: FreePhase, start: Tensor, memory: int = 6, step: float = 0.1) -> Tensor:
    """The peer: one mixing for the whole batch, an absolute ridge, and the last iterate returned."""
    size = start.numel()
    states, images = start.new_zeros(memory, size), start.new_zeros(memory, size)
    z = start.flatten()
    for k in range(BUDGET):
        f = field(z.view_as(start)).flatten()
        if not f.norm() > TOLERANCE * z.norm():
            break
        states[k % memory], images[k % memory] = z, z + step * f
        n = min(k + 1, memory)
        gap = images[:n] - states[:n]
        system = start.new_zeros(n + 1, n + 1)
        system[0, 1:] = system[1:, 0] = 1
        system[1:, 1:] = gap @ gap.T + 1e-10 * torch.eye(n, dtype=start.dtype)
        right = start.new_zeros(n + 1)
        right[0] = 1
        z = torch.linalg.solve(system, right)[1:] @ images[:n]
    return z.view_as(start)


def measure(block: EquilibriumBlock, x: Tensor, name: str) -> dict[str, object]:
    field = FreePhase(block, x)
    began = time.process_time()
    if name == "plain anderson (peer)":
        state = plain_anderson(field, x)
    else:
        state = solve(SOLVERS[name](), field, x, BUDGET, TOLERANCE).state
    spent = time.process_time() - began
    residual = (block.force(state, x).flatten(1).norm(dim=1) / state.flatten(1).norm(dim=1)).max().item()
    converged = residual < TOLERANCE
    alpha = block_eigenvalues(diagonal_blocks(block, state)).real.max().item() if converged else math.nan
    return {
        "solver": name,
        "evaluations": field.evaluations,
        "seconds": spent,
        "residual": residual,
        "converged": converged,
        "alpha": alpha,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, help="weights of a trained block")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    cases: dict[str, tuple[EquilibriumBlock, Tensor]] = {}
    for label, case in zip("AB", CASES, strict=True):
        block = rotating_block(*CASES[case])
        cases[label] = (block, block.embed(rotating_tokens()))
    if options.checkpoint:
        block, _ = load_block(options.checkpoint)
        block = block.double()
        cases["trained"] = (block, block.embed(audit_texts(block, 2, None)))
    rows = []
    for label, (block, x) in cases.items():
        print(
            f"block {label}\n  {'solver':<22} {'evaluations':>11} {'seconds':>8} {'residual':>9} {'alpha':>8}"
        )
        for name in (*SOLVERS, "plain anderson (peer)"):
            row = {"block": label, **measure(block, x, name)}
            rows.append(row)
            end = f"{row['alpha']:>8.3f}" if row["converged"] else "no root"
            spent = f"{row['evaluations']:>11} {row['seconds']:>8.2f} {row['residual']:>9.1e}"
            print(f"  {name:<22} {spent} {end:>8}")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
