"""The fingerprint of a checkpoint, and the tables of its audit.

A fingerprint is a row of numbers that tells checkpoints apart: losses with the run's own solver and at roots,
force residuals, alignment of the gradient with the exact and the unrolled one, ρ, Re μ, ε_crit and ω.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from specseq.equilibrium.audit import Audit
from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.comparison import compare
from specseq.equilibrium.config import AuditEvaluation, EquilibriumRun
from specseq.equilibrium.evaluation import evaluate
from specseq.equilibrium.text.store import Corpus
from specseq.equilibrium.text.windows import held_out
from specseq.equilibrium.trainer import Trainer
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
        evaluation: where it differs from the run's own.
    """
    metrics: dict[str, float] = {}
    if text is not None:
        settings = evaluation.over(run.evaluation)
        valid = held_out(Corpus.open(text).valid, settings.windows, block.shape.length)
        metrics = evaluate(settings, Trainer(run, run.seed), block.requires_grad_(True), valid)
    return metrics | audit.summary() | {"step": step} | compare(audit, block, tokens_BT, step)


@dataclass(frozen=True)
class AuditFiles:
    """Where the tables of an audit go.

    Attributes:
        verdicts: one row for each checkpoint, sample and position.
        spectrum: all eigenvalues, ``checkpoint, sample, position, re, im``.
        fingerprint: in the long shape with benchmark ``audit``.
    """

    verdicts: Path
    spectrum: Path
    fingerprint: Path

    def write(
        self, audit: Audit, metrics: Mapping[str, float], checkpoint: str, provenance: Provenance
    ) -> None:
        """Write all three, each whole or not at all."""
        write_parquet(self.verdicts, named(audit.table, checkpoint), provenance)
        write_parquet(self.spectrum, named(eigenvalues(audit), checkpoint), provenance)
        keys = {
            "study": "equilibrium",
            "run": checkpoint,
            "seed": provenance.seed or 0,
            "benchmark": "audit",
            "task": "fingerprint",
        }
        rows = [{**keys, "metric": name, "value": value} for name, value in metrics.items()]
        write_parquet(self.fingerprint, long_table(rows), provenance)


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
