"""Duration of training steps, and the share of it spent waiting for batches."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepTimes:
    """Wall times of one process: steps, waits for batches within them, and evaluations.

    The first step warms up (kernels are chosen, files are mapped) and counts only if it is the only one.
    """

    def __init__(self) -> None:
        self._steps = self._evaluations = 0
        self._seconds = self._waited = self._evaluated = 0.0
        self._first = (math.nan, 0.0)

    @contextmanager
    def step(self) -> Iterator[None]:
        """Time a step."""
        began = time.monotonic()
        yield
        self._steps += 1
        self._seconds += time.monotonic() - began
        if self._steps == 1:
            self._first = (self._seconds, self._waited)
            self._seconds = self._waited = 0.0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time the wait for a batch within a step."""
        began = time.monotonic()
        yield
        self._waited += time.monotonic() - began

    @contextmanager
    def evaluation(self) -> Iterator[None]:
        """Time an evaluation."""
        began = time.monotonic()
        yield
        self._evaluations += 1
        self._evaluated += time.monotonic() - began

    def costs(self) -> dict[str, float]:
        """``seconds_per_step``, ``waiting_share`` of them, and ``evaluation_seconds``; NaN without any."""
        steps = self._steps - 1
        seconds, waited = (self._seconds / steps, self._waited / steps) if steps > 0 else self._first
        return {
            "seconds_per_step": seconds,
            "waiting_share": waited / max(seconds, 1e-9),
            "evaluation_seconds": self._evaluated / self._evaluations if self._evaluations else math.nan,
        }
