"""Batches made by several processes, identical to those of a single process and in the same order."""

import signal
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from specseq.series.stream import skip_batch
from specseq.training.task import BatchStream

_AHEAD = 2
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)


class Loaders:
    """A stream whose batches are made by forked processes in turn.

    Each process follows the whole stream, makes every n-th batch and skips the others, so that neither
    batches nor states depend on the number of processes. Useful only for streams that can ``skip``.
    """

    def __init__(self, stream: BatchStream, processes: int) -> None:
        """
        Args:
            stream: the stream; only the processes read it.
            processes: number of processes, at least 1.
        """
        self._stream, self._processes = stream, processes
        self._state = stream.state_dict()
        self._batches: Iterator[tuple[Any, dict[str, Any] | None]] | None = None

    def __next__(self) -> Any:
        """The next batch; an error in a process is raised here."""
        if self._batches is None:
            self._batches = iter(
                DataLoader(
                    _InTurn(self._stream),
                    batch_size=None,
                    num_workers=self._processes,
                    collate_fn=_same,
                    worker_init_fn=_heed_no_signals,
                    multiprocessing_context="fork",
                    prefetch_factor=_AHEAD,
                    # Without its own generator it would draw from the training's.
                    generator=torch.Generator(),
                )
            )
        batch, state = next(self._batches)
        if state is None:
            self.close()
            raise batch
        self._state = state
        return batch

    def close(self) -> None:
        """End the processes; finished batches are dropped and will be made again."""
        self._batches = None
        self._stream.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """The state after the last batch that was handed out."""
        return self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self._batches = None
        self._stream.load_state_dict(state)
        self._state = self._stream.state_dict()


class _InTurn(IterableDataset[Any]):
    """In process i of n: batches i, i + n, i + 2n, ... of a stream, each with the state after it."""

    def __init__(self, stream: BatchStream) -> None:
        self.stream = stream

    def __iter__(self) -> Iterator[tuple[Any, dict[str, Any] | None]]:
        process = get_worker_info()
        assert process is not None
        try:
            for _ in range(process.id):
                skip_batch(self.stream)
            while True:
                yield next(self.stream), self.stream.state_dict()
                for _ in range(process.num_workers - 1):
                    skip_batch(self.stream)
        except Exception as error:
            yield error, None


def _same(batch: Any) -> Any:
    return batch


def _heed_no_signals(number: int) -> None:
    """Leave signals to the training process, which saves its state first and then ends the others."""
    for signum in _SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
