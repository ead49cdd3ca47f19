"""Requests from outside a running loop: save now, or save and leave."""


class Interrupted(Exception):
    """The loop saved its state and left before the end, as it was asked to."""


class Requests:
    """Set by a signal handler, heeded by the loop at the end of its step.

    Attributes:
        save: write a checkpoint and go on.
        leave: write a checkpoint and raise :class:`Interrupted`.
    """

    def __init__(self) -> None:
        self.save = False
        self.leave = False
