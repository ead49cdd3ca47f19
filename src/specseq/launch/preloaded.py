"""Stages in forks of one process that has imported torch: its import takes longer than most stages' work.

The workflow starts the process; it imports at the first request and never computes, because a fork keeps only
one thread. A stage in a fork has the caller's files, folder, environment and signals, and its exit status
becomes the caller's. If no such process serves, the caller does the work itself.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

ADDRESS = "SPECSEQ_PRELOADED"
# Read when libraries are imported: a fork has the values of the process that imported them.
DECISIVE = ("PYTHONPATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# What stages have in common and takes long to import; none of them starts a thread or computes.
MODULES = (
    "torch",
    "torch.utils.tensorboard",
    "pandas",
    "pyarrow.parquet",
    "scipy.linalg",
    "scipy.signal",
    "scipy.sparse.linalg",
    "scipy.special",
    "specseq.launch.launcher",
    "specseq.scoring.score",
    "specseq.stages.request",
    "specseq.studies",
    "specseq.tables",
    "specseq.training.checkpoint",
    "specseq.training.loop",
)
HEADER, STATUS = struct.Struct("!I"), struct.Struct("!i")


def start(log: Path, environment: Mapping[str, str], modules: Sequence[str] = MODULES) -> str | None:
    """Start the process; returns the address at which it serves, or None if the system does not support it.

    Once this process has ended, it ends with its last fork.

    Args:
        log: what it says of failures.
        environment: of the stages, as far as it matters to imports.
    """
    if not hasattr(os, "pidfd_open"):
        return None
    folder = Path(tempfile.mkdtemp(prefix="specseq-"))
    address = folder / "socket"
    log.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, log.open("w") as errors:
        listener.bind(os.fspath(address))
        listener.listen(128)
        # Its standard input ends when this process does.
        subprocess.Popen(
            [sys.executable, "-m", "specseq.launch.forks", str(listener.fileno()), str(folder), *modules],
            stdin=subprocess.PIPE,
            stdout=errors,
            stderr=errors,
            pass_fds=[listener.fileno()],
            # Arrow's allocator has a thread otherwise.
            env={**os.environ, **environment, "JE_ARROW_MALLOC_CONF": "background_thread:false"},
            start_new_session=True,
        )
    return os.fspath(address)


def run(module: str, arguments: Sequence[str]) -> int | None:
    """Run a module as a script in a fork; returns its exit status, None where no process serves this one.

    Signals to this process are passed on. If it is killed, the fork is, too.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        before = signal.getsignal(signal.SIGINT)
        if before is signal.default_int_handler:
            # Until there is a fork, an interrupt simply ends this process.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        child = _ask(connection, module, arguments)
        if child is None:
            signal.signal(signal.SIGINT, before)
            return None

        def pass_on(signum: int, frame: FrameType | None) -> None:
            connection.send(bytes([signum]))

        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, pass_on)
        answer = _received(connection, STATUS.size)
        if answer is not None:
            (status,) = STATUS.unpack(answer)
            # As shells report a process that a signal ended.
            return status if status >= 0 else 128 - status
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    print("error: the preloaded process has ended - run snakemake again", file=sys.stderr)
    return 1


def _ask(connection: socket.socket, module: str, arguments: Sequence[str]) -> int | None:
    """The id of the process that does the work, or None if there is none."""
    address = os.environ.get(ADDRESS)
    if not address:
        return None
    content = {
        "module": module,
        "arguments": list(arguments),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "ignored": [
            signum
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(signum) is signal.SIG_IGN
        ],
    }
    text = json.dumps(content).encode()
    try:
        connection.connect(address)
        socket.send_fds(connection, [HEADER.pack(len(text))], [0, 1, 2])
        connection.sendall(text)
        answer = _received(connection, HEADER.size)
    except OSError:
        return None
    return None if answer is None else int(HEADER.unpack(answer)[0])


def _received(connection: socket.socket, size: int) -> bytes | None:
    """Exactly ``size`` bytes, or None if the other side ends first."""
    try:
        content = connection.recv(size, socket.MSG_WAITALL)
    except ConnectionResetError:
        return None
    return content if len(content) == size else None
