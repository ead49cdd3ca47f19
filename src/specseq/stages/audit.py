"""Audit the checkpoint of an equilibrium run: every sample and position, the spectrum, and a fingerprint.

Writes three tables: ``--out``, one row for each checkpoint, sample and position with its verdict;
``--spectrum``, all eigenvalues (``checkpoint, sample, position, re, im``); ``--fingerprint``, in the long
shape with benchmark ``audit``. Parameters: ``{"samples": 8, "step": null, "budget": 2000, "tolerance":
1e-6, "evaluation": {...}}``; ``step`` is the Euler step, by default that of the run.
"""

from pathlib import Path

from specseq.equilibrium.audit import audit_block
from specseq.equilibrium.checkpoint import audit_texts, load_block
from specseq.equilibrium.fingerprint import AuditFiles, fingerprint
from specseq.equilibrium.solvers import euler_step, make_solver
from specseq.errors import InputError
from specseq.stages import arguments
from specseq.tables import Provenance

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
    own_step = euler_step(make_solver(run_params.get("solver", {"name": "euler"})))
    step = own_step if params.get("step") is None else float(params["step"])
    tokens = audit_texts(block, int(params.get("samples", 8)), options.text)
    audit = audit_block(
        block, tokens, step, int(params.get("budget", 2000)), float(params.get("tolerance", 1e-6))
    )
    metrics = fingerprint(block, run_params, options.text, audit, tokens, step, params.get("evaluation", {}))
    provenance.seed = int(run_params.get("seed", 0))
    provenance.facts |= {"step": step, "evaluations": audit.evaluations}
    files = AuditFiles(options.out, options.spectrum, options.fingerprint)
    files.write(audit, metrics, options.run, provenance)


if __name__ == "__main__":
    arguments.run(main)
