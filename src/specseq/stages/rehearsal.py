"""Stage ``rehearsal``: what a rehearsal measured of each run, as Parquet and CSV."""

from pathlib import Path

from specseq.report.rehearsal import Rehearsed, rehearsal_table
from specseq.settings import STRICT, Field, dataclass
from specseq.stages.request import serve
from specseq.tables import Provenance, write_csv, write_parquet


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RehearsalRequest:
    """Runs that were rehearsed."""

    runs: tuple[Rehearsed, ...] = Field(description="the runs, with what their full training may take")
    parquet: Path = Field(description="Parquet file to write")
    csv: Path = Field(description="CSV file to write")


def main(request: RehearsalRequest) -> None:
    """Make and write the table, and print it."""
    frame = rehearsal_table(request.runs)
    write_csv(request.csv, frame)
    write_parquet(request.parquet, frame, Provenance("rehearsal"))
    print(frame.to_string(index=False))


if __name__ == "__main__":
    serve(RehearsalRequest, main, __doc__)
