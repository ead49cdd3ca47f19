"""Learning-rate schedules as pure functions of the step, so that a resume restores nothing."""

import math

from specseq.training.settings import TrainingSettings


def factor(step: int, settings: TrainingSettings) -> float:
    """Learning rate as a fraction of its peak at optimiser step ``step`` (0 is the first).

    Warm-up is linear, ``step / warmup``, so the first step of a run with warm-up has rate 0, as in the
    published runs (MOIRAI uses the scheduler of transformers).
    """
    if settings.schedule == "constant":
        return 1.0
    warmup = settings.warmup_steps
    if step < warmup:
        return step / warmup
    if settings.schedule == "warmup":
        return 1.0
    progress = (step - warmup) / max(1, settings.steps - warmup)
    if settings.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
    if progress >= 1:
        return 0.0
    return 0.5 * (1 + math.cos(math.pi * ((progress * settings.cycles) % 1)))
