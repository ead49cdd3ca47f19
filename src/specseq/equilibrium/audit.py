"""The audit of a trained block: finds its roots on samples of text and analyses their spectra.

Shapes: B sample, T position, C channel.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.diagonal_blocks import diagonal_blocks
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.solver_config import Anderson, Euler, NewtonGMRES, Solver
from specseq.equilibrium.solvers import solve
from specseq.equilibrium.solvers.interface import per_sample, residuals
from specseq.errors import InputError
from specseq.spectra.audit import CausalSpectrum, audit_table, causal_spectrum, force_residual
from specseq.spectra.krylov import numerical_abscissa
from specseq.spectra.operators import Jacobian
from specseq.spectra.verdict import Verdict, worst
from specseq.tables.kept import NOTHING_KEPT, Arrays, Kept

_SPECTRAL = (
    *("alpha", "im", "kappa", "rho", "eps_crit", "limit_re", "limit_im"),
    *("rotation", "settling_time", "damping_ratio", "omega", "gap"),
)
_LARGEST_IS_WORST = ("rho", "rotation", "settling_time", "omega", "gap")

_LARGEST = 1 << 27  # numbers in the largest temporary of the spectrum
PART = 64  # samples that are audited together


@dataclass(frozen=True)
class Audit:
    """The audit of some samples.

    Attributes:
        table: one row for every sample and position, see :func:`specseq.spectra.audit.audit_table`.
        spectrum: all eigenvalues at the state that was reached.
        root_BTC: the state that was reached, in double precision.
        evaluations: spent on finding the root.
        tolerance: largest force residual that counts as a root.
    """

    table: pd.DataFrame
    spectrum: CausalSpectrum
    root_BTC: Tensor
    residual_B: Tensor
    omega_B: Tensor
    evaluations: int
    tolerance: float = 1e-6

    def summary(self) -> dict[str, float]:
        """The worst values over all samples and positions at an equilibrium, and the share of each verdict.

        ``verdict_<name>`` is the share of samples whose worst position has that verdict. Positions with the
        verdict TRANSIENT or NO-ROOT are not at an equilibrium; if all are such, the spectral values are NaN.
        """
        t = self.table
        at_root = t[~t["verdict"].isin(("TRANSIENT", "NO-ROOT"))]
        values: dict[str, float] = dict.fromkeys(_SPECTRAL, float("nan"))
        if len(at_root):
            lead = at_root.iloc[int(at_root["alpha"].to_numpy().argmax())]
            limit = at_root.iloc[int(at_root["eps_crit"].to_numpy().argmin())]
            values |= {name: lead[name] for name in ("alpha", "im", "kappa")}
            values |= {name: limit[name] for name in ("eps_crit", "limit_re", "limit_im")}
            values |= {name: at_root[name].max() for name in _LARGEST_IS_WORST}
            values["damping_ratio"] = at_root["damping_ratio"].min()
        values["residual_converged"] = float(self.residual_B.mean())
        per_sample_verdict = t.groupby("sample")["verdict"].agg(worst)
        for name in Verdict:
            key = f"verdict_{name.lower().replace('-', '_')}"
            values[key] = float((per_sample_verdict == name).mean())
        return {name: float(value) for name, value in values.items()}


def find_root(
    block: EquilibriumBlock,
    x_BTC: Tensor,
    budget: int = 2000,
    tolerance: float = 1e-8,
    kept: Kept = NOTHING_KEPT,
    name: str = "",
) -> tuple[Tensor, Tensor, int]:
    """Search for a root of the force: a short relaxation, then Anderson, then Newton from the best state.

    The relaxation with a small step leads towards the root that the flow itself would reach, if any. The
    state returned may be unstable or no root at all; its residual and the audit tell which.

    Args:
        kept: holds where each solver ended under names that begin with ``name``, so that a long search can
            resume.

    Returns:
        State, force residual of each sample, evaluations spent.
    """
    field = FreePhase(block, x_BTC)

    def end_of(solver: Solver, start: Tensor, limit: int) -> tuple[Tensor, Tensor]:
        def make() -> Arrays:
            solution = solve(solver, field, start, limit, tolerance)
            state, residual_B = solution.state.cpu().numpy(), solution.residual_B.cpu().numpy()
            return {"state": state, "residual_B": residual_B, "evaluations": np.array(field.evaluations)}

        state, residual_B, evaluations = _tensors(kept.arrays(f"{name}_{solver.name}", make)).values()
        field.evaluations = int(evaluations)
        return state.to(x_BTC.device), residual_B.to(x_BTC.device)

    state, residual_B = end_of(Euler(0.05), x_BTC, max(1, min(100, budget // 4)))
    state = torch.where(per_sample(torch.isfinite(residuals(state, state)), state), state, x_BTC)
    for solver, share in ((Anderson(), 0.5), (NewtonGMRES(), 1.0)):
        rest = int(share * (budget - field.evaluations))
        if rest > 0:
            state, residual_B = end_of(solver, state, rest)
            if bool((residual_B <= tolerance).all()):
                break
    return state, residual_B, field.evaluations


def audit_block(
    block: EquilibriumBlock,
    tokens_BT: Tensor,
    step: float,
    budget: int = 2000,
    tolerance: float = 1e-6,
    kept: Kept = NOTHING_KEPT,
    name: str = "",
) -> Audit:
    """Audit a block at the equilibria of some texts, in double precision.

    Args:
        block: of any precision; it is copied.
        step: the Euler step in use, for ρ(ε) and EULER-WALL.
        budget: evaluations allowed for finding the root.
        tolerance: force residual that counts as a root.
        kept: holds what is done under names that begin with ``name``, so that a long audit can resume.

    Raises:
        InputError: weights that are not finite.
    """
    for parameter, weight in block.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise InputError(
                f"weights.{parameter}", "not finite", "audit a checkpoint from before it diverged"
            )
    exact = copy.deepcopy(block).double().requires_grad_(False)
    x_BTC = exact.embed(tokens_BT.to(exact.token.device))
    found, residual_B, evaluations = find_root(exact, x_BTC, budget, min(1e-8, tolerance), kept, name)
    # The root is found on the block's device; eigenvalues of many small matrices are faster on the CPU.
    exact, root_BTC, residual_B = exact.cpu(), found.cpu(), residual_B.cpu()
    x_BTC = exact.embed(tokens_BT.cpu())
    spectrum = _spectrum(exact, x_BTC, root_BTC, kept, name)
    make = partial(_abscissae, exact, x_BTC, root_BTC)
    (omega_B,) = _tensors(kept.arrays(f"{name}_abscissae", make)).values()
    residual_BT = force_residual(exact.force(root_BTC, x_BTC), root_BTC)
    table = audit_table(spectrum, residual_BT, step, omega_B, tolerance)
    return Audit(table, spectrum, root_BTC, residual_B, omega_B, evaluations, tolerance)


def _tensors(arrays: Arrays) -> dict[str, Tensor]:
    """Copies in torch's own memory, whose alignment decides the last bits of what is computed from them."""
    return {name: torch.tensor(value) for name, value in arrays.items()}


