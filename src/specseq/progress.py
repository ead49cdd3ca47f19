"""Progress that a person can read on a terminal and a log file can keep: step, rate, time left."""

import sys
import time
from typing import TextIO


def clock(seconds: float) -> str:
    """``h:mm:ss``, or ``-:--:--`` where the duration is not known."""
    if not 0 <= seconds < 1e8:
        return "-:--:--"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def say_left_out(text: str) -> None:
    """Say on standard error what of the user's data or results is not used."""
    print(f"left out: {text}", file=sys.stderr, flush=True)


class Progress:
    """Prints ``<time> step 12/300 eta 0:01:30 loss 0.51`` lines, at most one every five seconds.

    The format is fixed, with local time as in 2026-11-29T18:50:12+0100: ``specseq status`` reads time, step
    and time left back from it.
    """

    def __init__(self, total: int, label: str = "step", done: int = 0, out: TextIO | None = None) -> None:
        self.total, self.label, self.out = total, label, out or sys.stdout
        self.first, self.started = done, time.time()
        self.printed = 0.0

    def update(self, done: int, **values: float) -> None:
        """Print that ``done`` of ``total`` are done; the last line is always printed."""
        now = time.time()
        if done < self.total and now - self.printed < 5.0:
            return
        self.printed = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        eta = clock((self.total - done) / rate) if rate > 0 else clock(-1)
        tail = "".join(f" {name} {value:.4g}" for name, value in values.items())
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(now))
        print(f"{stamp} {self.label} {done}/{self.total} eta {eta}{tail}", file=self.out, flush=True)
