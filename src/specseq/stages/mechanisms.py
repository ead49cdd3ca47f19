"""Stage ``mechanisms``: solvers, estimators and diagnostics on blocks whose answers are known.

The result has the long shape with the key columns ``method`` and ``at``, which
:mod:`specseq.equilibrium.mechanisms` explains for each task.
"""

from pathlib import Path

from specseq.equilibrium.config import MechanismSettings
from specseq.equilibrium.mechanisms import measure
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.stages.request import serve
from specseq.tables import Provenance, long_table, write_parquet


@dataclass(frozen=True, config=STRICT, kw_only=True)
class MechanismsRequest:
    """Mechanisms to measure."""

    out: Path = Field(description="Parquet file to write")
    mechanisms: MechanismSettings


def main(request: MechanismsRequest) -> None:
    """Measure and write."""
    settings = request.mechanisms
    provenance = Provenance("mechanisms", plain(settings), seed=settings.seed)
    keys = {"study": "equilibrium", "run": "equilibrium/mechanisms", "benchmark": "mechanisms"}
    rows = [{**keys, "seed": settings.seed, **row} for row in measure(settings)]
    write_parquet(request.out, long_table(rows, ("method", "at")), provenance)


if __name__ == "__main__":
    serve(MechanismsRequest, main, __doc__)
