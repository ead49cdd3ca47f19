"""The fingerprint of a checkpoint, and the tables of its audit.

A fingerprint is a row of numbers that tells checkpoints apart: losses with the run's own solver and at roots,
force residuals, alignment of the gradient with the exact and the unrolled one, ρ, Re μ, ε_crit and ω.
"""

import copy
import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from specseq.equilibrium.audit import PART, Audit, audit_in_parts, joined
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.checkpoint import audit_texts, load_block, weights_file
from specseq.equilibrium.config import AuditEvaluation, AuditSettings, EquilibriumRun
from specseq.equilibrium.evaluation import evaluate
from specseq.equilibrium.fields import FreePhase
from specseq.equilibrium.solver_config import Euler, euler_step
from specseq.equilibrium.solvers import solve
from specseq.equilibrium.text.store import Corpus, corpus_folder
from specseq.equilibrium.text.windows import held_out
from specseq.equilibrium.trainer import Trainer
from specseq.errors import InputError
from specseq.progress import Progress
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.sources import source_digest
from specseq.spectra.audit import force_residual
from specseq.spectra.diagnostics import power_abscissa, subspace_radius
from specseq.spectra.modes import spectral_radius
from specseq.spectra.operators import Jacobian
from specseq.tables import Provenance, long_table, write_parquet
from specseq.tables.files import stat_digest
from specseq.tables.kept import NOTHING_KEPT, Arrays, Kept

MEASURES = ("step_residual", "force_residual", "evaluations", "time", "rho")


def fingerprint(
    block: EquilibriumBlock,
    run: EquilibriumRun,
    text: Path | None,
    audit: Audit,
    tokens_BT: Tensor,
    step: float,
    evaluation: AuditEvaluation,
    kept: Kept = NOTHING_KEPT,
) -> dict[str, float]:
    """Everything that is measured of a checkpoint, by name.

    Args:
        block: as loaded; its weights are made to carry gradients.
        text: folder of its prepared text; without it there are no losses and no alignment of gradients.
        evaluation: settings that differ from the run's own.
        kept: what a call that was killed has measured.
    """
    metrics: dict[str, float] = {}
    if text is not None:
        settings = evaluation.over(run.evaluation)
        valid = held_out(Corpus.open(text).valid, settings.windows, block.shape.length)
        metrics = evaluate(settings, Trainer(run, run.seed), block.requires_grad_(True), valid, kept)
    return metrics | audit.summary() | {"step": step} | compare(audit, block, tokens_BT, step, kept)


def compare(
    audit: Audit, block: EquilibriumBlock, tokens_BT: Tensor, step: float, kept: Kept = NOTHING_KEPT
) -> dict[str, float]:
    """Errors of measurements in common use, compared with the audit; the largest over all samples.

    Args:
        block: of any precision, on the processor.
        kept: what a call that was killed has measured.

    Returns:
        ``subspace_error``: of ρ(ε) by ten two-dimensional subspace iterations. ``power_iteration_error``: of
        ω(J_nc) by fifty unshifted power iterations. ``converged_unstable_roots``: share of samples at a root
        with α ≥ 0, whichever solver found it. ``residual_identity``: the step residual measured on one Euler
        step, divided by ε times the force residual.
    """
    block = block.double()
    parts = [
        kept.numbers(f"compared_{number}", partial(_compare, audit, block, tokens_BT[samples], samples, step))
        for number, samples in enumerate(torch.arange(len(tokens_BT)).split(PART))
    ]
    largest = {name: max(part[name] for part in parts) for name in parts[0]}
    settled = audit.table.groupby("sample")["residual"].max() <= audit.tolerance
    unstable = audit.table.groupby("sample")["alpha"].max() >= 0
    return largest | {"converged_unstable_roots": float((settled & unstable).mean())}


