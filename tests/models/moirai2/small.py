"""Small Moirai2 models, batches for them, and the modes of preconditioning."""

from typing import Any

import numpy as np
import torch

from specseq.models.moirai2.batch import ModelBatch, RawBatch
from specseq.models.moirai2.model import PreconditionedMoirai2
from specseq.models.moirai2.training import model_of
from specseq.series.batch import PackedBatch, Segments

MODEL = {"kind": "moirai2", "d_model": 32, "layers": 2, "heads": 2, "d_ff": 48, "patch": 4, "tokens": 24}
LYAPUNOV = {"family": "literal", "taps": [0.0, -0.2, 0.0, -0.3]}
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

NOTHING = {"family": "literal", "taps": [0.0, 0.0]}


MODES: list[dict[str, Any]] = [
    {},
    {"missing": "zero"},
    {"learnable": True},
    {"learnable": True, "l2": 50.0},
    {"fir": {"weight": 0.5, "length": 8}},
    {"learnable": True, "fir": {"weight": 0.1, "length": 8, "stride": 2}},
    {"reversal_loss": {}},
    {"reversal_loss": {"filtered": 1.0, "reversed": 0.0}},
    {"learnable": True, "reversal_loss": {}},
    {"hint": {}},
    {"hint": {"control": "zero"}},
    {"hint": {"filters": [NOTHING, {"family": "identity", "degree": 3, "stride": 4}], "dropout": 0.1}},
]


def params(**more: Any) -> dict[str, Any]:
    return {
        "study": "preconditioning",
        "seed": 1,
        "model": MODEL,
        "training": {"steps": 4, "batch": 2},
        **more,
    }


def pack(rows: list[list[int]], length: int, seed: int = 0, patch: int = 4) -> PackedBatch:
    """Random walks of the given numbers of tokens; a tenth of the points is missing."""
    draw = np.random.default_rng(seed)
    shape = (len(rows), length)
    sample, time = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    target = np.zeros((*shape, patch), np.float32)
    observed = np.zeros((*shape, patch), bool)
    runs = []
    for row, sizes in enumerate(rows):
        at = 0
        for number, size in enumerate(sizes, 1):
            sample[row, at : at + size], time[row, at : at + size] = number, np.arange(size)
            target[row, at : at + size] = 5 + draw.standard_normal(size * patch).cumsum().reshape(size, patch)
            observed[row, at : at + size] = draw.random((size, patch)) > 0.1
            runs.append((row, at, size))
            at += size
    target[~observed] = 0
    table = Segments(*torch.tensor(runs).T)
    ids = {
        "sample_id": sample,
        "time_id": time,
        "variate_id": np.zeros_like(time),
        "patch_size": patch * (sample > 0),
    }
    masks = {"prediction_mask": np.zeros(shape, bool), "loss_mask": sample > 0}
    arrays = {name: torch.from_numpy(array) for name, array in {**ids, **masks}.items()}
    return PackedBatch(
        target=torch.from_numpy(target), observed=torch.from_numpy(observed), **arrays,
        samples=table, variates=table, seed=7,
    )  # fmt: skip


def drawn(batch: PackedBatch, hidden: float = 0.3) -> RawBatch:
    draw = np.random.default_rng(5)
    shape = tuple(batch.sample_id.shape)
    shown, hints = (torch.from_numpy(draw.random(shape) >= share) for share in (hidden, 0.1))
    return RawBatch(batch, shown, hints, predicted=4)


def prepared(rows: list[list[int]] | None = None, length: int = 24, hidden: float = 0.3) -> ModelBatch:
    return drawn(pack(rows or [[9, 7, 3], [14, 2], [20]], length), hidden).prepare()


def built(**more: Any) -> PreconditionedMoirai2:
    return model_of(params(**more))
