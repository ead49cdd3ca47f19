"""Batches made ahead of their reader, by a thread or by several processes, in the same order as without."""

import queue
import signal
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from specseq.series.stream import skip_batch
from specseq.training.task import BatchStream

Item = tuple[Any, dict[str, Any] | None]
"""A batch and the state of its stream after it; or an error, and None."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


class _Ahead:
    """A stream that runs ahead of its reader; its state is the reader's position."""

    def __init__(self, stream: BatchStream) -> None:
        self._stream = stream
        self._state = stream.state_dict()
        self._items: Generator[Item] | None = None

    def _made(self) -> Generator[Item]:
        """Items in order; closing the generator stops what makes them."""
        raise NotImplementedError

    def __next__(self) -> Any:
        """The next batch; an error in making it is raised here."""
        if self._items is None:
            self._items = self._made()
        batch, state = next(self._items)
        if state is None:
            self.close()
            raise batch
        self._state = state
        return batch

    def close(self) -> None:
        """Stop making batches; those that were not handed out are dropped and will be made again."""
        self.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """The state after the last batch that was handed out."""
        return self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        if self._items is not None:
            self._items.close()
            self._items = None
        self._stream.load_state_dict(state)
        self._state = self._stream.state_dict()


class Prefetched(_Ahead):
    """A stream whose batches are made by a thread.

    Useful if a step leaves the interpreter idle, as on a GPU; on a CPU that computes the step itself nothing
    is gained. The wrapped stream belongs to the thread: do not read from it.
    """

    def __init__(self, stream: BatchStream, depth: int = 2) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, found {depth}")
        super().__init__(stream)
        self._depth = depth

    def _made(self) -> Generator[Item]:
        ready, stop = queue.Queue[Item](self._depth), threading.Event()
        thread = threading.Thread(target=self._run, args=(ready, stop), daemon=True)
        thread.start()
        try:
            while True:
                yield ready.get()
        finally:
            stop.set()
            thread.join()

    def _run(self, ready: queue.Queue[Item], stop: threading.Event) -> None:
        for item in _drawn(self._stream):
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if stop.is_set():
                return


class Loaders(_Ahead):
    """A stream whose batches are made by forked processes in turn.

    Each process follows the whole stream, makes every n-th batch and skips the others, so that neither
    batches nor states depend on the number of processes. Useful only for streams that can ``skip``.
    """

    def __init__(self, stream: BatchStream, processes: int) -> None:
        super().__init__(stream)
        self._processes = processes

    def _made(self) -> Generator[Item]:
        yield from DataLoader(
            _InTurn(self._stream),
            batch_size=None,
            num_workers=self._processes,
            collate_fn=_same,
            worker_init_fn=_ignore_signals,
            multiprocessing_context="fork",
            prefetch_factor=2,
            # Without its own generator it would draw from the training's.
            generator=torch.Generator(),
        )


class _InTurn(IterableDataset[Any]):
    """In process i of n: items i, i + n, i + 2n, ... of a stream."""

    def __init__(self, stream: BatchStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[Item]:
        process = get_worker_info()
        assert process is not None
        return _drawn(self.stream, process.id, process.num_workers - 1)


def _drawn(stream: BatchStream, first: int = 0, between: int = 0) -> Iterator[Item]:
    """Items of a stream up to the first error, after ``first`` batches and with some left out in between."""
    try:
        for _ in range(first):
            skip_batch(stream)
        while True:
            yield next(stream), stream.state_dict()
            for _ in range(between):
                skip_batch(stream)
    except Exception as error:
        yield error, None


def _same(batch: Any) -> Any:
    return batch


def _ignore_signals(number: int) -> None:
    """Leave signals to the training process, which saves its state first and then ends the others."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
