"""The audit of equilibria: exact spectra of causal operators and a verdict for every sample and position.

Shapes: B sample, T position, C channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from specseq.spectra.exact import (
    block_eigenvalues,
    check_causal,
    eigenvalue_condition,
    leading_vectors,
    rounding_error,
)
from specseq.spectra.modes import (
    critical_step,
    damping_ratio,
    largest_rotation,
    leading_mode,
    settling_time,
    spectral_radius,
)
from specseq.spectra.operators import Map
from specseq.spectra.verdict import TOLERANCE, verdicts


@dataclass(frozen=True)
class CausalSpectrum:
    """The whole spectrum of a causal operator, by sample and position.

    Attributes:
        mu_BTC: eigenvalues of the diagonal Jacobian blocks, together the operator's eigenvalues.
        kappa_BT: condition number of each block's rightmost eigenvalue, a lower bound for the operator's.
        error_BT: how far rounding may have moved that eigenvalue.
    """

    mu_BTC: Tensor
    kappa_BT: Tensor
    error_BT: Tensor

    @classmethod
    def join(cls, parts: Sequence["CausalSpectrum"]) -> "CausalSpectrum":
        """The spectra of consecutive samples as one."""
        names = [field.name for field in fields(cls)]
        return cls(*(torch.cat([getattr(part, name) for part in parts]) for name in names))

    @property
    def leading_BT(self) -> Tensor:
        """Rightmost eigenvalue at every sample and position."""
        return leading_mode(self.mu_BTC)

    @property
    def mu_BN(self) -> Tensor:
        """All eigenvalues of each sample."""
        return self.mu_BTC.flatten(1)


def causal_spectrum(force: Map, blocks_BTCC: Tensor, z_BTC: Tensor, probes: int = 4) -> CausalSpectrum:
    """Every eigenvalue of a causal operator, exact to rounding.

    The cost is one C×C eigenproblem per position, not one of size T·C.

    Args:
        force: the force F(z), whose Jacobian is the operator; samples must not interact.
        blocks_BTCC: the force's diagonal Jacobian blocks at ``z_BTC``, from
            :func:`specseq.spectra.exact.diagonal_jacobian_blocks` or in closed form; they are checked.
        probes: tangents per sample that test causality and the blocks.

    Raises:
        InputError: the operator is not causal, or the blocks are not its own.
    """
    finite = bool(torch.isfinite(blocks_BTCC).all())
    if finite:
        check_causal(force, blocks_BTCC, z_BTC, probes)
    mu_BTC = block_eigenvalues(blocks_BTCC)
    kappa_BT = torch.full(z_BTC.shape[:2], float("nan"), dtype=z_BTC.dtype, device=z_BTC.device)
    if finite:
        left, right = leading_vectors(blocks_BTCC, leading_mode(mu_BTC))
        kappa_BT = eigenvalue_condition(left, right)
    return CausalSpectrum(mu_BTC, kappa_BT, rounding_error(blocks_BTCC, kappa_BT))


def force_residual(force: Tensor, state: Tensor, axes: tuple[int, ...] = (-1,)) -> Tensor:
    """‖F‖ / ‖z‖ over the given axes, a positive real number; the step residual is ε times this."""
    size = torch.linalg.vector_norm(state, dim=axes)
    return torch.linalg.vector_norm(force, dim=axes) / size.clamp_min(torch.finfo(size.dtype).tiny)


def audit_table(
    spectrum: CausalSpectrum, residual_BT: Tensor, step: float, omega_B: Tensor, tolerance: float = TOLERANCE
) -> pd.DataFrame:
    """One row for each sample and position.

    Positions after an unconverged one are not at a root either, however small their own force. A verdict
    therefore uses the largest residual of all positions up to its own. Nor can a position settle while one
    before it does not: after a NO-ROOT no position is TRANSIENT.

    Args:
        residual_BT: force residual of each position.
        step: the Euler step ε in use, for ρ(ε).
        omega_B: numerical abscissa ω of J for each sample.
        tolerance: largest force residual that counts as a root.

    Returns:
        Columns ``sample, position, alpha, im, rho, eps_crit, limit_re, limit_im, rotation, settling_time,
        damping_ratio, omega, gap, kappa, error, residual, verdict``. ``im``, ``kappa`` and ``error`` (how far
        rounding may have moved it) belong to the rightmost mode, ``limit_*`` to the mode that limits the
        Euler step. ``rotation`` is max |Im μ|, ``settling_time`` the time in which the flow settles to 2 %
        (infinite where α ≥ 0), ``damping_ratio`` the least -Re μ/|μ|. ``omega`` and ``gap = ω - α`` belong to
        the whole J of the sample. Where the verdict is NO-ROOT there is no equilibrium: the columns of the
        spectrum are NaN, as are ``omega`` and ``gap`` of the whole sample.
    """
    samples, length = residual_BT.shape
    lead, (limit, mode) = spectrum.leading_BT, critical_step(spectrum.mu_BTC)
    omega_BT = omega_B[:, None].expand(samples, length)
    sample_alpha = spectrum.mu_BN.real.amax(-1, keepdim=True).expand(samples, length)
    # Comparisons with NaN are false, so count it as infinite; no later position then looks converged.
    reached = residual_BT.nan_to_num(torch.inf).cummax(1).values
    values = {
        "alpha": lead.real,
        "im": lead.imag,
        "rho": spectral_radius(spectrum.mu_BTC, step),
        "eps_crit": limit,
        "limit_re": mode.real,
        "limit_im": mode.imag,
        "rotation": largest_rotation(spectrum.mu_BTC),
        "settling_time": settling_time(spectrum.mu_BTC),
        "damping_ratio": damping_ratio(spectrum.mu_BTC),
        "omega": omega_BT,
        "gap": omega_BT - sample_alpha,
        "kappa": spectrum.kappa_BT,
        "error": spectrum.error_BT,
        "residual": reached,
    }
    frame = pd.DataFrame({name: _flat(value) for name, value in values.items()})
    frame.insert(0, "sample", np.repeat(np.arange(samples), length))
    frame.insert(1, "position", np.tile(np.arange(length), samples))
    frame["verdict"] = verdicts(
        frame["alpha"], frame["im"], frame["rho"], frame["residual"], tolerance, frame["error"], step
    )
    lost = (frame["verdict"] == "NO-ROOT").groupby(frame["sample"]).cummax()
    frame.loc[lost, "verdict"] = "NO-ROOT"
    spectral = [name for name in values if name != "residual"]
    frame.loc[frame["verdict"] == "NO-ROOT", spectral] = np.nan
    frame.loc[lost.groupby(frame["sample"]).transform("any"), ["omega", "gap"]] = np.nan
    return frame


def _flat(value: Tensor) -> np.ndarray:
    return value.detach().double().cpu().numpy().ravel()
