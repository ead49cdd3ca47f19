"""The ε-sweep of a checkpoint: step and force residuals that Euler reaches with each step size.

The step residual ‖z' - z‖/‖z‖ is ε times the force residual ‖F‖/‖z‖ and falls with ε whether or not the state
settles; side by side the two cannot be mistaken for each other.
"""

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from specseq.equilibrium.audit import Audit
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.solver_config import Euler
from specseq.equilibrium.solvers import solve
from specseq.spectra.audit import force_residual
from specseq.spectra.modes import spectral_radius

MEASURES = ("step_residual", "force_residual", "evaluations", "time", "rho")


@torch.no_grad()
def step_sweep(
    audit: Audit, block: EquilibriumBlock, tokens_BT: Tensor, steps: Sequence[float], budget: int
) -> pd.DataFrame:
    """Relax from z = x with Euler at each step, in double precision.

    Args:
        audit: of the block on these texts, for ρ(ε) at the root.
        block: of any precision; it is copied.
        tokens_BT: the texts.
        steps: step sizes ε.
        budget: evaluations per relaxation, which ends early at the audit's tolerance.

    Returns:
        One row for each step and sample: ``step``, ``sample``, ``step_residual`` measured on one more
        step, ``force_residual``, ``evaluations``, ``time`` = ε × evaluations, and ``rho``, the exact ρ(ε) at
        the root.
    """
    exact = copy.deepcopy(block).double().cpu()
    x = exact.embed(tokens_BT.cpu())
    frames = []
    for step in steps:
        solution = solve(Euler(step), FreePhase(exact, x), x, budget, audit.tolerance)
        state = solution.state
        after = state + step * exact.force(state, x)
        values = {
            "step_residual": force_residual(after - state, state, (1, 2)),
            "force_residual": solution.residual_B,
            "evaluations": solution.evaluations_B.double(),
            "time": step * solution.evaluations_B.double(),
            "rho": spectral_radius(audit.spectrum.mu_BN, step),
        }
        frame = pd.DataFrame({name: value.numpy() for name, value in values.items()})
        frame.insert(0, "step", step)
        frame.insert(1, "sample", np.arange(len(frame)))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)
