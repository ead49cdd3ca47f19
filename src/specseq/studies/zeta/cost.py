"""What a step of a spacing model takes, and its evaluation on the test band."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch

from specseq.settings import read
from specseq.spacings.config import SpacingData, SpacingEvaluation, SpacingLoss, SpacingModelConfig
from specseq.spacings.model import SpacingModel
from specseq.spacings.rollout import window_length
from specseq.spacings.rollout_config import RolloutSettings
from specseq.studies.cost.step import StageUsage, StepUsage, backpropagation, halved, parameters_of
from specseq.studies.zeta.training import predictions, total_loss
from specseq.sweeps import Plan
from specseq.training.metering import Usage, metered
from specseq.training.settings import TrainingSettings

# CPU-seconds of drawing a batch, per batch and per spacing: measured on one core.
_HOST = 1e-4, 2e-9


def kind(params: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that determine the cost of a step."""
    loss = params.get("loss") or {}
    data = {key: value for key, value in (params.get("data") or {}).items() if key == "selection"}
    return {
        "model": params["model"],
        "data": data,
        "loss": {
            "diversity_weight": float(bool(loss.get("diversity_weight"))),
            **{key: value for key, value in loss.items() if key in ("rollout_horizon", "rollout_feedback")},
        },
    }


def step(
    params: Mapping[str, Any], training: TrainingSettings, lengths: tuple[int, int], gpu: bool
) -> StepUsage:
    """A step of a run; see :attr:`Study.cost <specseq.studies.interface.Study.cost>`."""
    config = read(SpacingModelConfig, params["model"], "model")
    terms = read(SpacingLoss, params["loss"], "loss")
    model = SpacingModel(config).to("meta")
    rows = -(-training.batch // training.micro_batches)

    def batch(rows: int) -> dict[str, torch.Tensor]:
        return {
            "spacings": torch.empty(rows, config.length, device="meta"),
            "height": torch.empty(rows, device="meta"),
        }

    usage = backpropagation(
        model, lambda: total_loss(model, batch(rows), terms), halved(training, gpu), training.micro_batches
    )
    with torch.no_grad():
        forward = metered(lambda: predictions(model, batch(64)))
    host = _HOST[0] + _HOST[1] * training.batch * config.length
    evaluated = forward * (read(SpacingData, params["data"], "data").selection / 64)
    return StepUsage(usage, parameters_of(model), host_seconds=host, evaluation=evaluated)


def evaluations(params: Mapping[str, Any], plan: Plan, scale: str) -> list[dict[str, Any]] | None:
    """Stages after training; see :attr:`Study.cost <specseq.studies.interface.Study.cost>`."""
    chosen = {name: params.get(name) or {} for name in ("evaluation", "rollout")}
    return [{"rule": "rollout", "model": params["model"], **chosen}]


def evaluation(stage: Mapping[str, Any]) -> StageUsage:
    """The usage of predictions one step ahead, of rollouts and of measurements along them."""
    model = SpacingModel(read(SpacingModelConfig, stage["model"], "model")).to("meta").eval()
    spec = read(SpacingEvaluation, stage["evaluation"], "evaluation")
    settings = read(RolloutSettings, stage["rollout"], "rollout")
    longest, horizon, slots = spec.contexts[-1], spec.horizons[-1], model.config.slots
    with torch.no_grad():
        usage = _scored(model, spec.windows, model.config.length)
        for context in spec.contexts:
            usage += _predicted(model, spec.windows, context)
        # Each slot is left out, and then all.
        usage += _predicted(model, spec.windows, longest) * (slots + 1 if slots else 0)
        # A gradient takes as long as two predictions.
        usage += _predicted(model, spec.kernel_windows, longest) * 3
        for context in spec.rollout_contexts:
            for mode in settings.memory:
                steady = len(set(settings.strengths(mode, horizon))) == 1
                # Of means and of draws.
                usage += _rolled_out(model, spec.windows, context, horizon, steady) * 2
            if settings.drift:
                # Along means, along draws and along the true spacings.
                measured = 3 * len(spec.horizons) * len(settings.memory)
                usage += _scored(model, spec.windows, context) * measured
    return StageUsage(usage)


def _windows(rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Spacings and heights."""
    return torch.empty(rows, length, device="meta"), torch.empty(rows, device="meta")


def _predicted(model: SpacingModel, rows: int, context: int) -> Usage:
    return metered(lambda: model(*_windows(rows, context)))


def _scored(model: SpacingModel, rows: int, length: int) -> Usage:
    """Predictions at all positions of windows, 128 of them together, with their scores."""
    few = min(rows, 128)
    spacings, height = _windows(few, length)

    def work() -> None:
        mixture, truth = model(spacings, height)[:, :-1].double(), spacings[:, 1:].double()
        for score in (mixture.log_prob, mixture.crps, mixture.cdf):
            score(truth)
        mixture[:, -1].predictive_entropy()

    return metered(work) * (rows / few)


def _rolled_out(model: SpacingModel, rows: int, context: int, horizon: int, steady: bool) -> Usage:
    """A rollout; ``steady`` where memory is as strong at every step, so that a cache is valid."""
    read_at = [window_length(step, context, model) for step in range(1, horizon + 1)]
    middle = round(sum(read_at) / horizon)
    if not (model.config.causal and steady):
        return metered(lambda: model(*_windows(rows, middle))[:, -1].sample()) * horizon
    starts = 1 + sum(later < earlier for earlier, later in pairwise(read_at))
    begun = _continued(model, rows, context, 0)
    inside = min(middle, model.config.length - 1)
    step = _continued(model, rows, inside, 1) + _continued(model, rows, inside, 0) * -1
    return begun * starts + step * (horizon - starts)


def _continued(model: SpacingModel, rows: int, context: int, steps: int) -> Usage:
    """A context read, and steps with a cache."""

    def work() -> None:
        spacings, height = _windows(rows, context)
        mixture, cache = model.start(spacings, height)
        for _ in range(steps):
            mixture = model.step(mixture.sample(), cache, height)
        mixture.sample()

    return metered(work)
