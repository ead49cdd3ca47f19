"""Audit the checkpoint of an equilibrium run: every sample and position, the spectrum, and a fingerprint.

Writes three tables: ``--out``, one row for each checkpoint, sample and position with its verdict;
``--spectrum``, all eigenvalues (``checkpoint, sample, position, re, im``); ``--fingerprint``, in the long
shape with benchmark ``audit``. Parameters: ``{"samples": 8, "step": null, "budget": 2000, "tolerance":
1e-6, "evaluation": {...}}``; ``step`` is the Euler step, by default that of the run.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from specseq.equilibrium.audit import audit_block
from specseq.equilibrium.checkpoint import audit_texts, load_block
from specseq.equilibrium.comparison import compare
from specseq.equilibrium.evaluation import Evaluation
from specseq.equilibrium.pretraining import held_out
from specseq.equilibrium.text.store import Corpus
from specseq.equilibrium.trainer import Trainer
from specseq.errors import InputError
from specseq.stages import arguments
from specseq.tables import Provenance, long_frame, write_parquet

_KNOWN = {"samples", "step", "budget", "tolerance", "evaluation"}


def main() -> None:
    """Parse, audit, write."""
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--checkpoint", required=True, type=Path, help="weights.safetensors of a run")
    parser.add_argument("--text", required=True, type=Path, help="folder or manifest of its prepared text")
    parser.add_argument("--run", required=True, help="run id")
    parser.add_argument("--out", required=True, type=Path, help="table of verdicts")
    parser.add_argument("--spectrum", required=True, type=Path, help="table of eigenvalues")
    parser.add_argument("--fingerprint", required=True, type=Path, help="table of summaries")
    options = parser.parse_args()
    params = options.params
    if unknown := sorted(set(params) - _KNOWN):
        raise InputError(f"params.{unknown[0]}", "no such setting", f"known: {', '.join(sorted(_KNOWN))}")
    provenance = Provenance("audit", params, run=options.run)
    block, run_params = load_block(options.checkpoint)
    seed = int(run_params.get("seed", 0))
    trainer = Trainer.read(run_params, seed)
    step = trainer.step if params.get("step") is None else float(params["step"])
    tokens = audit_texts(block, int(params.get("samples", 8)), options.text)
    audit = audit_block(
        block, tokens, step, int(params.get("budget", 2000)), float(params.get("tolerance", 1e-6))
    )
    table = audit.table.copy()
    table.insert(0, "checkpoint", options.run)
    provenance.seed = seed
    provenance.facts |= {"step": step, "evaluations": audit.evaluations}
    write_parquet(options.out, table, provenance)

    mu = audit.spectrum.mu_BTC.numpy()
    sample, position, _ = (index.ravel() for index in np.indices(mu.shape))
    spectrum = pd.DataFrame(
        {"sample": sample, "position": position, "re": mu.real.ravel(), "im": mu.imag.ravel()}
    )
    spectrum.insert(0, "checkpoint", options.run)
    write_parquet(options.spectrum, spectrum, provenance)

    evaluation = Evaluation.read(
        {**run_params.get("evaluation", {}), **params.get("evaluation", {})}, trainer
    )
    valid = held_out(Corpus.open(options.text).valid, evaluation.windows, block.shape.length)
    metrics = evaluation(block.requires_grad_(True), valid) | audit.summary() | {"step": step}
    metrics |= compare(audit, block, tokens, step)
    keys = {
        "study": "equilibrium",
        "run": options.run,
        "seed": seed,
        "benchmark": "audit",
        "task": "fingerprint",
    }
    rows = [{**keys, "metric": name, "value": value} for name, value in metrics.items()]
    write_parquet(options.fingerprint, long_frame(rows), provenance)


if __name__ == "__main__":
    arguments.run(main)
