"""Learning-rate schedules as pure functions of the step: nothing to save, nothing to restore."""

import math

from specseq.training.settings import TrainingSettings


def factor(step: int, spec: TrainingSettings) -> float:
    """Learning rate over its peak for optimiser step ``step`` (0 for the first).

    Warm-up is linear, ``step / warmup``, so the very first step of a run with warm-up has rate 0, as in the
    published runs (the scheduler of transformers that MOIRAI uses).
    """
    if spec.schedule == "constant":
        return 1.0
    warmup = spec.warmup_steps
    if step < warmup:
        return step / warmup
    if spec.schedule == "warmup":
        return 1.0
    progress = (step - warmup) / max(1, spec.steps - warmup)
    if spec.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if progress >= 1:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * ((progress * spec.cycles) % 1)))
