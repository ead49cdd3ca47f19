"""A run's work, wherever it is done: one process at a time, acting on signals, recording how it ended."""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from specseq.errors import InputError
from specseq.launch import slurm
from specseq.launch.files import locked, write_json
from specseq.launch.training import TrainingRun
from specseq.training.interrupt import Interrupted, Requests

if TYPE_CHECKING:
    from specseq.training.parallel import World

OUTCOME, JOB_LOCK = "outcome.json", "job.lock"


def perform(work: TrainingRun, folder: Path, digest: str, requests: Requests, world: "World") -> None:
    """Do the work and write what came of it to ``outcome.json`` in the run's folder.

    Waits for any other process that works on the same run, here or elsewhere.
    """

    def report(state: str, **content: Any) -> None:
        if world.leads:
            record = {"state": state, "digest": digest, "finished": time.time(), **content}
            write_json(folder / OUTCOME, record)

    def waiting() -> None:
        if requests.leave:
            raise Interrupted("left while another process of this run was still at work")

    with locked(folder / JOB_LOCK, waiting) if world.leads else nullcontext():
        if world.leads:
            (folder / OUTCOME).unlink(missing_ok=True)
        try:
            report("done", result=dict(work(digest, requests, world)))
        except Interrupted as interrupted:
            report("interrupted", error=str(interrupted))
            raise
        except InputError as error:
            report("failed", error=str(error), input_error=True)
            raise
        except Exception as error:
            report("failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
            raise


def perform_here(work: TrainingRun, folder: Path, digest: str) -> None:
    """Do the work in this process.

    On SIGINT, SIGTERM and SIGHUP it saves a checkpoint and the process exits; a second signal does not wait
    for the step to end. Work that leaves by itself is begun again.
    """
    from specseq.training.parallel import World

    while True:
        requests = Requests()
        with _leaving_on_signals(requests) as received:
            try:
                perform(work, folder, digest, requests, World())
                return
            except Interrupted as interrupted:
                print(f"{interrupted}; the next start resumes from there", flush=True)
                if received:
                    sys.exit(128 + received[0])


@contextmanager
def _leaving_on_signals(requests: Requests) -> Iterator[list[int]]:
    received: list[int] = []

    def on_signal(signum: int, frame: FrameType | None) -> None:
        received.append(signum)
        if requests.leave or not requests.watched:
            sys.exit(128 + signum)
        requests.ask_to_leave()

    # Signals that the caller ignored, as nohup does, stay ignored.
    signums = [
        signum
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(signum) is not signal.SIG_IGN
    ]
    with handling(signums, on_signal):
        yield received


@contextmanager
def handling(
    signums: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """A block within which a handler has these signals."""
    before = {signum: signal.signal(signum, handler) for signum in signums}
    try:
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)


@dataclass(frozen=True)
class SlurmJob:
    """The work as submitit carries it to SLURM; each process of the job calls it.

    Attributes:
        folder: the run's folder, on a file system that launcher and job share.
    """

    work: TrainingRun
    folder: Path
    digest: str

    def __call__(self) -> None:
        """Do the work; where SLURM asked it to leave, have the job queued again."""
        requests = Requests()
        _handle_slurm_signals(requests)
        world = _world()
        try:
            perform(self.work, self.folder, self.digest, requests, world)
        except Interrupted as interrupted:
            print(interrupted, flush=True)
            # The other processes end by themselves; srun waits for the first.
            if world.leads and (refusal := slurm.requeue(os.environ["SLURM_JOB_ID"])):
                # SLURM queues a preempted job by itself. Otherwise the launcher submits the run again.
                print(f"not requeued: {refusal}", flush=True)


def _world() -> "World":
    """The processes of this job, as SLURM counts them."""
    import submitit

    from specseq.training.parallel import World

    job = submitit.JobEnvironment()
    # All processes must agree on a port that other jobs of the node are unlikely to use.
    port = 20000 + int(os.environ["SLURM_JOB_ID"]) % 40000
    return World(job.global_rank, job.num_tasks, job.local_rank, f"{job.hostnames[0]}:{port}")


def _handle_slurm_signals(requests: Requests) -> None:
    """Let SLURM's signals set requests, instead of submitit's handlers, which act in the middle of a step.

    SIGUSR2 comes before the time limit and asks to leave. SIGTERM comes some seconds before the end, on
    preemption and cancellation, and asks for a checkpoint: SLURM decides whether the job is queued again.
    """

    def on_usr2(signum: int, frame: FrameType | None) -> None:
        requests.ask_to_leave()

    def on_termination(signum: int, frame: FrameType | None) -> None:
        requests.save = True

    signal.signal(signal.SIGUSR2, on_usr2)
    signal.signal(signal.SIGTERM, on_termination)
