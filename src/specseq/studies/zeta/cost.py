"""What a step of a spacing model takes."""

from collections.abc import Mapping
from typing import Any

import torch

from specseq.settings import read
from specseq.spacings.config import SpacingData, SpacingLoss, SpacingModelConfig
from specseq.spacings.model import SpacingModel
from specseq.studies.cost.step import StepUsage, backpropagation, halved, parameters_of
from specseq.studies.zeta.training import predictions, total_loss
from specseq.training.metering import metered
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
