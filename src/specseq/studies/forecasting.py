"""What the two forecasting studies share."""

from collections.abc import Mapping
from typing import Any, Literal

from specseq.settings import STRICT, Field, dataclass
from specseq.studies.interface import BENCHMARKS, Results
from specseq.sweeps import Plan


@dataclass(frozen=True, config=STRICT, kw_only=True)
class ForecastingRun:
    """Parameters that runs of both studies have."""

    study: Literal["preconditioning", "stu"]
    seed: int = Field(ge=0, description="decides every random draw of the run")
    baseline: str | None = Field(
        default=None,
        description="run, without its seed, that tables compare with; null: the study's own baseline",
    )


TRAINED = frozenset({"weights.safetensors", "pretrain.parquet"})


def matched_filters(params: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The filters of a run that are designed for its forecaster's residuals."""
    names = params.get("evaluation", {}).get("filters", ())
    return {name: spec for name in names if (spec := plan.filter(name))["family"] == "matched"}


def seasonal_naive_scores(results: Results) -> list[str]:
    """Scores of seasonal naive at a scale, the reference of every forecaster, from whichever study."""
    runs = results.plan.runs(results.scale)
    named = [run for run, p in runs.items() if p.get("forecaster", {}).get("name") == "seasonal_naive"]
    benchmarks = results.benchmarks
    return results.available(
        results.file(f"runs/{run}/{name}.parquet") for run in named for name in benchmarks
    )


def leakage(results: Results) -> list[str]:
    """How much of each benchmark at hand is in the training corpus."""
    return results.available(results.file(f"data/leakage_{name}.parquet") for name in results.benchmarks)


def forecasting_results(params: Mapping[str, Any], plan: Plan) -> set[str]:
    """Files of a forecasting run: of training, scores per benchmark, filters for its residuals."""
    endings = ["", "_residuals", "_matched"] if matched_filters(params, plan) else [""]
    scores = {f"{benchmark}{ending}.parquet" for benchmark in BENCHMARKS for ending in endings}
    return scores | (TRAINED if "training" in params else set())
