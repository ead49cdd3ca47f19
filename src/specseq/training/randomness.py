"""The process-wide random generators: seeded per run, saved in checkpoints, untouched by evaluation."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch

from specseq.seeding import stream_seed

Built = TypeVar("Built")


def seed_all(seed: int, *names: object) -> None:
    """Seed the global generators of torch and NumPy, which layers such as dropout draw from."""
    number = stream_seed(seed, *names)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 third-party code may draw from it


def capture() -> dict[str, Any]:
    """States of the process-wide generators, including this process's accelerator."""
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    return {"torch": torch.get_rng_state(), "cuda": cuda, "numpy": np.random.get_state(legacy=True)}  # noqa: NPY002


def restore(state: Mapping[str, Any]) -> None:
    """Set the process-wide generators to ``state``."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    np.random.set_state(state["numpy"])  # noqa: NPY002


@contextmanager
def untouched() -> Iterator[None]:
    """Restore the process-wide generators after the block."""
    state = capture()
    try:
        yield
    finally:
        restore(state)


def initialised(build: Callable[[], Built], seed: int, *names: object) -> Built:
    """Build a model with initial weights that depend only on seed and names."""
    with untouched():
        seed_all(seed, "initial weights", *names)
        return build()
