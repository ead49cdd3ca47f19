"""A stream to read ahead of."""

from collections.abc import Mapping
from typing import Any


class Count:
    """Counts up, without a way to skip; fails at ``bad``."""

    def __init__(self, bad: int = -1) -> None:
        self.number, self.bad = 0, bad

    def __next__(self) -> int:
        if self.number == self.bad:
            raise OSError("shard gone")
        self.number += 1
        return self.number - 1

    def state_dict(self) -> dict[str, Any]:
        return {"number": self.number}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.number = state["number"]