def _abscissae(block: EquilibriumBlock, x_BTC: Tensor, root_BTC: Tensor) -> Arrays:
    jacobian = Jacobian(lambda z: block.force(z, x_BTC), root_BTC)
    omega_B, _ = numerical_abscissa(jacobian.matvec, jacobian.rmatvec, root_BTC, tolerance=1e-4)
    return {"omega_B": omega_B.numpy()}


def joined(parts: Sequence[Audit]) -> Audit:
    """Join the audits of several batches into one, with samples numbered consecutively."""
    tables, samples = [], 0
    for part in parts:
        tables.append(part.table.assign(sample=part.table["sample"] + samples))
        samples += len(part.residual_B)
    return Audit(
        pd.concat(tables, ignore_index=True),
        CausalSpectrum.join([part.spectrum for part in parts]),
        torch.cat([part.root_BTC for part in parts]),
        torch.cat([part.residual_B for part in parts]),
        torch.cat([part.omega_B for part in parts]),
        sum(part.evaluations for part in parts),
        parts[0].tolerance,
    )


def audit_in_parts(
    block: EquilibriumBlock,
    tokens_BT: Tensor,
    step: float,
    budget: int,
    tolerance: float,
    kept: Kept = NOTHING_KEPT,
) -> Iterator[Audit]:
    """Audit :data:`PART` samples at a time, for :func:`joined`; arguments as for :func:`audit_block`."""
    for number, tokens in enumerate(tokens_BT.split(PART)):
        yield audit_block(block, tokens, step, budget, tolerance, kept, f"audit_{number}")


