"""What a check found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        check: what was checked.
        fault: what is wrong; empty where nothing is.
        remedy: what the user can do about it.
        note: what was found where nothing is wrong.
        fatal: whether no job could ever run, so that nothing should be submitted.
    """

    check: str
    fault: str = ""
    remedy: str = ""
    note: str = ""
    fatal: bool = False
