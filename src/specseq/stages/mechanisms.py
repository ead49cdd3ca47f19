"""Stage ``mechanisms``: solvers, estimators and diagnostics on blocks whose answers are known.

The result has the long shape with the key columns ``method`` and ``at``, which
:mod:`specseq.equilibrium.mechanisms` explains for each task.
"""

from pathlib import Path

from specseq.equilibrium.config import MechanismSettings
from specseq.equilibrium.mechanisms import measure
from specseq.settings import STRICT, Field, dataclass, plain
from specseq.sources import source_digest
from specseq.stages.request import serve
from specseq.tables import Provenance, long_table, write_parquet
from specseq.tables.kept import Kept


@dataclass(frozen=True, config=STRICT, kw_only=True)
class MechanismsRequest:
    """Mechanisms to measure."""

    out: Path = Field(description="Parquet file to write")
    mechanisms: MechanismSettings
    parts: Path | None = Field(default=None, description="folder for what a job that is killed leaves")


def main(request: MechanismsRequest) -> None:
    """Measure and write."""
    settings = request.mechanisms
    provenance = Provenance("mechanisms", plain(settings), seed=settings.seed)
    keys = {"study": "equilibrium", "run": "equilibrium/mechanisms", "benchmark": "mechanisms"}
    code = source_digest("equilibrium/mechanisms.py")
    kept = Kept(request.parts, {"mechanisms": plain(settings), "code": code})
    rows = [{**keys, "seed": settings.seed, **row} for row in measure(settings, kept)]
    write_parquet(request.out, long_table(rows, ("method", "at")), provenance)
    kept.forget()


if __name__ == "__main__":
    serve(MechanismsRequest, main, __doc__)
