"""Copy the values of packed crops into the arrays of a batch.

Shapes: B rows, L tokens per row, P points per token slot, S crops, V variate runs, N tokens of all runs.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from specseq.series.crops import Crops
from specseq.series.store import Store


def collate(
    store: Store, crops: Crops, row: NDArray[np.int64], rows: int, length: int, slot: int
) -> dict[str, Any]:
    """Build the arrays of a batch.

    Args:
        crops: the samples, sorted by row and by their order within the row.
        row: ``[S]``, the row of each crop.
        rows: B.
        length: L; the crops of a row fill it from the left.
        slot: P.

    Returns:
        The array fields of :class:`~specseq.series.batch.PackedBatch`; ``samples`` and ``variates`` as
        ``int64 [S, 3]`` and ``[V, 3]`` of (row, start, length).
    """
    size_S = crops.size
    ends_S = np.cumsum(size_S)
    first_S = np.searchsorted(row, row, side="left")
    start_S = ends_S - size_S - (ends_S - size_S)[first_S]
    number_S = np.arange(len(crops)) - first_S + 1

    crop_V, tokens_V = crops.crop, crops.run_tokens
    # Number of tokens in all variates before each one, and in those of its own crop.
    before_V = np.cumsum(tokens_V) - tokens_V
    within_V = before_V - before_V[crops.first_variate[crop_V]]
    begin_V = row[crop_V] * length + start_S[crop_V] + within_V

    run_N = np.repeat(np.arange(len(crop_V)), tokens_V)
    time_N = np.arange(len(run_N)) - before_V[run_N]
    place_N = begin_V[run_N] + time_N
    crop_N = crop_V[run_N]

    def spread(values_N: NDArray[Any]) -> NDArray[Any]:
        out = np.zeros(rows * length, values_N.dtype)
        out[place_N] = values_N
        return out.reshape(rows, length)

    target, observed = _values(store, crops, begin_V, rows * length, slot)
    return {
        "target": target.reshape(rows, length, slot),
        "observed": observed.reshape(rows, length, slot),
        "sample_id": spread(number_S[crop_N]),
        "time_id": spread(time_N),
        "variate_id": spread(crops.variate_id[run_N]),
        "patch_size": spread(crops.patch[crop_N]),
        "prediction_mask": spread(time_N >= (crops.tokens - crops.predicted)[crop_N]),
        "loss_mask": spread(crops.in_loss[crop_N]),
        "samples": np.stack([row, start_S, size_S], axis=1),
        "variates": np.stack([row[crop_V], begin_V % length, tokens_V], axis=1),
    }


def _values(
    store: Store, crops: Crops, begin_V: NDArray[np.int64], places: int, slot: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    target = np.zeros((places, slot), np.float32)
    observed = np.zeros((places, slot), np.bool_)
    crop_V, tokens_V, series_V = crops.crop, crops.run_tokens, crops.source
    patch_V, start_V = crops.patch[crop_V], crops.start[crop_V]
    file_V, offset_V, complete_V = store.file[series_V], store.offset[series_V], store.complete[series_V]
    if store.past is not None:
        past, past_V = store.past, crops.past
        file_V = np.where(past_V, past.file[series_V], file_V)
        offset_V = np.where(past_V, past.offset[series_V], offset_V)
        complete_V = np.where(past_V, past.complete[series_V], complete_V)
    source_V = offset_V + crops.variate * store.length[series_V] + start_V
    files = store.values
    runs = zip(
        file_V.tolist(),
        source_V.tolist(),
        begin_V.tolist(),
        tokens_V.tolist(),
        patch_V.tolist(),
        complete_V.tolist(),
        start_V.tolist(),
        strict=True,
    )
    for file, source, begin, tokens, patch, complete, start in runs:
        block = target[begin : begin + tokens, :patch]
        mask = observed[begin : begin + tokens, :patch]
        if start < 0:
            values = np.full(tokens * patch, np.nan, np.float32)
            values[-start:] = files[file][source - start : source + tokens * patch]
        else:
            values = files[file][source : source + tokens * patch]
        values = values.reshape(tokens, patch)
        if complete and start >= 0:
            block[...] = values
            mask[...] = True
        else:
            np.equal(values, values, out=mask)
            np.copyto(block, values, where=mask)
    return target, observed
