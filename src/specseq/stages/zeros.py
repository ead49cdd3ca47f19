"""Stage ``zeros``: a table of verified zeros.

Parameters: ``index`` or ``height``, and ``count`` or ``to``, as in ``specseq zeros --help``.
"""

from pathlib import Path

from specseq.settings import read
from specseq.stages import arguments
from specseq.tables import Provenance
from specseq.zeros.catalogue import write_zeros
from specseq.zeros.config import ZeroRange


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args()
    write_zeros(
        options.out,
        read(ZeroRange, options.params, "data.zeros"),
        Provenance("zeros", options.params),
        options.workers,
        quiet=False,
    )


if __name__ == "__main__":
    arguments.run(main)
