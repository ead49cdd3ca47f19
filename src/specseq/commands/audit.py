"""``specseq audit``: whether the equilibria of a checkpoint are stable, for which steps and where."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from specseq.commands.options import finite, to_request
from specseq.progress import Progress

_VERDICTS = """\
verdicts:
  STABLE      a root, stable for the flow and for Euler with the step in use
  EULER-WALL  a root, stable for the flow, but Euler with that step leaves it
  HOPF        a root that the flow leaves along a rotating pair
  SADDLE      a root that the flow leaves along a real mode
  DOUBTFUL    a root whose leading mode is not known accurately enough to decide
  TRANSIENT   no root within the budget, but flow and Euler map contract there
  NO-ROOT     no root within the budget, so nothing can be said about stability

A sample gets the verdict of its worst position, which is the position shown. The numbers describe the
whole sample: alpha is max Re(mu), im and kappa are the imaginary part and condition number of that mode,
rho is max |1 + step mu|, eps_crit the largest stable Euler step, omega the numerical abscissa of J,
residual the force residual |F|/|z|, settling the time in which the flow's slowest mode decays to 2 %,
damping the smallest -Re(mu)/|mu|.

With --steps, Euler relaxes again with each step size; step and force residuals are shown side by side.

With --text, the checkpoint's fingerprint is shown as well: losses with the run's own solver and at roots,
and the cosines of its gradient with the exact one and with backpropagation through the relaxation.

If interrupted, the command shows and writes what it has audited so far, without the fingerprint.

examples:
  specseq audit results/laptop/runs/equilibrium/RUN/weights.safetensors --text results/laptop/data/text
  specseq audit weights.safetensors --samples 32 --step 0.05 --json
  specseq audit weights.safetensors --out audit     # audit.parquet, spectrum.parquet and their figure
"""
_FINGERPRINT = ("loss", "loss_converged", "force_residual", "cos_exact", "cos_bptt")
_UNROLLED = 60  # relaxation steps of the backpropagation that the gradient is compared with
_FILES = {"spectrum": "spectrum", "verdicts": "audit", "fingerprint": "fingerprint"}
_COLUMNS = (
    *("position", "verdict", "alpha", "im", "rho", "eps_crit", "settling_time", "damping_ratio"),
    *("omega", "kappa", "residual"),
)
_HEADS = {"settling_time": "settling", "damping_ratio": "damping"}


def build_parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    parser = argparse.ArgumentParser(
        prog="specseq audit",
        description="Determine exactly, for every position, whether the equilibria of a trained block are "
        "stable.",
        epilog=_VERDICTS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", type=Path, help="weights.safetensors of an equilibrium run")
    parser.add_argument("--samples", type=int, default=8, help="texts to audit (default 8)")
    parser.add_argument("--text", type=Path, help="folder of the prepared text (default: random symbols)")
    parser.add_argument("--step", type=float, help="Euler step (default: that of the run)")
    parser.add_argument(
        "--steps", type=float, nargs="+", default=(), metavar="STEP", help="Euler steps to sweep"
    )
    parser.add_argument(
        "--budget", type=int, default=2000, help="evaluations allowed for finding roots (default 2000)"
    )
    parser.add_argument(
        "--tolerance", type=float, default=1e-6, help="largest force residual of a root (default 1e-6)"
    )
    parser.add_argument("--out", type=Path, help="folder for the tables and the figure of the spectrum")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Print the verdicts."""
    options = build_parser().parse_args(arguments)
    from specseq.equilibrium.audit import PART, sample_rows
    from specseq.equilibrium.fingerprint import AuditRequest, audit_checkpoint
    from specseq.tables.files import check_target

    named = ("samples", "step", "budget", "tolerance", "steps")
    settings = {name: getattr(options, name) for name in named}
    settings["evaluation"] = {"unrolled": _UNROLLED}
    values = {"checkpoint": options.checkpoint, "text": options.text, "audit": settings}
    if options.out:
        values |= {name: options.out / f"{file}.parquet" for name, file in _FILES.items()}
    request = to_request(AuditRequest, values)
    for target in (request.verdicts, request.spectrum, request.fingerprint):
        if target is not None:
            check_target(target, "--out")
    progress = Progress(options.samples, "samples", out=sys.stderr) if options.samples > PART else None
    result = audit_checkpoint(request, progress, keep=True)
    audit, metrics = result.audit, result.metrics
    rows = [
        {name: finite(row[name]) for name in ("sample", *_COLUMNS)}
        for row in sample_rows(audit.table).to_dict("records")
    ]
    record = {
        "checkpoint": str(options.checkpoint),
        "text": str(options.text) if options.text else "random symbols",
        "step": result.step,
        "evaluations": audit.evaluations,
        "verdicts": audit.table["verdict"].value_counts().to_dict(),
        "samples": rows,
        "summary": {name: finite(value) for name, value in audit.summary().items()},
        "fingerprint": {name: finite(metrics[name]) for name in _FINGERPRINT if name in metrics},
    }
    if result.sweep is not None:
        means = result.sweep.drop(columns="sample").groupby("step", as_index=False, sort=False).mean()
        record["steps"] = [
            {str(name): finite(value) for name, value in row.items()} for row in means.to_dict("records")
        ]
    if options.out and result.interruption is None:
        _draw(options.out)
    if options.json:
        print(json.dumps(record))
    else:
        _show(record, len(audit.table))
    if result.interruption is not None:
        raise result.interruption


def _draw(folder: Path) -> None:
    """The figure of the spectrum with Euler's disc, from the tables."""
    from specseq.report.style import save, styled
    from specseq.studies.equilibrium.figures import audit as draw

    spectra, verdicts, fingerprints = ([folder / f"{file}.parquet"] for file in _FILES.values())
    inputs = {"spectra": spectra, "verdicts": verdicts, "fingerprints": fingerprints}
    with styled():
        save(draw(inputs, {}), folder / "spectrum")


def _show(record: dict[str, Any], positions: int) -> None:
    print(f"{record['checkpoint']}: text {record['text']}, Euler step {record['step']:g}")
    print("sample " + " ".join(f"{_HEADS.get(name, name):>10}" for name in _COLUMNS))
    for row in record["samples"]:
        print(f"{row['sample']:>6} " + " ".join(f"{_cell(row[name]):>10}" for name in _COLUMNS))
    named = [("fingerprint", record["fingerprint"])] if record["fingerprint"] else []
    for title, facts in [*named, *(("sweep", row) for row in record.get("steps", ()))]:
        print(f"{title}: {', '.join(f'{name} {_cell(value)}' for name, value in facts.items())}")
    counts = ", ".join(f"{count} {name}" for name, count in record["verdicts"].items())
    print(f"{positions} positions: {counts}; {record['evaluations']} evaluations")


def _cell(value: Any) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
