"""Submit a job, wait for it, and find it again after whatever happened to the launcher."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from specseq.errors import InputError
from specseq.launch import processes, slurm
from specseq.launch.carried import OUTCOME, Carried
from specseq.launch.files import locked, read_json, write_json
from specseq.training.interrupt import Requests

CLUSTERS = ("local", "debug", "slurm")
TICKET, LOCK = "ticket.json", "launch.lock"
# Seconds: until a waiting launcher first asks the queue, the longest time between two questions, how long a
# job must be gone before its result is given up for lost (network file systems show new files late).
ASK_S, SELDOM_S, LATE_S = 30.0, 300.0, 30.0
# Seconds between two attempts to submit, at first and at most, and how long a silent queue is borne with.
RETRY_S, RARELY_S, SILENCE_S = 5.0, 300.0, 3600.0
# submitit ends local jobs at their time limit and counts every early preemption as a time-out.
_FOREVER_MINUTES, _MANY = 60 * 24 * 365, 10_000


class JobFailed(RuntimeError):
    """The job ended without a result; the message says where its log is."""


def launch(
    function: Callable[[Requests], Mapping[str, Any]],
    *,
    name: str,
    folder: Path,
    digest: str,
    cluster: str = "local",
    settings: Mapping[str, Any] | None = None,
    outputs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Run ``function`` as a job and wait for its result.

    Of several launchers of one folder one works and the others wait for its result. If an earlier launcher
    was killed and its job lives on, this one waits for that job, or cancels it where its digest is another.
    On SIGINT and SIGTERM the job is cancelled and the process exits.

    Args:
        function: importable and picklable; takes requests, returns plain values. It must go on from its own
            checkpoints when it is called again.
        name: of the run, for people.
        folder: for ticket, outcome and logs; one a run.
        digest: of everything that decides the result.
        cluster: ``local`` (a process of its own here), ``debug`` (within this process) or ``slurm``.
        settings: SLURM settings by submitit's names; ``gpus_per_node`` and ``ntasks_per_node`` hold for
            ``local`` too.
        outputs: files that a finished job has left; where one is missing, the job is run again.

    Returns:
        What the function returned.

    Raises:
        InputError: the settings, or what the function said of its input.
        JobFailed: the job ended without a result; the outcome in its folder says so, too.
    """
    if cluster not in CLUSTERS:
        raise InputError("cluster", f"{cluster!r} is unknown", f"one of {', '.join(CLUSTERS)}")
    settings = slurm.settings(settings or {})
    if cluster == "slurm":
        slurm.check_folder(folder)
        if shutil.which("sbatch") is None:
            raise InputError(
                "cluster", "there is no sbatch on this machine", "use local, or log in to a cluster"
            )
    folder = folder.resolve()
    began = time.time()
    said: list[bool] = []

    def waiting() -> None:
        if not said:
            print(f"{name}: another launcher is at work on it; waiting", flush=True)
            said.append(True)

    with locked(folder / LOCK, waiting) as contended:
        job = _Job(Carried(function, folder, digest), name, cluster, settings)
        outcome = job.outcome(since=began) if contended else None
        if outcome is not None and _exist(outputs):
            return _result(outcome, name, folder)
        with job.cancelled_on_signal():
            if job.attach():
                job.wait()
                outcome = job.outcome()
                if outcome is not None and _exist(outputs):
                    return _result(outcome, name, folder)
            job.submit()
            job.wait()
        return _result(job.outcome() or job.failed("the job ended without a result"), name, folder)


def _exist(outputs: Sequence[Path]) -> bool:
    return all(path.exists() for path in outputs)


