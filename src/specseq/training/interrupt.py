"""Requests to a running loop from outside: save now, or save and leave."""


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
