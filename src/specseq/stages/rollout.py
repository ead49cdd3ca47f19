"""Stage ``rollout``: a trained spacing model scored on the test band and rolled out."""

from pathlib import Path
from typing import Any

from specseq.settings import STRICT, Field, dataclass
from specseq.stages.request import serve
from specseq.studies.zeta.rollout import evaluate_run


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RolloutRequest:
    """A trained spacing model to evaluate."""

    weights: Path = Field(description="weights.safetensors of the run")
    spacings: Path = Field(description="manifest of the spacing sets")
    run: str = Field(description="run id, study/sweep/point")
    params: dict[str, Any] = Field(default_factory=dict, description="resolved parameters of the run")
    out: Path = Field(description="Parquet file to write")


def main(request: RolloutRequest) -> None:
    """Evaluate and write."""
    evaluate_run(request.weights, request.spacings, request.run, request.params, request.out)


if __name__ == "__main__":
    serve(RolloutRequest, main, __doc__)
