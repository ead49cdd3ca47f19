"""The ``training`` section of a run's parameters, checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from specseq.errors import InputError

SCHEDULES = ("cosine", "cosine_restarts", "warmup", "constant")
PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainingSpec:
    """How a task is trained.

    Attributes:
        steps: optimiser steps.
        batch: rows a batch; the stream's business, kept here because runs state it here.
        lr: peak learning rate.
        weight_decay: decoupled weight decay of matrices.
        betas: decay rates of AdamW's two moments.
        eps: AdamW's epsilon.
        warmup: steps of linear warm-up from 0, or a fraction of ``steps`` where below 1.
        schedule: ``cosine`` to 0; ``cosine_restarts`` with ``cycles``; ``warmup`` alone, then flat, as
            ``constant`` with a warm-up that never ends would be; ``constant`` from the first step.
        cycles: cosines of ``cosine_restarts``.
        clip: largest norm of the gradient over all parameters; 0 does not clip.
        precision: ``auto`` is bfloat16 autocast where the accelerator has it and float32 elsewhere.
        micro_batches: parts in which a batch is computed, to save memory; the batch must have ``shard``.
        prefetch: batches that a thread makes ready ahead of the step, changing no number. None is 2 where
            an accelerator computes the step and 0 on a CPU, which gains nothing by it.
        compile: compile the model with ``torch.compile``.
        log_every: steps between recorded training metrics.
        evaluate_every: steps between evaluations; 0 evaluates at the end only.
        checkpoint_every: steps between checkpoints; 0 writes none but the last.
        checkpoint_minutes: minutes between checkpoints, besides; 0 is never.
        tensorboard: write TensorBoard scalars beside the checkpoints.
    """

    steps: int
    batch: int = 1
    lr: float = 1e-3
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    warmup: float = 0
    schedule: str = "cosine"
    cycles: float = 1
    clip: float = 1.0
    precision: str = "auto"
    micro_batches: int = 1
    prefetch: int | None = None
    compile: bool = False
    log_every: int = 1
    evaluate_every: int = 0
    checkpoint_every: int = 0
    checkpoint_minutes: float = 10
    tensorboard: bool = True

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "TrainingSpec":
        """Read ``params["training"]``.

        Raises:
            InputError: a key is unknown or missing, or a value is of the wrong type or impossible.
        """
        given = params.get("training")
        if not isinstance(given, Mapping):
            raise InputError("training", "no such section in the run's parameters", "give at least 'steps'")
        known = {field.name: field for field in fields(cls)}
        for name, value in given.items():
            if name not in known:
                raise InputError(f"training.{name}", "no such setting", f"known: {', '.join(known)}")
            if not (name == "prefetch" and value is None):
                _check(name, value)
        if "steps" not in given:
            raise InputError("training.steps", "missing", "give the number of optimiser steps")
        values = dict(given)
        if "betas" in values:
            values["betas"] = tuple(values["betas"])
        return cls(**values)

    @property
    def warmup_steps(self) -> int:
        """Warm-up in steps."""
        return round(self.warmup * self.steps) if 0 < self.warmup < 1 else int(self.warmup)


def _check(name: str, value: Any) -> None:
    """One line about the first thing that is wrong with a setting."""
    where = f"training.{name}"
    choices = {"schedule": SCHEDULES, "precision": PRECISIONS}.get(name)
    if choices is not None:
        if value not in choices:
            raise InputError(where, f"{value!r} is unknown", f"one of {', '.join(choices)}")
    elif name in ("compile", "tensorboard"):
        if not isinstance(value, bool):
            raise InputError(where, f"{value!r} is not true or false")
    elif name == "betas":
        if not (isinstance(value, list | tuple) and len(value) == 2 and all(0 <= b < 1 for b in value)):
            raise InputError(where, f"{value!r} is not a pair of numbers in [0, 1)")
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        counts = ("steps", "batch", "micro_batches", "prefetch")
        whole = name in (*counts, "log_every", "evaluate_every", "checkpoint_every")
        if not number or (whole and not isinstance(value, int)):
            raise InputError(where, f"{value!r} is not a{' whole' if whole else ''} number")
        if not math.isfinite(value):
            raise InputError(where, f"{value!r} is not finite")
        if value < (1 if name in ("steps", "batch", "micro_batches", "log_every") else 0):
            raise InputError(where, f"{value!r} is too small")
