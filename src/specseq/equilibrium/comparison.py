"""Errors of cheaper measurements at the equilibria that were audited.

The audit's numbers are exact; this module compares measurements in common use with them.
"""

import torch

from specseq.equilibrium.audit import PART, Audit
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.solver_config import Euler
from specseq.equilibrium.solvers import solve
from specseq.spectra.audit import force_residual
from specseq.spectra.diagnostics import power_abscissa, subspace_radius
from specseq.spectra.modes import spectral_radius
from specseq.spectra.operators import Jacobian


def compare(audit: Audit, block: EquilibriumBlock, tokens_BT: torch.Tensor, step: float) -> dict[str, float]:
    """Differences from the audit, the largest over all samples.

    Args:
        audit: of the block on these texts.
        block: of any precision, on the processor.
        tokens_BT: the texts.
        step: ε.

    Returns:
        ``subspace_error``: of ρ(ε) by ten two-dimensional subspace iterations. ``power_iteration_error``: of
        ω(J_nc) by fifty unshifted power iterations. ``converged_unstable_roots``: share of samples at a root
        with α ≥ 0, whichever solver found it. ``residual_identity``: the step residual measured on one Euler
        step, divided by ε times the force residual.
    """
    block = block.double()
    parts = [
        _compare(audit, block, tokens, samples, step)
        for tokens, samples in zip(
            tokens_BT.split(PART), torch.arange(len(tokens_BT)).split(PART), strict=True
        )
    ]
    largest = {name: max(part[name] for part in parts) for name in parts[0]}
    settled = audit.table.groupby("sample")["residual"].max() <= audit.tolerance
    unstable = audit.table.groupby("sample")["alpha"].max() >= 0
    return largest | {"converged_unstable_roots": float((settled & unstable).mean())}


def _compare(
    audit: Audit, block: EquilibriumBlock, tokens_BT: torch.Tensor, samples_B: torch.Tensor, step: float
) -> dict[str, float]:
    x = block.embed(tokens_BT).detach()
    jacobian = Jacobian(lambda z: block.force(z, x), audit.root_BTC[samples_B])
    draw = torch.Generator().manual_seed(0)
    pair = torch.randn(*x.shape, 2, generator=draw, dtype=torch.float64)
    radius = subspace_radius(jacobian.matvec, pair, step, 10)
    power = power_abscissa(jacobian.matvec, jacobian.rmatvec, pair[..., 0], 50, block.leak)
    before = solve(Euler(step), FreePhase(block, x), x, 10, 1e-15).state
    after = before + step * block.force(before, x).detach()
    moved = force_residual(after - before, before, (1, 2))
    force = force_residual(block.force(before, x).detach(), before, (1, 2))
    exact = spectral_radius(audit.spectrum.mu_BN[samples_B], step)
    return {
        "subspace_error": (radius - exact).abs().max().item(),
        "power_iteration_error": (power - audit.omega_B[samples_B] - block.leak).abs().max().item(),
        "residual_identity": (moved / (step * force)).max().item(),
    }
