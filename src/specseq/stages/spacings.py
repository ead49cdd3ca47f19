"""Stage ``spacings``: sets of spacings from a table of zeros, under one manifest.

Parameters: ``shares``, ``gap``, ``controls``, ``matrix_size`` and ``seed`` (see
specseq.spacings.config.SpacingSplits).
"""

from pathlib import Path

from specseq.settings import read
from specseq.spacings.config import SpacingSplits
from specseq.spacings.preparation import write_spacing_sets
from specseq.stages import arguments
from specseq.tables import Provenance


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--zeros", type=Path, required=True, help="table of zeros")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write the sets and their manifest to"
    )
    options = parser.parse_args()
    splits = read(SpacingSplits, options.params, "data.spacings")
    write_spacing_sets(
        options.zeros, options.out, splits, Provenance("spacings", options.params, seed=splits.seed)
    )


if __name__ == "__main__":
    arguments.run(main)
