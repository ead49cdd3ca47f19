"""Stage ``claims``: every claim of the notes judged against the results of a scale, as Parquet and CSV."""

from collections import Counter
from pathlib import Path

from specseq.report.claims import ledger, ledger_frame
from specseq.settings import STRICT, Field, dataclass
from specseq.stages.request import serve
from specseq.studies.reports import load_claims
from specseq.tables import Provenance, write_csv, write_parquet


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ClaimsRequest:
    """Claims to judge."""

    studies: Path = Field(description="folder of the studies, each with claims*.yaml")
    folder: Path = Field(description="the scale's folder of results")
    scale: str = Field(description="name of the scale")
    declared: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="runs of each scale, with and without seeds: where a claim could be decided",
    )
    parquet: Path = Field(description="Parquet file to write")
    csv: Path = Field(description="CSV file to write")


def main(request: ClaimsRequest) -> None:
    """Judge and write."""
    provenance = Provenance("claims", {"scale": request.scale})
    declared = {scale: set(runs) for scale, runs in request.declared.items()}
    entries = ledger(load_claims(request.studies), request.folder, request.scale, declared)
    frame = ledger_frame(entries, request.scale)
    counts = {str(verdict): int(count) for verdict, count in frame["verdict"].value_counts().items()}
    provenance.facts["verdicts"] = counts
    provenance.facts["kinds"] = dict(Counter(f"{entry.verdict} · {entry.kind}" for entry in entries))
    write_csv(request.csv, frame)
    write_parquet(request.parquet, frame, provenance)
    print(f"{len(frame)} claims: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))


if __name__ == "__main__":
    serve(ClaimsRequest, main, __doc__)
