"""What travels to where the work is done: a function, its folder, and how it heeds the cluster's signals."""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import submitit
from submitit.core.utils import DelayedSubmission

from specseq.errors import InputError
from specseq.launch.files import locked, write_json
from specseq.training.interrupt import Interrupted, Requests

OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Carried:
    """A function as a job that submitit can checkpoint and requeue.

    The function gets :class:`~specseq.training.interrupt.Requests` and returns plain values; what it came to
    stands in ``outcome.json`` of the folder, so that nobody has to unpickle a result. It is run by one job at
    a time: another job of the same folder waits for this one to end.

    Attributes:
        function: an importable function or object; not from ``__main__``.
        folder: the run's job folder, on a file system that launcher and job share.
        digest: of the function's parameters; part of the outcome.
    """

    function: Callable[[Requests], Mapping[str, Any]]
    folder: Path
    digest: str

    def checkpoint(self) -> DelayedSubmission:
        """What submitit queues again: the same function, which goes on from its own checkpoints."""
        return DelayedSubmission(self)

    def __call__(self) -> None:
        tolerate_failing_requeue()
        requests = Requests()
        leave = _heed_signals(requests)
        leads = _join_processes()

        def report(state: str, **content: Any) -> None:
            if leads:
                record = {"state": state, "digest": self.digest, "finished": time.time(), **content}
                write_json(self.folder / OUTCOME, record)

        def waiting() -> None:
            if requests.leave:
                raise Interrupted("left while another job of this run was still at work")

        try:
            if leads:
                with locked(self.folder / "job.lock", waiting):
                    report("done", result=dict(self.function(requests)))
            else:
                self.function(requests)
        except Interrupted as interrupted:
            print(interrupted, flush=True)
            leave()
        except InputError as error:
            report("failed", error=str(error), input_error=True)
            raise
        except Exception as error:
            report("failed", error=f"{type(error).__name__}: {error}", traceback=traceback.format_exc())
            raise


def _heed_signals(requests: Requests) -> Callable[[], None]:
    """Let signals set requests; returns what is to be called once the state is saved.

    submitit's own handler, which queues the job again and exits, would run in the middle of a step. It is put
    off until the function has left of its own accord. A SIGTERM only asks for a checkpoint: on preemption it
    comes some seconds before the end, and whether SLURM queues the job again is SLURM's business.
    """
    if os.environ.get("SUBMITIT_EXECUTOR") is None and "SLURM_JOB_ID" not in os.environ:
        return lambda: None
    preempt = getattr(signal, f"SIG{os.environ.get('SUBMITIT_PREEMPT_SIGNAL', 'USR2')}")
    requeue = signal.getsignal(preempt)

    def on_preemption(signum: int, frame: FrameType | None) -> None:
        requests.leave = True

    def on_termination(signum: int, frame: FrameType | None) -> None:
        requests.save = True

    signal.signal(preempt, on_preemption)
    signal.signal(signal.SIGTERM, on_termination)

    def leave() -> None:
        if callable(requeue):
            requeue(preempt, None)
        # Processes other than the first come back from the handler and wait for the job to end.
        time.sleep(600)
        sys.exit(1)

    return leave


def _join_processes() -> bool:
    """Export the addresses of a job of several processes for torch; whether this one is the first."""
    if "SUBMITIT_EXECUTOR" not in os.environ and "SLURM_JOB_ID" not in os.environ:
        return True
    environment = submitit.JobEnvironment()
    if environment.num_tasks > 1:
        # Which accelerators are the job's own is for SLURM to say, not for submitit.
        submitit.helpers.TorchDistributedEnvironment().export(set_cuda_visible_devices=False)
    return environment.global_rank == 0


def tolerate_failing_requeue() -> None:
    """Let SLURM's own requeue win where it came first.

    On preemption without grace SLURM requeues the job itself, and then refuses submitit's request to do so;
    that refusal must not fail the job.
    """
    from submitit.slurm.slurm import SlurmJobEnvironment

    original = SlurmJobEnvironment._requeue
    if getattr(original, "tolerant", False):
        return

    def requeue(self: SlurmJobEnvironment, countdown: int) -> None:
        try:
            original(self, countdown)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            print(f"requeue left to SLURM: {error}", flush=True)

    requeue.tolerant = True  # type: ignore[attr-defined]
    SlurmJobEnvironment._requeue = requeue  # type: ignore[method-assign]
