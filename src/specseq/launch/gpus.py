"""The GPUs of a machine without a batch system: which stage may use which of them."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from specseq.launch.files import locked

VISIBLE = "CUDA_VISIBLE_DEVICES"


class _Taken(Exception):
    """Another stage uses the GPU."""


def visible() -> list[str]:
    """Ids of the GPUs that this process may use: ``CUDA_VISIBLE_DEVICES``, or else all of the machine."""
    given = _given()
    return _asked("uuid") if given is None else given


def _given() -> list[str] | None:
    """The ids in ``CUDA_VISIBLE_DEVICES``; None where it is not set."""
    given = os.environ.get(VISIBLE)
    if given is None:
        return None
    ids = [part.strip() for part in given.split(",")]
    # As CUDA reads it: what follows an id that is none does not count.
    ends = next((place for place, part in enumerate(ids) if part in ("", "-1", "NoDevFiles")), len(ids))
    return ids[:ends]


@dataclass(frozen=True)
class Card:
    """A GPU as nvidia-smi describes it: name, compute capability and memory in GB."""

    name: str
    capability: float
    gigabytes: float


def cards() -> list[Card]:
    """Properties of the GPUs that this process may use, as far as nvidia-smi reports them."""
    given = _given()
    if given == []:
        return []
    lines = _asked("name,compute_cap,memory.total", *([f"--id={','.join(given)}"] if given else []))
    found = (re.fullmatch(r"(.+), *(\d+\.\d+), *(\d+) MiB", line) for line in lines)
    return [Card(match[1], float(match[2]), int(match[3]) * 2**20 / 1e9) for match in found if match]


def _asked(properties: str, *options: str) -> list[str]:
    """The lines by which nvidia-smi answers; none where there is no such program or no GPU."""
    command = ["nvidia-smi", f"--query-gpu={properties}", "--format=csv,noheader", *options]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return answer.stdout.splitlines() if answer.returncode == 0 else []


@contextmanager
def assigned(gpu: bool | None) -> Iterator[None]:
    """Let this process see one GPU that no other stage on this machine uses, or none.

    Must be entered before CUDA is initialised. Waits until a GPU is free; the system frees it when the
    process ends, however it ends.

    Args:
        gpu: whether it needs a GPU; None leaves what it sees to the batch system.
    """
    ids = visible() if gpu else []
    if gpu is None:
        yield
    elif ids:
        with _free(ids) as free, _seeing(free):
            yield
    else:
        with _seeing(""):
            yield


@contextmanager
def _seeing(ids: str) -> Iterator[None]:
    before = os.environ.get(VISIBLE)
    os.environ[VISIBLE] = ids
    try:
        yield
    finally:
        if before is None:
            del os.environ[VISIBLE]
        else:
            os.environ[VISIBLE] = before


@contextmanager
def _free(ids: Sequence[str]) -> Iterator[str]:
    """Hold the lock of the first GPU that is free."""

    def taken() -> None:
        raise _Taken

    folder = Path(tempfile.gettempdir(), f"specseq-gpus-{os.getuid()}")
    waiting = False
    with ExitStack() as stack:
        while True:
            for name in ids:
                with suppress(_Taken):
                    stack.enter_context(locked(folder / name.replace("/", "_"), taken))
                    yield name
                    return
            if not waiting:
                print(f"waiting for a free GPU of {len(ids)}", flush=True)
                waiting = True
            time.sleep(1)
