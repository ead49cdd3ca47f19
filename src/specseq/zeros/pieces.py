"""Blocks computed by several processes, in pieces on disk that allow an interrupted computation to resume."""

import json
import multiprocessing
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from threadpoolctl import threadpool_limits

from specseq.sources import source_digest
from specseq.tables.files import atomic_path, write_text
from specseq.zeros.blocks import Block, Stretch, find

BLOCKS_A_CHUNK = 32
_NUMBERS = ("t0", "first", "mean_s", "bound", "pairs")


def open_parts(parts: Path, start: float) -> None:
    """Make the folder of pieces; empty it if its pieces start elsewhere or were made by other code."""
    key = json.dumps([start, source_digest("zeros/pieces.py")])
    mark = parts / "plan.json"
    if parts.exists() and not (mark.exists() and mark.read_text() == key):
        shutil.rmtree(parts)
    write_text(mark, key)


def computed(parts: Path, stretches: Iterator[Stretch], workers: int) -> Iterator[list[Block]]:
    """Blocks in order, computed ahead by ``workers`` processes and read back from their pieces."""
    tasks = enumerate(iter(lambda: list(islice(stretches, BLOCKS_A_CHUNK)), []))
    if workers == 1:
        for number, chunk in tasks:
            yield _load(_piece(parts, number, chunk))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        ahead: deque[Future[Path]] = deque()
        for number, chunk in tasks:
            ahead.append(pool.submit(_piece, parts, number, chunk))
            if len(ahead) > 2 * workers:
                yield _load(ahead.popleft().result())
        while ahead:
            yield _load(ahead.popleft().result())


def _one_thread() -> None:
    """Keep a worker's linear algebra on its own core."""
    threadpool_limits(1)


def _piece(parts: Path, number: int, chunk: list[Stretch]) -> Path:
    """Compute a piece unless it exists and is readable; returns its path."""
    path = parts / f"{number:07d}.npz"
    if path.exists():
        try:
            if len(_load(path)) == len(chunk):
                return path
        except (BadZipFile, OSError, ValueError, KeyError, EOFError):
            path.unlink()
    blocks = [find(stretch) for stretch in chunk]
    fields = {name: np.array([getattr(block, name) for block in blocks]) for name in _NUMBERS}
    fields["size"] = np.array([len(block.delta) for block in blocks])
    fields["delta"] = np.concatenate([block.delta for block in blocks])
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, allow_pickle=False, **fields)
    return path


def _load(path: Path) -> list[Block]:
    with np.load(path, allow_pickle=False) as fields:
        ends = np.cumsum(fields["size"])
        deltas = np.split(fields["delta"], ends[:-1])
        if int(ends[-1]) != len(fields["delta"]):
            raise ValueError("sizes and zeros disagree")
        rows = zip(*(fields[name].tolist() for name in _NUMBERS), strict=True)
        return [
            Block(delta=delta, **dict(zip(_NUMBERS, row, strict=True)))
            for delta, row in zip(deltas, rows, strict=True)
        ]
