"""Stage ``spacings``: sets of spacings from a table of zeros or from arrays, under one manifest."""

from pathlib import Path

from specseq.errors import InputError
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.spacings.config import SpacingSplits
from specseq.spacings.preparation import write_spacing_sets
from specseq.stages.request import serve
from specseq.tables import Provenance


@dataclass(frozen=True, config=STRICT, kw_only=True)
class SpacingsRequest:
    """Sets of spacings to cut from a table of zeros, or from arrays."""

    zeros: Path | None = Field(default=None, description="table of zeros; null where there are arrays")
    manifest: Path = Field(description="manifest.parquet to write; the sets go beside it")
    spacings: SpacingSplits = Field(description="how the sets are cut")

    def __post_init__(self) -> None:
        if (self.zeros is None) == (self.spacings.arrays is None):
            raise InputError("zeros", "spacings come from zeros or from arrays", "give one of them")


def main(request: SpacingsRequest) -> None:
    """Cut and write the sets."""
    provenance = Provenance("spacings", plain(request.spacings), seed=request.spacings.seed)
    write_spacing_sets(request.zeros, request.manifest.parent, request.spacings, provenance)


if __name__ == "__main__":
    serve(SpacingsRequest, main, __doc__)
