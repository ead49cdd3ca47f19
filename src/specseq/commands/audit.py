"""``specseq audit``: say of a checkpoint whether its equilibria are stable, for which steps and where."""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from specseq.errors import InputError

if TYPE_CHECKING:
    from specseq.equilibrium.audit import Audit
    from specseq.tables import Provenance

_VERDICTS = """\
verdicts:
  STABLE      a root, stable for the flow and for Euler with the step in use
  EULER-WALL  a root, stable for the flow, but Euler with that step leaves it
  HOPF        a root that the flow leaves along a rotating pair
  SADDLE      a root that the flow leaves along a real mode
  TRANSIENT   no root within the budget, but flow and Euler map contract there
  NO-ROOT     no root within the budget; nothing is said about its stability

A sample has the verdict of its worst position; alpha is max Re(mu), eps_crit the largest stable
Euler step, omega the numerical abscissa of J, kappa the condition number of the leading mode,
residual the force residual |F|/|z|.

with --text also the checkpoint's fingerprint: losses with the run's own solver and at roots, and the
cosines of its gradient with the exact one and with backpropagation through the relaxation.

examples:
  specseq audit results/laptop/runs/equilibrium/RUN/weights.safetensors --text results/laptop/data/text
  specseq audit weights.safetensors --samples 32 --step 0.05 --json
  specseq audit weights.safetensors --out audit     # audit.parquet, spectrum.parquet and their figure
"""
_FINGERPRINT = ("loss", "loss_converged", "force_residual", "cos_exact", "cos_bptt")
_UNROLLED = 60  # relaxation steps of the backpropagation that the gradient is compared with
_COLUMNS = ("position", "verdict", "alpha", "im", "rho", "eps_crit", "omega", "kappa", "residual")


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq audit",
        description="Say whether the equilibria of a trained block are stable, exactly, for every position.",
        epilog=_VERDICTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="weights.safetensors of an equilibrium run")
    parser.add_argument("--samples", type=int, default=8, help="texts to audit (default 8)")
    parser.add_argument("--text", type=Path, help="folder of the prepared text; without it, random symbols")
    parser.add_argument("--step", type=float, help="Euler step (default: that of the run)")
    parser.add_argument(
        "--budget", type=int, default=2000, help="evaluations to find roots with (default 2000)"
    )
    parser.add_argument(
        "--tolerance", type=float, default=1e-6, help="force residual that counts as a root (default 1e-6)"
    )
    parser.add_argument("--out", type=Path, help="folder for the tables and the figure of the spectrum")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Print the verdicts."""
    options = build_parser().parse_args(arguments)
    for name in ("samples", "budget", "tolerance", "step"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise InputError(f"--{name}", f"{value} is not a positive number")
    if options.tolerance > 0.01:
        raise InputError("--tolerance", f"{options.tolerance:g} would call any state a root", "at most 0.01")

    from specseq.equilibrium.audit import audit_block, worst_rows
    from specseq.equilibrium.checkpoint import audit_texts, load_block
    from specseq.equilibrium.config import AuditEvaluation, euler_step
    from specseq.equilibrium.fingerprint import fingerprint
    from specseq.tables import Provenance

    words = {name: getattr(options, name) for name in ("samples", "step", "budget", "tolerance")}
    provenance = Provenance("audit", words, facts={"checkpoint": str(options.checkpoint)})
    block, run = load_block(options.checkpoint)
    step = options.step or euler_step(run.solver)
    tokens = audit_texts(block, options.samples, options.text)
    audit = audit_block(block, tokens, step, options.budget, options.tolerance)
    metrics: dict[str, float] = {}
    if options.text or options.out:
        metrics = fingerprint(
            block, run, options.text, audit, tokens, step, AuditEvaluation(unrolled=_UNROLLED)
        )
    rows = [
        {name: _plain(row[name]) for name in ("sample", *_COLUMNS)}
        for row in worst_rows(audit.table).to_dict("records")
    ]
    record = {
        "checkpoint": str(options.checkpoint),
        "text": str(options.text) if options.text else "random symbols",
        "step": step,
        "evaluations": audit.evaluations,
        "verdicts": audit.table["verdict"].value_counts().to_dict(),
        "samples": rows,
        "summary": {name: _plain(value) for name, value in audit.summary().items()},
        "fingerprint": {name: _plain(metrics[name]) for name in _FINGERPRINT if name in metrics},
    }
    if options.out:
        _write(options.out, audit, metrics, str(options.checkpoint), provenance)
    if options.json:
        print(json.dumps(record))
    else:
        _show(record, len(audit.table))
    return 0


def _write(
    folder: Path, audit: "Audit", metrics: dict[str, float], checkpoint: str, provenance: "Provenance"
) -> None:
    """The tables that the stage writes, and the figure of the spectrum with Euler's disc."""
    from specseq.equilibrium.fingerprint import AuditFiles
    from specseq.report.style import save, styled
    from specseq.studies.equilibrium.figures import audit as draw

    files = AuditFiles(*(folder / f"{name}.parquet" for name in ("audit", "spectrum", "fingerprint")))
    try:
        files.write(audit, metrics, checkpoint, provenance)
        inputs = {
            "spectra": [files.spectrum],
            "verdicts": [files.verdicts],
            "fingerprints": [files.fingerprint],
        }
        with styled():
            save(draw(inputs, {}), folder / "spectrum")
    except OSError as error:
        raise InputError(folder, f"cannot be written to ({error})", "give another folder") from None


def _plain(value: Any) -> Any:
    """As JSON has it: what could not be known is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _show(record: dict[str, Any], positions: int) -> None:
    print(f"{record['checkpoint']}: text {record['text']}, Euler step {record['step']:g}")
    print("sample " + " ".join(f"{name:>10}" for name in _COLUMNS))
    for row in record["samples"]:
        cells = []
        for name in _COLUMNS:
            value = row[name]
            cells.append(
                f"{'-' if value is None else value:>10}"
                if not isinstance(value, float)
                else f"{value:>10.4g}"
            )
        print(f"{row['sample']:>6} " + " ".join(cells))
    if record["fingerprint"]:
        facts = (
            f"{name} {'-' if value is None else format(value, '.4g')}"
            for name, value in record["fingerprint"].items()
        )
        print(f"fingerprint: {', '.join(facts)}")
    counts = ", ".join(f"{count} {name}" for name, count in record["verdicts"].items())
    print(f"{positions} positions: {counts}; {record['evaluations']} evaluations")
