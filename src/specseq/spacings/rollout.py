"""Rollouts: a model's own predictions fed back, for many windows at once.

The window grows from its context to the model's full length, then restarts with as many of the last spacings
as the context had, at most three quarters of the length. The model thus sees only positions it was trained
on, and its cache serves many steps. Memory may be made weaker than in training; the whole window of each
step, including the context, is then read with memory of that step's strength.

Shapes: B windows, C context, H horizon.
"""

import time
from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from specseq.spacings.mixture import Mixture
from specseq.spacings.model import SpacingModel
from specseq.tables.kept import NOTHING_KEPT, Kept

# Seconds between states of a rollout without cache, whose steps take as long as whole windows.
_KEPT_EVERY = 60.0


@torch.no_grad()
def rollout(
    model: SpacingModel,
    context_BC: Tensor,
    height_B: Tensor,
    horizon: int,
    generator: torch.Generator | None = None,
    memory: Sequence[float] | None = None,
    kept: Kept = NOTHING_KEPT,
    name: str = "",
) -> Tensor:
    """(B, H) spacings that follow the contexts, one step at a time, with a key-value cache where possible.

    Args:
        model: in evaluation mode.
        context_BC: known spacings, at most the model's length.
        generator: draws each step from the mixture, negative draws becoming 0; None takes its mean.
        memory: (H,) factor of the memory slots at each step; None leaves them as they are. While the factor
            changes, no cache is valid.
        kept: holds the state of a long rollout under its ``name``, so that it can resume.
    """
    if memory is not None and len(set(memory)) == 1:
        model, memory = with_memory(model, memory[0]), None
    if memory is not None or not model.config.causal:
        return rollout_without_cache(model, context_BC, height_B, horizon, generator, memory, kept, name)
    context = context_BC.shape[1]
    history = [context_BC]
    mixture, cache = model.start(context_BC, height_B)
    for taken in range(1, horizon + 1):
        history.append(_next(mixture, generator)[:, None])
        if taken == horizon:
            break
        if cache.length == model.config.length:
            mixture, cache = model.start(_tail(history, _restart(context, model)), height_B)
        else:
            mixture = model.step(history[-1][:, 0], cache, height_B)
    return torch.cat(history[1:], 1)


@torch.no_grad()
def rollout_without_cache(
    model: SpacingModel,
    context_BC: Tensor,
    height_B: Tensor,
    horizon: int,
    generator: torch.Generator | None = None,
    memory: Sequence[float] | None = None,
    kept: Kept = NOTHING_KEPT,
    name: str = "",
) -> Tensor:
    """The result of :func:`rollout`, by rereading the whole window at each step."""
    context = context_BC.shape[1]
    history = [context_BC]
    if left := kept.state(name):
        history.append(torch.from_numpy(left["spacings"]))
        if generator is not None:
            generator.set_state(torch.from_numpy(left["generator"]))
    done, since = sum(part.shape[1] for part in history[1:]), time.monotonic()
    for step in range(done + 1, horizon + 1):
        reader = model if memory is None else with_memory(model, memory[step - 1])
        mixture = reader(_tail(history, window_length(step, context, model)), height_B)[:, -1]
        history.append(_next(mixture, generator)[:, None])
        if time.monotonic() - since >= _KEPT_EVERY:
            drawn = generator.get_state().numpy() if generator is not None else np.zeros(0, np.uint8)
            kept.leave(name, spacings=torch.cat(history[1:], 1).numpy(), generator=drawn)
            since = time.monotonic()
    return torch.cat(history[1:], 1)


def with_memory(model: SpacingModel, strength: float) -> SpacingModel:
    """A model whose memory slots are multiplied by a factor; their learned positions stay.

    Returns the model itself if the factor is 1 or there is no memory, else a copy.
    """
    if model.memory is None or strength == 1:
        return model
    copied = deepcopy(model)
    with torch.no_grad():
        copied.get_parameter("memory").mul_(strength)
    return copied


def window_length(step: int, context: int, model: SpacingModel) -> int:
    """Spacings in the window that step 1, 2 ... of a rollout is predicted from."""
    grown, restart = context + step - 1, _restart(context, model)
    beyond = grown - model.config.length - 1
    return grown if beyond < 0 else restart + beyond % (model.config.length - restart + 1)


def _restart(context: int, model: SpacingModel) -> int:
    """Spacings kept when the window is full."""
    return max(1, min(context, 3 * model.config.length // 4))


def _tail(history: list[Tensor], count: int) -> Tensor:
    return torch.cat(history, 1)[:, -count:]


def _next(mixture: Mixture, generator: torch.Generator | None) -> Tensor:
    if generator is None:
        return mixture.expectation()
    return mixture.sample(generator).clamp(min=0.0)


def accumulated_error(predicted: Tensor, true: Tensor) -> Tensor:
    """(B, H): |Σ_{i ≤ h} (predicted - true)|, the distance of the predicted zero from the true one."""
    return (predicted.double() - true.double()).cumsum(1).abs()
