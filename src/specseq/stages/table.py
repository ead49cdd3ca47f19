"""Stage ``table``: one comparison table, Parquet and CSV, from the results of runs."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from specseq.settings import STRICT, Field, dataclass
from specseq.stages.request import serve
from specseq.studies import maker
from specseq.tables import Provenance, read_parts, write_csv, write_parquet


@dataclass(frozen=True, config=STRICT, kw_only=True)
class TableRequest:
    """A comparison table to make."""

    name: str = Field(description="name of the table; its study declares what makes it")
    inputs: dict[str, tuple[Path, ...]] = Field(description="files that it is made from, by name")
    params: dict[str, Any] = Field(default_factory=dict, description="parameters of the table")
    without: tuple[str, ...] = Field(default=(), description="results that are not there yet, which it lacks")
    parquet: Path = Field(description="Parquet file to write")
    csv: Path = Field(description="CSV file to write")


def main(request: TableRequest) -> None:
    """Make and write the table."""
    provenance = Provenance("table", {"name": request.name, **request.params})
    if request.without:
        provenance.facts["without"] = list(request.without)
        print(f"made without {len(request.without)} results that are not there: {', '.join(request.without)}")
    inputs = {name: list(files) for name, files in request.inputs.items()}
    made = maker("tables", request.name)(inputs, request.params)
    write_parquet(request.parquet, made, provenance)
    write_csv(request.csv, read_parts(request.parquet) if isinstance(made, pa.RecordBatchReader) else made)


if __name__ == "__main__":
    serve(TableRequest, main, __doc__)
