"""Measure the mechanisms behind the equilibrium study's claims on blocks whose answers are known.

Writes one table in the long shape with the keys ``method`` and ``at``; what they mean for each task
is said in :mod:`specseq.equilibrium.mechanisms`. Parameters:
``{"seed": 0, "tasks": [...]}``; all tasks where none are named.
"""

from pathlib import Path

from specseq.equilibrium.config import MechanismSettings
from specseq.equilibrium.mechanisms import measure
from specseq.settings import read
from specseq.stages import arguments
from specseq.tables import Provenance, long_table, write_parquet


def main() -> None:
    """Parse, measure, write."""
    parser = arguments.parser(__doc__ or "")
    parser.add_argument("--out", required=True, type=Path, help="table of measurements")
    options = parser.parse_args()
    settings = read(MechanismSettings, options.params, "params")
    seed = settings.seed
    provenance = Provenance("mechanisms", options.params, seed=seed)
    keys = {"study": "equilibrium", "run": "equilibrium/mechanisms", "seed": seed, "benchmark": "mechanisms"}
    rows = [{**keys, **row} for row in measure(settings)]
    write_parquet(options.out, long_table(rows, ("method", "at")), provenance)


if __name__ == "__main__":
    arguments.run(main)
