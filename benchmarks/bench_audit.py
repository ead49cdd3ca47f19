"""The exact audit beside ARPACK and a dense eigensolver on the same operator, one thread, one process.

    python benchmarks/bench_audit.py [--published] [--dense] [--json FILE]

Times are processor seconds, best of the repeats, so that a busy machine distorts them little. ARPACK computes
only the four rightmost eigenvalues of the whole Jacobian from exact products, the exact audit all of them
with condition numbers and checks. The dense solver runs at n = 1,024 and 2,048 and is extrapolated by the
exponent between the two unless --dense asks for n = 8,192 in full.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs
from threadpoolctl import threadpool_limits

from specseq.equilibrium.audit import find_root
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.config import BlockShape
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.spectra.audit import CausalSpectrum, causal_spectrum
from specseq.spectra.modes import critical_step, spectral_radius
from specseq.spectra.operators import Jacobian, dense_jacobian

SIZES = {8_192: (64, 128, 3), 49_152: (192, 256, 2), 131_072: (512, 256, 1)}


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def case(width: int, length: int) -> tuple[EquilibriumBlock, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    shape = BlockShape(width=width, heads=width // 16, length=length, residual_gain=1.0)
    block = EquilibriumBlock(shape, 96, draw, torch.float64).requires_grad_(False)
    x = block.embed(torch.randint(0, 96, (1, length), generator=draw))
    root, _, _ = find_root(block, x, 200, 1e-9)
    return block, x, root


def exact(block: EquilibriumBlock, x: torch.Tensor, root: torch.Tensor) -> CausalSpectrum:
    spectrum = causal_spectrum(lambda z: block.force(z, x), diagonal_blocks(block, root), root)
    critical_step(spectrum.mu_BTC)
    spectral_radius(spectrum.mu_BTC, 0.1)
    return spectrum


def arpack(block: EquilibriumBlock, x: torch.Tensor, root: torch.Tensor) -> tuple[np.ndarray, int, bool]:
    jacobian, products = Jacobian(lambda z: block.force(z, x), root), 0

    def product(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return jacobian.matvec(torch.from_numpy(np.ascontiguousarray(v)).view_as(root)).flatten().numpy()

    size = root.numel()
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    try:
        mu = eigs(operator, 4, which="LR", tol=1e-4, maxiter=60, v0=start, return_eigenvectors=False)
    except ArpackNoConvergence as error:
        return error.eigenvalues, products, False
    return mu, products, True


def dense(width: int, length: int) -> float:
    block, x, root = case(width, length)
    return seconds(lambda: torch.linalg.eigvals(dense_jacobian(lambda z: block.force(z, x), root)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--published", action="store_true", help="also the published size, n = 131,072")
    parser.add_argument("--dense", action="store_true", help="the dense solver at n = 8,192 in full")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("       n  exact s  ARPACK s  ratio  products  settled  error in α")
    with threadpool_limits(1):
        for size, (width, length, repeats) in SIZES.items():
            if size > 50_000 and not options.published:
                continue
            block, x, root = case(width, length)
            exact(block, x, root)
            ours, theirs = math.inf, math.inf
            for _ in range(repeats):
                ours = min(ours, seconds(lambda b=block, x=x, r=root: exact(b, x, r)))
                start = time.process_time()
                mu, products, settled = arpack(block, x, root)
                theirs = min(theirs, time.process_time() - start)
            alpha = float(exact(block, x, root).mu_BN.real.max())
            found = float(mu.real.max()) if len(mu) else math.nan
            rows.append(
                {
                    "n": size,
                    "exact_seconds": ours,
                    "arpack_seconds": theirs,
                    "arpack_over_exact": theirs / ours,
                    "arpack_products": products,
                    "arpack_converged": settled,
                    "arpack_alpha_error": abs(found - alpha),
                }
            )
            row = rows[-1]
            print(
                f"{row['n']:>8} {row['exact_seconds']:>8.3f} {row['arpack_seconds']:>9.2f} "
                f"{row['arpack_over_exact']:>6.1f} {row['arpack_products']:>9} "
                f"{row['arpack_converged']!s:>8} {row['arpack_alpha_error']:>11.1e}",
                flush=True,
            )
        small, middle = dense(32, 32), dense(64, 32)
        exponent = math.log2(middle / small)
        full = dense(64, 128) if options.dense else middle * 4**exponent
    rows[0] |= {
        "dense_seconds": full,
        "dense_measured": options.dense,
        "dense_exponent": exponent,
        "dense_over_exact": full / rows[0]["exact_seconds"],
    }
    how = "measured" if options.dense else f"extrapolated as n^{exponent:.2f}"
    print(
        f"dense eigenvalues at n = 8,192: {full:.0f} s ({how}), {full / rows[0]['exact_seconds']:.0f} x exact"
    )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
