"""Several processes of one run on this machine, as the processes of a SLURM job would be."""

import multiprocessing
import socket
from pathlib import Path
from typing import Any

from specseq.launch.job import perform
from specseq.training.interrupt import Requests
from specseq.training.parallel import World


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def in_processes(work: Any, folder: Path, size: int) -> None:
    """Do the work in so many processes."""
    spawning = multiprocessing.get_context("spawn")
    address = free_address()
    processes = [
        spawning.Process(
            target=perform, args=(work, folder, work.digest(), Requests(), World(rank, size, rank, address))
        )
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0] * size