def _spectrum(
    block: EquilibriumBlock, x_BTC: Tensor, root_BTC: Tensor, kept: Kept, name: str
) -> CausalSpectrum:
    """The exact spectrum, a few samples at a time: at the published size each takes four gigabytes."""
    a_sample = root_BTC[0].numel() * block.shape.expansion * block.shape.width
    few = max(1, _LARGEST // a_sample)
    parts = []
    for number, (x, root) in enumerate(zip(x_BTC.split(few), root_BTC.split(few), strict=True)):
        make = partial(_spectrum_of, block, x, root)
        parts.append(CausalSpectrum(**_tensors(kept.arrays(f"{name}_spectrum_{number}", make))))
    return CausalSpectrum.join(parts)


def _spectrum_of(block: EquilibriumBlock, x_BTC: Tensor, root_BTC: Tensor) -> Arrays:
    force = partial(block.force, x_BTC=x_BTC)
    spectrum = causal_spectrum(force, diagonal_blocks(block, root_BTC), root_BTC)
    return {key: value.numpy() for key, value in vars(spectrum).items()}


def sample_rows(table: pd.DataFrame) -> pd.DataFrame:
    """One row per sample: its verdict, the position that decides it, and the sample's own numbers.

    The verdict is the most serious of all positions. ``position`` is the position that decides it: among
    those with that verdict, the one with the rightmost mode, or for EULER-WALL the largest ρ. ``alpha``,
    ``im``, ``kappa`` and ``error`` belong to the rightmost mode of the whole sample; ``eps_crit``,
    ``limit_re`` and ``limit_im`` to the mode that limits Euler's step. ``rho``, ``rotation``,
    ``settling_time``, ``omega``, ``gap`` and ``residual`` are the largest values, ``damping_ratio`` is the
    smallest. NaN where no position has a value.
    """
    return pd.DataFrame([_sample_row(own) for _, own in table.groupby("sample")])


def _sample_row(own: pd.DataFrame) -> dict[str, Any]:
    verdict = worst(own["verdict"])
    deciding = own[own["verdict"] == verdict]
    measure = "rho" if verdict == Verdict.EULER_WALL else "alpha"
    row = {"sample": own["sample"].iloc[0], "verdict": str(verdict)}
    row["position"] = deciding["position"].iloc[int(deciding[measure].fillna(-np.inf).to_numpy().argmax())]
    lead = own.iloc[int(own["alpha"].fillna(-np.inf).to_numpy().argmax())]
    limit = own.iloc[int(own["eps_crit"].fillna(np.inf).to_numpy().argmin())]
    row |= {name: lead[name] for name in ("alpha", "im", "kappa", "error")}
    row |= {name: limit[name] for name in ("eps_crit", "limit_re", "limit_im")}
    row["damping_ratio"] = own["damping_ratio"].min()
    return row | {name: own[name].max() for name in (*_LARGEST_IS_WORST, "residual")}
