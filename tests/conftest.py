"""Set-up that all tests share."""

import os
import signal

import pytest

# Tests run side by side, and small problems lose time to more threads.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# A shell's job in the background ignores Ctrl-C, one under nohup the end of its terminal, and so would what
# tests start, signal and wait for.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What rests on a finished workflow goes first, where it is made, and on SLURM last, when it is there."""
    last = config.option.markexpr == "slurm"
    items.sort(key=lambda item: ("finished" in getattr(item, "fixturenames", ())) == last)
