"""External requests to a running loop: save now, or save and leave."""

from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(Exception):
    """The loop saved its state and left before the end, as requested."""


class Requests:
    """Requests set by signal handlers and acted on by the loop at the end of each step.

    Attributes:
        save: write a checkpoint and continue.
        leave: write a checkpoint and raise :class:`Interrupted`.
        watched: whether a loop is checking the requests; before and after it there is no state to save.
    """

    def __init__(self) -> None:
        self.save = False
        self.leave = False
        self.watched = False
        self._may_stop = False

    def ask_to_leave(self) -> None:
        """Set :attr:`leave`; a block of :meth:`stopping` is left at once.

        Raises:
            Interrupted: the loop is in a block of :meth:`stopping`.
        """
        self.leave = True
        if self._may_stop:
            self._may_stop = False
            raise Interrupted

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """A long block that changes no state, in which a request to leave raises :class:`Interrupted`.

        Raises:
            Interrupted: such a request was made before or within the block.
        """
        if self.leave:
            raise Interrupted
        self._may_stop = True
        try:
            yield
        finally:
            self._may_stop = False
