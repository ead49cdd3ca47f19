"""The interface between a study and the training loop."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import nn


class BatchStream(Protocol):
    """An endless, resumable stream of batches.

    The state is a small mapping of plain values (numbers, strings, lists, bytes) from which the stream
    resumes exactly where it was, even in another process; a state already returned never changes. Batches may
    be drawn ahead of the step, in another thread.
    """

    def __next__(self) -> Any:
        """The next batch, on the CPU."""

    def state_dict(self) -> dict[str, Any]:
        """Position and generator states."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""


def _no_evaluation(model: nn.Module) -> dict[str, float]:
    return {}


@dataclass
class Task:
    """A model, its batches and the way its gradients are computed; the loop does the rest.

    Attributes:
        loss: ``loss(model, batch) -> (scalar tensor, metrics)``; the loop calls ``backward`` on the scalar. A
            metric ``weight``, the number of terms averaged in the scalar, is not recorded; it weights parts
            of a batch that are computed separately.
        gradients: replaces ``loss`` for rules other than back-propagation of one scalar; fills ``.grad`` of
            the parameters and returns metrics including ``loss`` and optionally ``weight``.
        observe: called at each step with the metrics of the whole batch, the same in every process, for
            controllers that use them.
        evaluate: called every ``evaluate_every`` steps and at the end; its metrics are logged as
            ``valid/<name>``.
        parameter_groups: replaces the default groups (weight decay on matrices only); each is a mapping as
            for ``torch.optim``, with ``lr_scale`` instead of ``lr``.
        after_step: called after each optimiser step, for norm caps or learned coefficients; returns metrics.
        state: further objects with ``state_dict`` and ``load_state_dict`` to keep in checkpoints.
        diverged: why the task cannot be trained, such as diverged initial weights; else None.
        facts: facts for the provenance of the results, such as series left out.
    """

    model: nn.Module
    batches: BatchStream
    loss: Callable[[nn.Module, Any], tuple[torch.Tensor, dict[str, float]]] | None = None
    gradients: Callable[[nn.Module, Any], dict[str, float]] | None = None
    observe: Callable[[Mapping[str, float]], None] | None = None
    evaluate: Callable[[nn.Module], dict[str, float]] = _no_evaluation
    parameter_groups: Callable[[nn.Module], Iterable[dict[str, Any]]] | None = None
    after_step: Callable[[nn.Module, int], dict[str, float]] | None = None
    state: dict[str, Any] = field(default_factory=dict)
    diverged: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.loss is None) == (self.gradients is None):
            raise ValueError("a task has either a loss or a rule for its gradients")
