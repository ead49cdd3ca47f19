"""Judge every claim of the notes against the results of a scale; write the ledger as Parquet and CSV."""

from pathlib import Path

from specseq.stages import arguments


def main() -> None:
    parser = arguments.parser(__doc__)
    parser.add_argument(
        "--claims", type=Path, required=True, help="folder of the studies, each with claims*.yaml"
    )
    parser.add_argument("--results", type=Path, required=True, help="results folder of the scale")
    parser.add_argument("--scale", required=True, help="name of the scale")
    parser.add_argument("--declared", type=Path, help="file of runs, each a line behind its scale")
    parser.add_argument("--out", type=Path, required=True, help="Parquet file to write")
    parser.add_argument("--csv", type=Path, required=True, help="CSV file to write beside it")
    options = parser.parse_args()

    from specseq.report.claims import ledger, ledger_frame
    from specseq.studies.claims import load_claims
    from specseq.tables import Provenance, write_csv, write_parquet

    provenance = Provenance("claims", {"scale": options.scale, **options.params})
    lines = options.declared.read_text(encoding="utf-8").splitlines() if options.declared else []
    declared: dict[str, set[str]] = {}
    for line in lines:
        scale, _, run = line.partition(" ")
        declared.setdefault(scale, set()).add(run)
    entries = ledger(load_claims(options.claims), options.results, options.scale, declared)
    frame = ledger_frame(entries, options.scale)
    counts = frame["verdict"].value_counts().to_dict()
    provenance.facts["verdicts"] = {str(verdict): int(count) for verdict, count in counts.items()}
    write_csv(options.csv, frame)
    write_parquet(options.out, frame, provenance)
    print(f"{len(frame)} claims: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


if __name__ == "__main__":
    arguments.run(main)
