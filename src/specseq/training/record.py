"""Metrics of a run by step: kept in its checkpoints, and written for TensorBoard to watch it."""

from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


class Record:
    """Metrics in the order they were recorded; its place in checkpoints lets a kill lose or repeat none."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._index: dict[str, int] = {}
        self._steps, self._which, self._values = array("q"), array("i"), array("d")

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Record metrics after ``step`` optimiser steps."""
        for name, value in metrics.items():
            if name not in self._index:
                self._index[name] = len(self._names)
                self._names.append(name)
            self._steps.append(step)
            self._which.append(self._index[name])
            self._values.append(float(value))

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[tuple[int, str, float]]:
        """``(step, metric, value)`` in order."""
        for step, which, value in zip(self._steps, self._which, self._values, strict=True):
            yield step, self._names[which], value

    def last(self, name: str) -> float | None:
        """The metric's latest value, or None."""
        return next((value for _, metric, value in reversed(list(self)) if metric == name), None)

    def state_dict(self) -> dict[str, Any]:
        """Plain arrays."""
        return {
            "names": self._names,
            "steps": np.array(self._steps, np.int64),
            "which": np.array(self._which, np.int32),
            "values": np.array(self._values, np.float64),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self._names = list(state["names"])
        self._index = {name: number for number, name in enumerate(self._names)}
        self._steps = array("q", state["steps"].tolist())
        self._which = array("i", state["which"].tolist())
        self._values = array("d", state["values"].tolist())


@contextmanager
def tensorboard(
    folder: Path, step: int, enabled: bool
) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
    """A function that writes the metrics of a step under their names, or nothing if disabled.

    Args:
        step: step that the run resumes from; later points of an earlier process are hidden.
    """
    if not enabled:
        yield lambda step, metrics: None
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), purge_step=step + 1 if step else None) as writer:

        def write(step: int, metrics: Mapping[str, float]) -> None:
            for name, value in metrics.items():
                writer.add_scalar(name, value, step)

        yield write
