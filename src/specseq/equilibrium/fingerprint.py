"""The fingerprint of a checkpoint, and the tables of its audit.

A fingerprint is a row of numbers that tells checkpoints apart: losses with the run's own solver and at roots,
force residuals, alignment of the gradient with the exact and the unrolled one, ρ, Re μ, ε_crit and ω.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from specseq.equilibrium.audit import Audit, audit_in_parts, joined
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.checkpoint import audit_texts, load_block
from specseq.equilibrium.comparison import compare
from specseq.equilibrium.config import AuditEvaluation, AuditSettings, EquilibriumRun
from specseq.equilibrium.evaluation import evaluate
from specseq.equilibrium.solver_config import euler_step
from specseq.equilibrium.step_sweep import MEASURES, step_sweep
from specseq.equilibrium.text.store import Corpus
from specseq.equilibrium.text.windows import held_out
from specseq.equilibrium.trainer import Trainer
from specseq.errors import InputError
from specseq.progress import Progress
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.tables import Provenance, long_table, write_parquet


def fingerprint(
    block: EquilibriumBlock,
    run: EquilibriumRun,
    text: Path | None,
    audit: Audit,
    tokens_BT: Tensor,
    step: float,
    evaluation: AuditEvaluation,
) -> dict[str, float]:
    """Everything that is measured of a checkpoint, by name.

    Args:
        block: as loaded; its weights are made to carry gradients.
        run: settings of its run.
        text: folder of its prepared text; without it there are no losses and no alignment of gradients.
        audit: of the block on ``tokens_BT``.
        tokens_BT: the texts audited.
        step: ε.
        evaluation: settings that differ from the run's own.
    """
    metrics: dict[str, float] = {}
    if text is not None:
        settings = evaluation.over(run.evaluation)
        valid = held_out(Corpus.open(text).valid, settings.windows, block.shape.length)
        metrics = evaluate(settings, Trainer(run, run.seed), block.requires_grad_(True), valid)
    return metrics | audit.summary() | {"step": step} | compare(audit, block, tokens_BT, step)


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


@dataclasses.dataclass(frozen=True)
class AuditResult:
    """An audit and what was measured with it.

    Attributes:
        audit: verdicts and spectra of every sample and position.
        step: Euler step ε in use.
        metrics: the fingerprint by name; empty where it was not asked for.
        sweep: the ε-sweep of :func:`specseq.equilibrium.step_sweep.step_sweep`; None where not asked for.
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
        request: the checkpoint, the settings and the tables.
        progress: told how many samples are done.
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
    parts: list[Audit] = []
    interruption = None
    try:
        for part in audit_in_parts(block, tokens, step, settings.budget, settings.tolerance):
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
        sweep = step_sweep(audit, block, tokens, settings.steps, settings.budget)
    metrics: dict[str, float] = {}
    if interruption is None and (request.text or request.fingerprint):
        metrics = fingerprint(block, run, request.text, audit, tokens, step, settings.evaluation)
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
    return AuditResult(audit, step, metrics, sweep, interruption)


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
