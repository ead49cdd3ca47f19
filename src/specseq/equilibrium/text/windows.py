"""Windows of a text: random windows for training, and fixed held-out windows that all runs share.

Shapes: B window, T position.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specseq.equilibrium.text.tokenise import Tokens
from specseq.errors import InputError
from specseq.seeding import generator


class Windows:
    """Endless batches of text windows drawn uniformly: ``{"tokens": [B, T], "targets": [B, T]}``."""

    def __init__(self, tokens: Tokens, length: int, batch: int, seed: int) -> None:
        """
        Args:
            tokens: the text.
            length: T; each target is the next token.
            batch: B.
            seed: seed of the draws.

        Raises:
            InputError: the text is shorter than a window and its last target.
        """
        _check(tokens, length, "tokens")
        self.tokens, self.length, self.batch = tokens, length, batch
        self.rng = generator(seed, "windows")

    def __next__(self) -> dict[str, Tensor]:
        starts = self.rng.integers(0, len(self.tokens) - self.length, self.batch)
        return windows(self.tokens, starts, self.length)

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


def windows(tokens: Tokens, starts: np.ndarray, length: int) -> dict[str, Tensor]:
    """The windows that begin at ``starts``, each with the next token at every position as target."""
    cut = torch.from_numpy(tokens[starts[:, None] + np.arange(length + 1)].astype(np.int64))
    return {"tokens": cut[:, :-1].contiguous(), "targets": cut[:, 1:].contiguous()}


def held_out(tokens: Tokens, count: int, length: int) -> dict[str, Tensor]:
    """``count`` windows spread evenly over a text, the same for every run.

    Raises:
        InputError: the text is shorter than a window and its last target.
    """
    _check(tokens, length, "held-out tokens")
    return windows(tokens, np.linspace(0, len(tokens) - length - 1, count).astype(np.int64), length)


def _check(tokens: Tokens, length: int, what: str) -> None:
    if len(tokens) <= length:
        raise InputError("text", f"{len(tokens)} {what} hold no window of {length}", "use a longer text")
