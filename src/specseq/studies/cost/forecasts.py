"""What a forecaster's evaluations on the benchmarks take: forward passes, and scoring on the processor.

Forecasts of the unfiltered contexts are made once, those of filtered contexts once per filter; every reversal
is applied to them.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

from specseq.models.plugins import NAMES
from specseq.scoring.config import EvaluationSettings
from specseq.scoring.evaluation import MODEL_POINTS
from specseq.scoring.residuals import ResidualsRequest
from specseq.scoring.reversal import CONTEXT_VALUES
from specseq.settings import read
from specseq.studies.cost.benchmarks import WindowSet, window_sets
from specseq.studies.cost.forecasters import forward_passes
from specseq.studies.cost.step import StageUsage
from specseq.studies.forecasting import matched_filters
from specseq.studies.interface import BENCHMARKS
from specseq.sweeps import Plan
from specseq.training.metering import Usage

# CPU seconds of scoring and reversal per variant (a way to forecast), for a batch of windows and for each of
# its forecast points; of filtering a context value; and of opening a config. Measured on one core.
_VARIANT, _POINT, _FILTERED, _CONFIG = 9e-4, 8e-8, 2.2e-8, 3e-3
# CPU seconds of matching a filter to residuals.
_MATCHED = 0.01


def forecast_evaluations(params: Mapping[str, Any], plan: Plan, scale: str) -> list[dict[str, Any]] | None:
    """Descriptions of the stages that evaluate a forecasting run; None for a forecaster from elsewhere."""
    forecaster = _forecaster(params, plan, scale)
    chosen = read(EvaluationSettings, params.get("evaluation") or {}, "evaluation")
    others = [str(chosen.other.name)] if chosen.other else []
    if forecaster is None or not {*others} <= {*NAMES}:
        return None
    data, control = plan.data(scale), "oracle" in chosen.reversals
    if "training" in params:
        mode = params.get("preconditioning") or {}
        # A model with hints or a head for the raw series forecasts the series themselves.
        spaces = int(bool(params.get("filter")) and not (mode.get("hint") or mode.get("dual_head")))
        passes = 1 + (spaces if "plug_in" in chosen.reversals else 0)
    else:
        spaces = len(chosen.filters)
        passes, control = 1 + spaces, control and forecaster.get("name") != "seasonal_naive"
    modes = len(chosen.reversals)
    stages: list[dict[str, Any]] = []
    for benchmark in (name for name in BENCHMARKS if data.get(name)):
        kept = chosen.tasks if benchmark == "fev" else chosen.only
        windows = window_sets(benchmark, data, chosen.terms, kept)
        stages.append(
            {
                "rule": "evaluate",
                "forecaster": forecaster,
                "windows": windows,
                "passes": passes,
                "others": others,
                "variants": 1 + control + spaces * (modes + control),
                "filtered": spaces,
                "controlled": spaces * control,
            }
        )
        if matched := len(matched_filters(params, plan)):
            each = ResidualsRequest.windows
            earlier = [one._replace(windows=one.series * each) for one in windows]
            plain = {"others": [], "variants": 1, "filtered": 0, "controlled": 0}
            stages.append(
                {"rule": "residuals", "forecaster": forecaster, "windows": earlier, "passes": 1, **plain}
            )
            stages.append({"rule": "design_matched", "matched": matched})
    return stages


def _forecaster(params: Mapping[str, Any], plan: Plan, scale: str) -> dict[str, Any] | None:
    """What determines the cost of a forward pass: the model without its weights and filters, or a name."""
    named = params.get("forecaster") or {}
    trained = plan.run(scale, named["run"]) if "run" in named else params
    limit = named.get("context_length") or (params.get("evaluation") or {}).get("context_length")
    if "training" not in trained:
        return {"name": named["name"], "context_length": limit} if named.get("name") in NAMES else None
    hint = (trained.get("preconditioning") or {}).get("hint")
    hints = max(1, len(hint.get("filters") or ())) if hint else 0
    return {"model": trained["model"], "hints": hints, "context_length": limit}


def forecast_evaluation(stage: Mapping[str, Any]) -> StageUsage:
    """The usage of one of these stages."""
    if stage["rule"] == "design_matched":
        return StageUsage(host_seconds=_MATCHED * stage["matched"])
    windows = [WindowSet(*one) for one in stage["windows"]]
    passes = forward_passes(stage["forecaster"])
    limit = passes.limit if passes else None
    usage, seconds = Usage(), _scoring_seconds(stage, windows, limit)
    forwards = [
        (passes, int(stage["passes"])),
        *((forward_passes({"name": name}), 1) for name in stage["others"]),
    ]
    for one, times in forwards:
        if one is not None:
            usage += one.usage(windows) * times
            seconds += one.seconds(windows) * times
    return StageUsage(usage, seconds)


def _scoring_seconds(stage: Mapping[str, Any], windows: list[WindowSet], limit: int | None) -> float:
    """CPU seconds of filtering, reversing and scoring.

    Args:
        limit: longest context of the forecaster; None for whole series, which its control always reads.
    """
    seconds = _CONFIG * len(windows)
    for one in windows:
        whole = one.windows * one.context
        kept = whole if limit is None else one.windows * min(one.context, limit)
        parts = ceil((whole if stage["controlled"] else kept) / CONTEXT_VALUES) if stage["filtered"] else 1
        batches = max(ceil(one.points / MODEL_POINTS), parts)
        seconds += stage["variants"] * (_VARIANT * batches + _POINT * one.points)
        seconds += _FILTERED * (stage["filtered"] * kept + stage["controlled"] * whole)
    return seconds
