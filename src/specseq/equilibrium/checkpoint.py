"""A trained block from its weights file alone, and the texts to audit it on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specseq.equilibrium.block import EquilibriumBlock, matrices, offsets
from specseq.equilibrium.config import EquilibriumRun
from specseq.equilibrium.text.store import Corpus
from specseq.errors import InputError
from specseq.settings import read
from specseq.training.checkpoint import load_weights
from specseq.training.foreign import WEIGHTS


def load_block(path: str | os.PathLike[str]) -> tuple[EquilibriumBlock, EquilibriumRun]:
    """Rebuild a block.

    Returns:
        The block, and the settings of its run.

    Raises:
        InputError: the file holds no equilibrium block, or its weights are not finite or do not have the
            shapes that their parameters state.
    """
    path = weights_file(path)
    return block_of(*load_weights(path), path)


def weights_file(path: str | os.PathLike[str]) -> Path:
    """The weights file of a checkpoint, which may be named by its folder."""
    return Path(path) / WEIGHTS if Path(path).is_dir() else Path(path)


def block_of(
    tensors: Mapping[str, Tensor], params: Mapping[str, Any], path: object
) -> tuple[EquilibriumBlock, EquilibriumRun]:
    """The block with these weights, and the settings of its run.

    Raises:
        InputError: as :func:`load_block`.
    """
    known = isinstance(params, dict) and params.get("study", "equilibrium") == "equilibrium"
    if not known or tensors.get("token", torch.empty(0)).ndim != 2:
        raise InputError(path, "holds no equilibrium block", "give weights of a run of that study")
    run, vocabulary = read(EquilibriumRun, params, f"{path}: run"), len(tensors["token"])
    # Sizes are compared before anything is allocated at the size that the parameters claim.
    expected: dict[str, tuple[int, ...]] = {
        name: size[:2] for name, size in matrices(run.model, vocabulary).items()
    }
    if run.model.offsets:
        expected |= {name: (size,) for name, size in offsets(run.model).items()}
    for name, size in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else None
        if found != size:
            fault = f"{name} is {found or 'missing'}, its parameters say {size}"
            raise InputError(path, fault, "the file and its parameters do not match")
    if extra := sorted(set(tensors) - set(expected)):
        raise InputError(path, f"unknown weights {extra[0]}", "give weights of an equilibrium block")
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise InputError(path, f"{name} holds {tensor.dtype}", "give weights in floating point")
        if not bool(torch.isfinite(tensor).all()):
            raise InputError(path, f"{name} holds values that are not finite", "audit an earlier checkpoint")
    block = EquilibriumBlock(run.model, vocabulary, torch.Generator().manual_seed(0))
    block.load_state_dict(dict(tensors))
    return block.requires_grad_(False), run


def audit_texts(block: EquilibriumBlock, samples: int, text: Path | None, seed: int = 0) -> Tensor:
    """Token rows to audit a block on.

    Args:
        text: a prepared corpus, whose held-out windows are used; if None, random symbols.

    Raises:
        InputError: the vocabularies of corpus and block differ.
    """
    length, vocabulary = block.shape.length, block.vocabulary
    if samples < 1:
        raise InputError("samples", f"{samples} is not a positive number")
    if text is None:
        draw = torch.Generator().manual_seed(seed)
        return torch.randint(0, vocabulary, (samples, length), generator=draw)
    corpus = Corpus.open(text)
    if corpus.vocabulary != vocabulary:
        fault = f"has {corpus.vocabulary} symbols, the block {vocabulary}"
        raise InputError(text, fault, "give the text of its training")
    if len(corpus.valid) < length:
        raise InputError(text, f"{len(corpus.valid)} held-out tokens are less than a window of {length}")
    starts = np.linspace(0, len(corpus.valid) - length, samples).astype(np.int64)
    rows = corpus.valid[starts[:, None] + np.arange(length)].astype(np.int64)
    return torch.from_numpy(rows)
