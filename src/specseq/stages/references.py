"""Stage ``references``: the rows that every zeta table carries, without a trained model."""

from pathlib import Path

from specseq.settings import STRICT, Field, dataclass, plain
from specseq.spacings.config import SpacingReferences
from specseq.spacings.references import reference_rows
from specseq.stages.request import serve
from specseq.tables import Provenance, long_table, write_parquet


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ReferencesRequest:
    """Predictors and statistics of spacing sets to tabulate."""

    references: SpacingReferences
    spacings: Path = Field(description="manifest of the spacing sets")
    out: Path = Field(description="Parquet file to write")


def main(request: ReferencesRequest) -> None:
    """Compute and write the rows."""
    references = request.references
    provenance = Provenance("references", plain(references), seed=references.seed)
    rows = [row for name in references.sets for row in reference_rows(request.spacings, name, references)]
    write_parquet(request.out, long_table(rows, keys=("context",)), provenance)


if __name__ == "__main__":
    serve(ReferencesRequest, main, __doc__)
