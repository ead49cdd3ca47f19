"""Stage ``spacings``: sets of spacings from a table of zeros, under one manifest.

Parameters: ``shares``, ``gap``, ``controls``, ``matrix_size`` and ``seed`` (see
specseq.spacings.preparation.Plan).
"""

from dataclasses import fields
from pathlib import Path

from specseq.errors import InputError
from specseq.spacings.preparation import Plan, write_spacing_sets
from specseq.stages import arguments
from specseq.tables import Provenance


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--zeros", type=Path, required=True, help="table of zeros")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write the sets and their manifest to"
    )
    options = parser.parse_args()
    known = {field.name for field in fields(Plan)}
    if unknown := set(options.params) - known:
        raise InputError("spacings", f"unknown parameters {sorted(unknown)}", f"known are {sorted(known)}")
    plan = Plan(**options.params)
    write_spacing_sets(
        options.zeros, options.out, plan, Provenance("spacings", options.params, seed=plan.seed)
    )


if __name__ == "__main__":
    arguments.run(main)
