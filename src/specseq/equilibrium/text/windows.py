"""Windows of a text: random ones for training, fixed held-out ones that all runs share, and their references.

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

_COUNTED = 20_000_000  # training tokens that are counted


class Windows:
    """Endless batches of text windows drawn uniformly: ``{"tokens": [B, T], "targets": [B, T]}``."""

    def __init__(self, tokens: Tokens, length: int, batch: int, seed: int) -> None:
        """
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


def ngram_losses(train: Tokens, vocabulary: int, windows: Mapping[str, Tensor]) -> dict[str, float]:
    """Mean cross-entropy of the windows' targets under models counted on the training text, nats per token.

    The unigram model adds one to each count; the bigram model adds the unigram distribution to the counts
    that follow a token (MacKay & Peto 1995).

    Args:
        windows: ``tokens`` and ``targets`` of held-out windows.

    Shapes:
        windows: ``[B, T]`` each.
    """
    counted = np.asarray(train[:_COUNTED], np.int64)
    counts_V = np.bincount(counted, minlength=vocabulary)
    unigram_V = (counts_V + 1) / (len(counted) + vocabulary)
    pairs_VV = np.bincount(counted[:-1] * vocabulary + counted[1:], minlength=vocabulary**2).reshape(
        vocabulary, vocabulary
    )
    before, target = (windows[name].numpy().ravel() for name in ("tokens", "targets"))
    bigram = (pairs_VV[before, target] + unigram_V[target]) / (pairs_VV.sum(1)[before] + 1)
    return {
        "unigram_loss": float(-np.log(unigram_V[target]).mean()),
        "bigram_loss": float(-np.log(bigram).mean()),
    }
