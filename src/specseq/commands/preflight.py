"""``specseq preflight``: what would stop a scale from running."""

import argparse
import shutil
from collections.abc import Sequence

from specseq.commands.plan import add_config, plan_of


def main(given: Sequence[str]) -> int:
    """Print one line per check; status 1 if one fails."""
    from specseq.studies.preflight import preflight, profile_defaults

    parser = argparse.ArgumentParser(
        prog="specseq preflight",
        description="Check, before anything is submitted, the data and their completeness, the hub, the "
        "disk, package versions, whether SLURM would accept the jobs, and whether the GPUs hold what is "
        "trained on them. Prints one line per check, with the remedy.",
    )
    parser.add_argument(
        "--launcher",
        choices=("local", "slurm"),
        help="where training runs (default: SLURM if sbatch is found)",
    )
    add_config(parser)
    options = parser.parse_args(given)
    plan, scale = plan_of(options)
    slurm = options.launcher == "slurm" or (options.launcher is None and shutil.which("sbatch") is not None)
    failed = 0
    for finding in preflight(plan, scale, options.root, slurm, profile_defaults(options.root)):
        mark, note = ("FAIL", finding.fault) if finding.fault else ("ok", finding.note)
        remedy = f" - {finding.remedy}" if finding.fault and finding.remedy else ""
        print(f"{mark:4}  {finding.check}: {note}{remedy}")
        failed += bool(finding.fault)
    return int(failed > 0)
