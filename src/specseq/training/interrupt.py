"""Requests to a running loop from outside: save now, or save and leave."""

from collections.abc import Iterator
from contextlib import contextmanager


class Interrupted(Exception):
    """The loop saved its state and left before the end, as it was asked to."""


class Requests:
    """Set by signal handlers, heeded by the loop at the end of its step.

    Attributes:
        save: write a checkpoint and go on.
        leave: write a checkpoint and raise :class:`Interrupted`.
        heeded: whether a loop is looking at the requests; before and after there is no state to save.
    """

    def __init__(self) -> None:
        self.save = False
        self.leave = False
        self.heeded = False
        self._may_stop = False

    def ask_to_leave(self) -> None:
        """Set :attr:`leave`; what need not be ended is left at once.

        Raises:
            Interrupted: the loop is in a block of :meth:`stopping`.
        """
        self.leave = True
        if self._may_stop:
            self._may_stop = False
            raise Interrupted

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """A long block that changes no state: a request to leave raises :class:`Interrupted` in its midst.

        Raises:
            Interrupted: there is, or comes, such a request.
        """
        if self.leave:
            raise Interrupted
        self._may_stop = True
        try:
            yield
        finally:
            self._may_stop = False
