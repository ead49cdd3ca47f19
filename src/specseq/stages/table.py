"""Make one comparison table, Parquet and CSV, from the results of runs.

``--name NAME`` is a table that a study declares; its ``make(inputs, params)`` gets the named input files and
returns the frame.
"""

from pathlib import Path

from specseq.stages import arguments
from specseq.studies import maker


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument("--name", required=True, help="name of the table and of its module")
    arguments.add_inputs(parser)
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--csv", type=Path, required=True, help="CSV file to write beside it")
    options = parser.parse_args()

    from specseq.tables import Provenance, write_csv, write_parquet

    provenance = Provenance("table", {"name": options.name, **options.params})
    frame = maker("tables", options.name)(arguments.inputs(options), options.params)
    write_csv(options.csv, frame)
    write_parquet(options.out, frame, provenance)


if __name__ == "__main__":
    arguments.run(main)
