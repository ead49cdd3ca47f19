"""The equilibrium study's task for the training loop.

Run parameters read here: ``seed``; ``model`` (sizes, see BlockShape; the vocabulary is that of the text);
``rule`` (ep, implicit or bptt); ``solver``; ``nudged_solver`` (that of the free phase where missing);
``estimator``; ``free`` and ``nudged`` (evaluations, tolerance); ``regularisers``; ``gate``; ``caps`` (largest
norm of a matrix in units of its first); ``training.batch``; ``evaluation`` (see
:class:`specseq.equilibrium.evaluation.Evaluation`). Input: ``text``, a prepared corpus.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specseq.equilibrium.block import BlockShape, EquilibriumBlock
from specseq.equilibrium.controllers import NormCaps
from specseq.equilibrium.evaluation import Evaluation
from specseq.equilibrium.text.store import Corpus
from specseq.equilibrium.text.tokenise import Tokens
from specseq.equilibrium.trainer import AfterStep, Trainer
from specseq.errors import InputError
from specseq.seeding import generator, stream_seed
from specseq.training.task import Task


class Windows:
    """Endless batches of text windows drawn uniformly: ``{"tokens": [B, T], "targets": [B, T]}``."""

    def __init__(self, tokens: Tokens, length: int, batch: int, seed: int) -> None:
        """
        Args:
            tokens: the text.
            length: T; a target is the token after.
            batch: B.
            seed: of the draws.
        """
        if len(tokens) <= length:
            raise InputError("text", f"{len(tokens)} tokens hold no window of {length}", "use a longer text")
        self.tokens, self.length, self.batch = tokens, length, batch
        self.rng = generator(seed, "windows")

    def __next__(self) -> dict[str, Tensor]:
        return windows(
            self.tokens, self.rng.integers(0, len(self.tokens) - self.length, self.batch), self.length
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


def windows(tokens: Tokens, starts: np.ndarray, length: int) -> dict[str, Tensor]:
    """The windows that begin at ``starts``, each with the tokens that follow its own."""
    cut = torch.from_numpy(tokens[starts[:, None] + np.arange(length + 1)].astype(np.int64))
    return {"tokens": cut[:, :-1].contiguous(), "targets": cut[:, 1:].contiguous()}


def held_out(tokens: Tokens, count: int, length: int) -> dict[str, Tensor]:
    """``count`` windows spread evenly over a text, the same for every run."""
    if len(tokens) <= length:
        raise InputError(
            "text", f"{len(tokens)} held-out tokens hold no window of {length}", "use a longer text"
        )
    return windows(tokens, np.linspace(0, len(tokens) - length - 1, count).astype(np.int64), length)


def new_block(params: Mapping[str, Any], vocabulary: int) -> EquilibriumBlock:
    """A block as a run begins it."""
    shape = BlockShape.read({**params.get("model", {}), "vocabulary": vocabulary})
    draw = torch.Generator().manual_seed(stream_seed(int(params.get("seed", 0)), "weights"))
    return EquilibriumBlock(shape, draw)


def build(params: dict[str, Any], inputs: dict[str, Path]) -> Task:
    """The task of a run.

    Args:
        params: see the module.
        inputs: ``text``, folder or manifest of a prepared corpus.
    """
    if "text" not in inputs:
        raise InputError("inputs.text", "missing", "give the folder of a prepared text")
    corpus, seed = Corpus.open(inputs["text"]), int(params.get("seed", 0))
    block = new_block(params, corpus.vocabulary)
    trainer = Trainer.read(params, stream_seed(seed, "directions"))
    length, batch = block.shape.length, int(params.get("training", {}).get("batch", 16))
    after = AfterStep(NormCaps(block, float(params["caps"])) if params.get("caps") is not None else None)
    state: dict[str, Any] = {"directions": trainer.directions}
    state |= {f"weight_{penalty.name}": penalty.weight for penalty in trainer.penalties}
    if after.caps is not None:
        state["caps"] = after.caps
    evaluation = Evaluation.read(params.get("evaluation", {}), trainer)
    valid = held_out(corpus.valid, evaluation.windows, length)
    return Task(
        model=block,
        batches=Windows(corpus.train, length, batch, seed),
        **({"loss": trainer.loss} if trainer.backpropagates else {"gradients": trainer.gradients}),
        evaluate=lambda model: evaluation(model, valid),  # type: ignore[arg-type]
        after_step=after,
        state=state,
    )
