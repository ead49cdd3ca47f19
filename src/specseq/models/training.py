"""Tasks of the forecasting studies, by the kind of their model."""

import importlib
from pathlib import Path
from typing import Any

from specseq.errors import InputError
from specseq.training.task import Task

BUILDERS = {
    "moirai2": "specseq.models.moirai2.training:build",
    "moirai": "specseq.models.moirai.training:build",
}


def build(params: dict[str, Any], inputs: dict[str, Path]) -> Task:
    """Build the task of a run.

    Args:
        params: the run's parameters; ``model.kind`` says what is trained.
        inputs: as the model's own builder takes them.

    Raises:
        InputError: the kind is missing or unknown, or whatever the builder finds.
    """
    kind = params.get("model", {}).get("kind")
    if kind not in BUILDERS:
        raise InputError("model.kind", f"{kind!r} is no model to train", f"one of {', '.join(BUILDERS)}")
    module, function = BUILDERS[kind].split(":")
    task: Task = getattr(importlib.import_module(module), function)(params, inputs)
    return task
