"""Audit the checkpoint of an equilibrium run: every sample and position, the spectrum, and a fingerprint.

Writes three tables: ``--out``, one row for each checkpoint, sample and position with its verdict;
``--spectrum``, all eigenvalues (``checkpoint, sample, position, re, im``); ``--fingerprint``, in the long
shape with benchmark ``audit``. Parameters: ``{"samples": 8, "step": null, "budget": 2000, "tolerance":
1e-6, "evaluation": {...}}``; ``step`` is the Euler step, by default that of the run.
"""

from pathlib import Path

from specseq.equilibrium.audit import audit_block
from specseq.equilibrium.checkpoint import audit_texts, load_block
from specseq.equilibrium.config import AuditSettings, euler_step
from specseq.equilibrium.fingerprint import AuditFiles, fingerprint
from specseq.settings import read
from specseq.stages import arguments
from specseq.tables import Provenance


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
    settings = read(AuditSettings, params, "params")
    provenance = Provenance("audit", params, run=options.run)
    block, run = load_block(options.checkpoint)
    step = settings.step or euler_step(run.solver)
    tokens = audit_texts(block, settings.samples, options.text)
    audit = audit_block(block, tokens, step, settings.budget, settings.tolerance)
    metrics = fingerprint(block, run, options.text, audit, tokens, step, settings.evaluation)
    provenance.seed = run.seed
    provenance.facts |= {"step": step, "evaluations": audit.evaluations}
    files = AuditFiles(options.out, options.spectrum, options.fingerprint)
    files.write(audit, metrics, options.run, provenance)


if __name__ == "__main__":
    arguments.run(main)