def _result(outcome: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    if outcome.get("state") == "done":
        return dict(outcome["result"])
    logs = sorted(folder.glob("*/*_log.err"), key=lambda path: path.stat().st_mtime)
    log = f"; its log: {logs[-1]}" if logs else ""
    if outcome.get("input_error"):
        raise InputError(name, str(outcome["error"]))
    raise JobFailed(f"{name}: {outcome.get('error')}{log}")


class _Job:
    """One job of a run, submitted or found."""

    def __init__(self, carried: Carried, name: str, cluster: str, settings: Mapping[str, Any]) -> None:
        self.carried, self.name, self.cluster, self.settings = carried, name, cluster, settings
        self.folder = carried.folder
        self.job_id: str | None = None
        self._held: Any = None
        self._stopped: int | None = None
        self._armed = True

    @contextmanager
    def cancelled_on_signal(self) -> Iterator[None]:
        """Cancel the job and exit on SIGINT and SIGTERM, but never between submitting and knowing its id."""

        def on_signal(signum: int, frame: FrameType | None) -> None:
            self._stopped = signum
            if self._armed:
                self._stop()

        before = {signum: signal.signal(signum, on_signal) for signum in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)

    def _stop(self) -> None:
        self._armed = False
        if self.job_id is not None:
            print(f"{self.name}: cancelling job {self.job_id}", flush=True)
            if self.cluster == "local":
                processes.stop(int(self.job_id))
            elif self.cluster == "slurm":
                submitit.SlurmJob(folder=self.folder, job_id=self.job_id).cancel(check=False)
        sys.exit(128 + (self._stopped or 0))

    def attach(self) -> bool:
        """Find the job of an earlier launcher, if it lives and is of the same parameters."""
        ticket = read_json(self.folder / TICKET)
        if ticket is None:
            return False
        if ticket.get("digest") != self.carried.digest:
            self._end(ticket)
            return False
        if ticket.get("cluster") != self.cluster:
            return False
        job_id = ticket.get("job_id")
        if self.cluster == "slurm":
            # The launcher may have died between submitting and learning the job's id.
            job_id = job_id or self._found(str(ticket.get("job_name")))
            lives = bool(job_id) and slurm.alive(str(job_id)) is not False
        else:
            lives = processes.lives(job_id, ticket.get("started"))
        if not lives:
            return False
        self.job_id = str(job_id)
        print(f"{self.name}: attached to job {self.job_id}", flush=True)
        return True

    def _found(self, job_name: str) -> str | None:
        """The id of the job of this name; a queue that does not answer is asked again."""
        pause, began = RETRY_S, time.monotonic()
        while (job_id := slurm.find(job_name)) is None and time.monotonic() - began < SILENCE_S:
            time.sleep(pause)
            pause = min(2 * pause, RARELY_S)
        return job_id

    def _end(self, ticket: Mapping[str, Any]) -> None:
        """End an earlier job of other parameters; it would leave old results while this one waits for it."""
        job_id, job_name = ticket.get("job_id"), ticket.get("job_name")
        said = f"{self.name}: cancelling job {job_id} of other parameters or code"
        if ticket.get("cluster") == "slurm" and slurm.is_job_name(job_name):
            print(said, flush=True)
            slurm.cancel(str(job_name))
        elif ticket.get("cluster") == "local" and processes.lives(job_id, ticket.get("started")):
            print(said, flush=True)
            processes.stop(int(str(job_id)))

    def outcome(self, since: float = 0.0) -> dict[str, Any] | None:
        """What the job came to, if it has said so; a job of other parameters may have left its own word."""
        found = read_json(self.folder / OUTCOME) or {}
        own = found.get("digest") == self.carried.digest and found.get("finished", -1) >= since
        return found if own else None

    def failed(self, error: str) -> dict[str, Any]:
        """Leave word of a job that could not do so itself."""
        outcome = {"state": "failed", "digest": self.carried.digest, "finished": time.time(), "error": error}
        write_json(self.folder / OUTCOME, outcome)
        return outcome

    def submit(self) -> None:
        """Hand the job over; its ticket is written before (without its id) and after."""
        (self.folder / OUTCOME).unlink(missing_ok=True)
        job_name = f"{slurm.job_name(self.name)}.{self.carried.digest[:8]}.{os.getpid()}"
        ticket: dict[str, Any] = {"run": self.name, "digest": self.carried.digest, "cluster": self.cluster}
        ticket |= {"job_name": job_name, "folder": str(self.folder), "submitted": time.time()}
        self._armed = False
        write_json(self.folder / TICKET, ticket)
        self._held = self._handed_over(job_name)
        self.job_id = self._held.job_id
        if self.cluster == "local":
            ticket["started"] = processes.started(int(self.job_id))
        write_json(self.folder / TICKET, ticket | {"job_id": self.job_id})
        print(f"{self.name}: job {self.job_id} on {self.cluster}; log: {self._held.paths.stdout}", flush=True)
        self._armed = True
        if self._stopped is not None:
            self._stop()

    def _handed_over(self, job_name: str) -> submitit.Job[Any]:
        """The submitted job; where the queue is full or silent, it is asked again for as long as need be."""
        pause, began, said = RETRY_S, time.monotonic(), False
        while True:
            try:
                with slurm.clean_environment():
                    return self._executor(job_name).submit(self.carried)
            except (FailedJobError, FailedSubmissionError) as error:
                reason = " ".join((str(error) or str(error.__cause__)).split())
                silent = slurm.silent(reason) and time.monotonic() - began < SILENCE_S
                if self.cluster != "slurm" or not (silent or slurm.full(reason)):
                    outcome = self.failed(f"the job was not taken: {reason}")
                    raise JobFailed(f"{self.name}: {outcome['error']}") from None
            if not said:
                print(f"{self.name}: not taken yet, asking again: {reason}", flush=True)
                said = True
            # A question without an answer may have been heard all the same.
            slurm.cancel(job_name)
            self._rest(pause)
            pause = min(2 * pause, RARELY_S)

    def _rest(self, seconds: float) -> None:
        """Sleep while no job is known, so that a signal ends the launcher at once."""
        self._armed = True
        if self._stopped is not None:
            self._stop()
        time.sleep(seconds)
        self._armed = False

    def _executor(self, job_name: str) -> submitit.AutoExecutor:
        executor = submitit.AutoExecutor(
            folder=self.folder / "%j", cluster=self.cluster, slurm_max_num_timeout=_MANY
        )
        if self.cluster == "slurm":
            parameters = {f"slurm_{key}": value for key, value in self.settings.items()}
            executor.update_parameters(name=job_name, **parameters)
        else:
            gpus = _visible_gpus()
            wanted = self.settings.get("gpus_per_node")
            wanted = min(wanted, len(gpus)) if isinstance(wanted, int) else len(gpus)
            executor.update_parameters(
                name=job_name,
                timeout_min=_FOREVER_MINUTES,
                gpus_per_node=wanted,
                tasks_per_node=self.settings.get("ntasks_per_node", 1),
                **({"local_visible_gpus": gpus} if wanted else {}),
            )
        return executor

    def wait(self) -> None:
        """Sleep until the job is over."""
        assert self.job_id is not None
        if self.cluster == "debug":
            # Runs it here and now; a failure stands in the outcome.
            self._held.exception()
        elif self.cluster == "local":
            processes.wait(int(self.job_id))
        else:
            self._wait_for_slurm(self.job_id)

    def _wait_for_slurm(self, job_id: str) -> None:
        """Until the outcome is there, or has not come although the job is gone.

        Hundreds of launchers wait side by side, so each asks the queue ever more seldom: all it can learn
        there is that the job ended without a word.
        """
        pause, every = 0.5, ASK_S
        gone: float | None = None
        ask = time.monotonic() + every
        while self.outcome() is None:
            time.sleep(pause)
            pause = min(pause * 1.3, 5.0)
            now = time.monotonic()
            if now < ask:
                continue
            if slurm.alive(job_id) is not False:
                gone, every = None, min(every * 1.5, SELDOM_S)
            elif gone is None:
                gone, every = now, LATE_S / 4
            elif now - gone >= LATE_S:
                return
            os.listdir(self.folder)  # lets a network file system look again
            ask = now + every


def _visible_gpus() -> list[int]:
    """Numbers of the accelerators that this process may use, found without loading a driver library."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [int(number) for number in listed.split(",") if number.strip().isdigit()]
    return list(range(len([p for p in Path("/dev").glob("nvidia*") if p.name[6:].isdigit()])))
