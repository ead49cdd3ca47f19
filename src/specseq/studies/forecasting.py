"""What the two forecasting studies share."""

from collections.abc import Mapping
from typing import Any

from specseq.studies.interface import BENCHMARKS
from specseq.sweeps import Plan

TRAINED = frozenset({"weights.safetensors", "pretrain.parquet"})


def matched_filters(params: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The filters of a run that are designed for its forecaster's residuals."""
    names = params.get("evaluation", {}).get("filters", ())
    return {name: spec for name in names if (spec := plan.filter(name))["family"] == "matched"}


def forecasting_results(params: Mapping[str, Any], plan: Plan) -> set[str]:
    """Files of a forecasting run: of training, scores per benchmark, filters for its residuals."""
    endings = ["", "_residuals", "_matched"] if matched_filters(params, plan) else [""]
    scores = {f"{benchmark}{ending}.parquet" for benchmark in BENCHMARKS for ending in endings}
    return scores | (TRAINED if "training" in params else set())
