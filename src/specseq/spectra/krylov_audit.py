"""The audit of equilibria whose operator has no structure, by Krylov spaces with error bounds.

For causal operators :mod:`specseq.spectra.audit` is exact and cheaper. Here a number is accepted only if the
error bound of its Ritz pair, residual times condition number, leaves no doubt about the verdict.

Shapes: B sample.
"""

import pandas as pd
import torch
from torch import Tensor

from specseq.errors import InputError
from specseq.spectra.audit import force_residual
from specseq.spectra.krylov import RitzPair, extreme_pairs, fastest, limiting, numerical_abscissa, rightmost
from specseq.spectra.modes import critical_step
from specseq.spectra.operators import Jacobian, Map
from specseq.spectra.verdict import TOLERANCE, verdicts


def krylov_audit(
    force: Map,
    state: Tensor,
    step: float,
    *,
    margin: float = 1e-3,
    size: int = 40,
    largest: int = 200,
) -> pd.DataFrame:
    """One row for each sample, by exact Jacobian products.

    Args:
        force: F(z), twice differentiable; samples (first axis) must not interact.
        state: ``[B, ...]``, where a solver ended.
        step: the Euler step ε in use.
        margin: largest error bound at which an eigenvalue counts.
        size: initial Krylov dimension and increment.
        largest: largest Krylov dimension.

    Returns:
        Columns ``sample, alpha, im, rho, eps_crit, limit_re, limit_im, omega, gap, kappa, error, residual,
        verdict`` as in :func:`specseq.spectra.audit.audit_table`; ``error`` is a first-order bound on the
        distance of the three modes from eigenvalues. With verdict NO-ROOT, all but the residual is NaN.

    Raises:
        InputError: at a root, a mode is not certified or is too near the stability bound to decide its side.
    """
    state = state.detach()
    residual_B = force_residual(force(state).detach(), state, tuple(range(1, state.ndim)))
    finite = torch.isfinite(residual_B) & torch.isfinite(state).flatten(1).all(1)
    columns = ("alpha", "im", "rho", "eps_crit", "limit_re", "limit_im", "omega", "gap", "kappa", "error")
    values = {name: torch.full_like(residual_B, torch.nan) for name in columns}
    if bool(finite.any()):
        # A sample that is not finite would prevent the others' space from ending.
        state = torch.where(finite.view(-1, *[1] * (state.ndim - 1)), state, torch.ones_like(state))
        jacobian = Jacobian(force, state)
        draw = torch.Generator().manual_seed(0)
        start = torch.randn(state.shape, generator=draw, dtype=torch.float64).to(state)
        scores = (rightmost, fastest(step), limiting)
        space = {"margin": margin, "size": size, "largest": largest}
        pairs = extreme_pairs(jacobian.matvec, jacobian.rmatvec, start, scores, **space)  # type: ignore[arg-type]
        omega_B, _ = numerical_abscissa(jacobian.matvec, jacobian.rmatvec, state, tolerance=1e-4)
        _check(pairs, step, margin, finite & (residual_B <= TOLERANCE), largest < state[0].numel())
        values = _values(pairs, step, omega_B)
    frame = pd.DataFrame({name: value.double().cpu().numpy() for name, value in values.items()})
    frame.insert(0, "sample", range(len(frame)))
    frame["residual"] = residual_B.double().cpu().numpy()
    frame.loc[~finite.cpu().numpy(), list(columns)] = float("nan")
    frame["verdict"] = verdicts(
        frame["alpha"], frame["im"], frame["rho"], frame["residual"], TOLERANCE, frame["error"], step
    )
    frame.loc[frame["verdict"] == "NO-ROOT", list(columns)] = float("nan")
    return frame


def _values(pairs: list[RitzPair], step: float, omega_B: Tensor) -> dict[str, Tensor]:
    lead, fast, limit = (torch.complex(pair.mu_B.real, pair.mu_B.imag.abs()) for pair in pairs)
    return {
        "alpha": lead.real,
        "im": lead.imag,
        "rho": (1 + step * fast).abs(),
        "eps_crit": critical_step(limit.unsqueeze(-1))[0],
        "limit_re": limit.real,
        "limit_im": limit.imag,
        "omega": omega_B,
        "gap": omega_B - lead.real,
        "kappa": pairs[0].kappa_B,
        "error": torch.stack([pair.error_B for pair in pairs]).amax(0),
    }


def _check(pairs: list[RitzPair], step: float, margin: float, root_B: Tensor, may_grow: bool) -> None:
    """Refuse numbers that the Krylov space does not support."""
    lead, fast, _ = pairs
    distance = {
        "the flow": (lead, lead.mu_B.real.abs()),
        "Euler's map": (fast, ((1 + step * fast.mu_B).abs() - 1).abs() / step),
    }
    for number, pair in enumerate(pairs):
        doubtful = root_B & ~pair.certified(margin)
        if bool(doubtful.any()):
            sample = int(doubtful.nonzero()[0, 0])
            name = ("rightmost", "fastest", "limiting")[number]
            raise InputError(
                f"sample {sample}",
                f"the {name} mode is known to {pair.error_B[sample]:.1e} only, the margin is {margin:.1e}",
                "raise 'largest'" if may_grow else "it is too far from normal for this precision",
            )
    for about, (pair, room_B) in distance.items():
        doubtful = root_B & ~(pair.error_B < room_B)
        if bool(doubtful.any()):
            sample = int(doubtful.nonzero()[0, 0])
            rounding = 100 * torch.finfo(room_B.dtype).eps * (1 + float(pair.mu_B[sample].abs()))
            raise InputError(
                f"sample {sample}",
                f"{about} is {room_B[sample]:.1e} from its bound, known to {pair.error_B[sample]:.1e} only",
                "lower 'margin'" if room_B[sample] > rounding else "in this precision it is on the bound",
            )
