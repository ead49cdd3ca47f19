"""Prepare the next batches in a thread while the current one is in use."""

import queue
import threading
from collections.abc import Mapping
from typing import Any

from specseq.training.task import BatchStream


class Prefetched:
    """A stream that runs a few batches ahead of its reader; its state is the reader's position.

    Useful if a step leaves the interpreter idle, as on a GPU; on a CPU that computes the step itself nothing
    is gained. The wrapped stream belongs to the thread: do not read from it.
    """

    def __init__(self, stream: BatchStream, depth: int = 2) -> None:
        """
        Args:
            stream: the stream to run ahead.
            depth: largest number of prepared batches, at least 1.
        """
        if depth < 1:
            raise ValueError(f"depth must be at least 1, found {depth}")
        self._stream, self._depth = stream, depth
        self._state = stream.state_dict()
        self._thread: threading.Thread | None = None

    def __iter__(self) -> "Prefetched":
        return self

    def __next__(self) -> Any:
        """The next batch; an error in the thread is raised here."""
        if self._thread is None:
            self._ready: queue.Queue[tuple[Any, dict[str, Any] | None]] = queue.Queue(self._depth)
            self._stop = threading.Event()
            self._thread = threading.Thread(target=self._run, args=(self._ready, self._stop), daemon=True)
            self._thread.start()
        batch, state = self._ready.get()
        if state is None:
            self.close()
            raise batch
        self._state = state
        return batch

    def _run(self, ready: queue.Queue[tuple[Any, dict[str, Any] | None]], stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                item = (next(self._stream), self._stream.state_dict())
            except Exception as error:
                item = (error, None)  # type: ignore[assignment]
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if item[1] is None:
                return

    def close(self) -> None:
        """Stop the thread; prepared batches are dropped and will be drawn again."""
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
            self._stream.load_state_dict(self._state)

    def state_dict(self) -> dict[str, Any]:
        """The state after the last batch that was handed out."""
        return self._state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state``."""
        self.close()
        self._stream.load_state_dict(state)
        self._state = self._stream.state_dict()
