"""The training task of the equilibrium study."""

from pathlib import Path
from typing import Any

import torch

from specseq.equilibrium.block import EquilibriumBlock
from specseq.equilibrium.checkpoint import block_of
from specseq.equilibrium.config import EquilibriumRun
from specseq.equilibrium.controllers import NormCaps
from specseq.equilibrium.evaluation import evaluate
from specseq.equilibrium.imports import import_block
from specseq.equilibrium.text.store import Corpus
from specseq.equilibrium.text.windows import Windows, held_out, ngram_losses
from specseq.equilibrium.trainer import Trainer
from specseq.errors import InputError
from specseq.seeding import stream_seed
from specseq.settings import plain, read
from specseq.training.initial import check_same, start_of
from specseq.training.task import Task


def build(params: dict[str, Any], inputs: dict[str, Path]) -> Task:
    """The task of a run on a prepared text, the input ``text``.

    Raises:
        InputError: wrong parameters, no text, or one that is too short.
    """
    run = read(EquilibriumRun, params, "run")
    if "text" not in inputs:
        raise InputError("inputs.text", "missing", "give the folder of a prepared text")
    corpus = Corpus.open(inputs["text"])
    weights = torch.Generator().manual_seed(stream_seed(run.seed, "weights"))
    block = EquilibriumBlock(run.model, corpus.vocabulary, weights)
    start = start_of(params, inputs, lambda source: import_block(Path(source)))
    if start is not None and start.diverged is None:
        theirs, _ = block_of(start.tensors, start.params, start.where)
        sizes = {**plain(run.model), "vocabulary": corpus.vocabulary}
        check_same(start, {**plain(theirs.shape), "vocabulary": theirs.vocabulary}, sizes, ("residual_gain",))
        block.load_state_dict(theirs.state_dict())
    trainer = Trainer(run, stream_seed(run.seed, "directions"))
    caps = NormCaps(block, run.caps) if run.caps is not None else None
    valid = held_out(corpus.valid, run.evaluation.windows, run.model.length)
    references = ngram_losses(corpus.train, corpus.vocabulary, valid)
    return Task(
        model=block,
        batches=Windows(corpus.train, run.model.length, run.training.batch, run.seed),
        **({"loss": trainer.loss} if trainer.backpropagates else {"gradients": trainer.gradients}),
        observe=trainer.observe,
        evaluate=lambda model: evaluate(run.evaluation, trainer, model, valid) | references,  # type: ignore[arg-type]
        after_step=None if caps is None else caps.after_step,
        diverged=start.diverged if start else None,
        state={"trainer": trainer} | ({} if caps is None else {"caps": caps}),
    )