def _compare(
    audit: Audit, block: EquilibriumBlock, tokens_BT: Tensor, samples_B: Tensor, step: float
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


@torch.no_grad()
def step_sweep(
    audit: Audit,
    block: EquilibriumBlock,
    tokens_BT: Tensor,
    steps: Sequence[float],
    budget: int,
    kept: Kept = NOTHING_KEPT,
) -> pd.DataFrame:
    """The step and force residuals that Euler reaches from z = x with each step size, in double precision.

    The step residual ‖z' - z‖/‖z‖ is ε times the force residual ‖F‖/‖z‖ and falls with ε whether or not the
    state settles; side by side the two cannot be mistaken for each other.

    Args:
        audit: of the block on these texts, for ρ(ε) at the root.
        block: of any precision; it is copied.
        budget: evaluations per relaxation, which ends early at the audit's tolerance.
        kept: what a call that was killed has measured.

    Returns:
        One row for each step and sample: ``step``, ``sample``, ``step_residual`` measured on one more
        step, ``force_residual``, ``evaluations``, ``time`` = ε × evaluations, and ``rho``, the exact ρ(ε) at
        the root.
    """
    exact = copy.deepcopy(block).double().cpu()
    x = exact.embed(tokens_BT.cpu())
    frames = []
    for number, step in enumerate(steps):
        make = partial(_swept, audit, exact, x, step, budget)
        frame = pd.DataFrame(kept.arrays(f"swept_{number}", make))
        frame.insert(0, "step", step)
        frame.insert(1, "sample", np.arange(len(frame)))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _swept(audit: Audit, block: EquilibriumBlock, x_BTC: Tensor, step: float, budget: int) -> Arrays:
    solution = solve(Euler(step), FreePhase(block, x_BTC), x_BTC, budget, audit.tolerance)
    state = solution.state
    after = state + step * block.force(state, x_BTC)
    values = {
        "step_residual": force_residual(after - state, state, (1, 2)),
        "force_residual": solution.residual_B,
        "evaluations": solution.evaluations_B.double(),
        "time": step * solution.evaluations_B.double(),
        "rho": spectral_radius(audit.spectrum.mu_BN, step),
    }
    return {name: value.numpy() for name, value in values.items()}


@dataclass(frozen=True, config=STRICT, kw_only=True)
class AuditRequest:
    """Request for the audit of a checkpoint, made by the stage ``audit`` and by ``specseq audit``."""

    checkpoint: Path = Field(description="weights.safetensors of an equilibrium run")
    text: Path | None = Field(
        default=None, description="folder or manifest of its prepared text; random symbols without it"
    )
    run: str | None = Field(default=None, description="name of the checkpoint in the tables; null: its path")
    audit: AuditSettings = AuditSettings()
    verdicts: Path | None = Field(
        default=None, description="table to write, one row for each checkpoint, sample and position"
    )
    spectrum: Path | None = Field(
        default=None, description="table of all eigenvalues to write: checkpoint, sample, position, re, im"
    )
    fingerprint: Path | None = Field(
        default=None,
        description="table to write, in the long shape with benchmark audit; an ε-sweep has the task "
        "step_sweep/<ε> and one step per sample",
    )
    parts: Path | None = Field(default=None, description="folder for what a job that is killed leaves")


@dataclasses.dataclass(frozen=True)
class AuditResult:
    """An audit and what was measured with it.

    Attributes:
        metrics: the fingerprint by name; empty where it was not asked for.
        sweep: the ε-sweep of :func:`step_sweep`; None where not asked for.
        interruption: what ended the audit before its last sample; only with ``keep``.
    """

    audit: Audit
    step: float
    metrics: dict[str, float]
    sweep: pd.DataFrame | None = None
    interruption: KeyboardInterrupt | None = None


def audit_checkpoint(
    request: AuditRequest, progress: Progress | None = None, keep: bool = False
) -> AuditResult:
    """Audit a checkpoint, and write the requested tables, each whole or not at all.

    The fingerprint is measured if a text is given or the fingerprint's table is requested.

    Args:
        keep: after an interruption, return what was audited so far, without a fingerprint, rather than raise.

    Raises:
        InputError: the file holds no equilibrium block, the block is a plain transformer, or its text has
            another vocabulary.
    """
    settings = request.audit
    provenance = Provenance("audit", plain(settings), run=request.run)
    block, run = load_block(request.checkpoint)
    if run.rule == "transformer":
        fault = "was trained as a plain transformer, which has no equilibrium"
        raise InputError(request.checkpoint, fault, "audit a run of another rule")
    provenance.seed = run.seed
    step = settings.step or euler_step(run.solver)
    tokens = audit_texts(block, settings.samples, request.text)
    kept = Kept(request.parts, _decisive(request))
    parts: list[Audit] = []
    interruption = None
    try:
        for part in audit_in_parts(block, tokens, step, settings.budget, settings.tolerance, kept):
            parts.append(part)
            if progress is not None:
                progress.update(sum(len(part.residual_B) for part in parts))
    except KeyboardInterrupt as error:
        if not (keep and parts):
            raise
        interruption = error
    audit = joined(parts)
    provenance.facts |= {"step": step, "evaluations": audit.evaluations, "samples": len(audit.residual_B)}
    provenance.facts["checkpoint"] = str(request.checkpoint)
    name = request.run or str(request.checkpoint)
    sweep = None
    if interruption is None and settings.steps:
        sweep = step_sweep(audit, block, tokens, settings.steps, settings.budget, kept)
    metrics: dict[str, float] = {}
    if interruption is None and (request.text or request.fingerprint):
        metrics = fingerprint(block, run, request.text, audit, tokens, step, settings.evaluation, kept)
    if request.verdicts:
        write_parquet(request.verdicts, named(audit.table, name), provenance)
    if request.spectrum:
        write_parquet(request.spectrum, named(eigenvalues(audit), name), provenance)
    if request.fingerprint and interruption is None:
        keys = {"study": "equilibrium", "run": name, "seed": run.seed, "benchmark": "audit"}
        rows: list[dict[str, object]] = [
            {**keys, "task": "fingerprint", "metric": metric, "value": value}
            for metric, value in metrics.items()
        ]
        for record in () if sweep is None else sweep.to_dict("records"):
            place = {**keys, "task": f"step_sweep/{record['step']:g}", "step": record["sample"]}
            rows += [{**place, "metric": f"swept/{name}", "value": record[name]} for name in MEASURES]
        write_parquet(request.fingerprint, long_table(rows), provenance)
    if interruption is None:
        kept.forget()
    return AuditResult(audit, step, metrics, sweep, interruption)


def _decisive(request: AuditRequest) -> dict[str, object]:
    """All that decides the numbers of an audit."""
    files = [weights_file(request.checkpoint)]
    if request.text is not None:
        files.append(corpus_folder(request.text) / "manifest.json")
    code = source_digest("equilibrium/fingerprint.py")
    return {"audit": plain(request.audit), "code": code, "files": stat_digest(files)}


def named(table: pd.DataFrame, checkpoint: str) -> pd.DataFrame:
    """A table with the name of its checkpoint in front."""
    table = table.copy()
    table.insert(0, "checkpoint", checkpoint)
    return table


def eigenvalues(audit: Audit) -> pd.DataFrame:
    """All eigenvalues of an audit, ``sample, position, re, im``."""
    mu = audit.spectrum.mu_BTC.numpy()
    sample, position, _ = (index.ravel() for index in np.indices(mu.shape))
    return pd.DataFrame(
        {"sample": sample, "position": position, "re": mu.real.ravel(), "im": mu.imag.ravel()}
    )
