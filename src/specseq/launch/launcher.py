"""Have a run's work done, in this process or by SLURM, once, whatever happened to earlier attempts."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from specseq.environment import clean_environment
from specseq.errors import InputError
from specseq.launch import slurm
from specseq.launch.files import locked, read_json, write_json
from specseq.launch.job import OUTCOME, SlurmJob, handling, perform_here
from specseq.launch.settings import SlurmSettings
from specseq.launch.training import TrainingRun

TICKET, LOCK = "ticket.json", "launch.lock"
# Seconds: until a waiting launcher first asks the queue, the longest time between two questions, how long a
# job must be gone before its result is considered lost (network file systems show new files late).
ASK_S, SELDOM_S, LATE_S = 30.0, 300.0, 30.0
# Seconds between two attempts to submit, at first and at most; retry timeout while the queue does not answer.
RETRY_S, RARELY_S, SILENCE_S = 5.0, 300.0, 3600.0
# How many jobs in a row may end early without a new checkpoint.
_IDLE_JOBS = 3


class JobFailed(RuntimeError):
    """The job ended without a result; the message says why and where its log is."""


def launch(
    work: TrainingRun,
    *,
    name: str,
    folder: Path,
    cluster: Literal["local", "slurm"] = "local",
    settings: SlurmSettings | None = None,
    restart: bool = False,
) -> dict[str, Any]:
    """Have the work done and return its result.

    Of several launchers of one folder, one works and the others wait for its result. If an earlier launcher
    was killed and its SLURM job lives on, this one waits for that job, or cancels it if it was planned
    differently. On SIGINT and SIGTERM a local run saves a checkpoint and a SLURM job is cancelled.

    Args:
        name: of the run, for people.
        folder: for ticket, outcome and logs; one per run.
        cluster: ``local`` is this process, ``slurm`` a job.
        restart: begin from the start instead of the newest checkpoint.

    Raises:
        InputError: the input or the settings are wrong, or the code has changed since this was planned.
        JobFailed: the SLURM job ended without a result; the outcome in its folder says so, too.
    """
    folder = folder.resolve()
    if cluster == "slurm":
        slurm.check(folder)
    began, digest = time.time(), work.digest()

    @cache
    def waiting() -> None:
        """Say so, once."""
        print(f"{name}: another launcher is at work on it; waiting", flush=True)

    with locked(folder / LOCK, waiting) as contended:
        submission = _Submission(work, digest, name, folder, settings or SlurmSettings())
        outcome = submission.outcome(since=began) if contended else None
        if outcome is None or not _exist(work):
            if cluster == "slurm":
                with submission.cancelled_on_signal():
                    outcome = submission.run(restart)
            else:
                if restart:
                    work.forget()
                ticket = {"run": name, "digest": digest, "cluster": cluster, "started": time.time()}
                write_json(folder / TICKET, ticket)
                perform_here(work, folder, digest)
                outcome = submission.outcome() or {}
    if outcome.get("state") == "done":
        return dict(outcome["result"])
    if outcome.get("input_error"):
        raise InputError(name, str(outcome["error"]))
    logs = sorted(folder.glob("*/*_log.err"), key=lambda path: path.stat().st_mtime)
    raise JobFailed(f"{name}: {outcome.get('error')}" + (f"; its log: {logs[-1]}" if logs else ""))


def _exist(work: TrainingRun) -> bool:
    return all(path.exists() for path in work.outputs)


class _Submission:
    """The SLURM job of a run: submitted or found, and waited for."""

    def __init__(
        self, work: TrainingRun, digest: str, name: str, folder: Path, settings: SlurmSettings
    ) -> None:
        self.work, self.digest, self.name, self.folder, self.settings = work, digest, name, folder, settings
        self.job_id: str | None = None
        self._stopped: int | None = None
        self._armed = True

    def run(self, restart: bool) -> dict[str, Any]:
        """The outcome of the run, after as many jobs as it takes."""
        if self._attach(restart):
            self._wait()
            outcome = self.outcome()
            if outcome is not None and outcome["state"] != "interrupted" and _exist(self.work):
                return outcome
        if restart:
            self.work.forget()
        idle = 0
        while True:
            progress = self.work.progress()
            self._submit()
            self._wait()
            outcome, state = self.outcome(), ""
            if outcome is not None and outcome["state"] != "interrupted":
                return outcome
            if outcome is None:
                state = slurm.ending(str(self.job_id))
            idle = 0 if self.work.progress() > progress else idle + 1
            reason = f"SLURM says {state}" if state else "and SLURM does not say why"
            ended = str(outcome["error"]) if outcome else f"the job ended without a result, {reason}"
            if idle == _IDLE_JOBS or not (outcome or slurm.may_go_on(state)):
                return self._failed(ended)
            print(f"{self.name}: job {self.job_id}: {ended}; submitting the run again", flush=True)

    @contextmanager
    def cancelled_on_signal(self) -> Iterator[None]:
        """Cancel the job and exit on SIGINT and SIGTERM, but never between submitting and knowing its id."""

        def on_signal(signum: int, frame: FrameType | None) -> None:
            self._stopped = signum
            if self._armed:
                self._stop()

        with handling((signal.SIGINT, signal.SIGTERM), on_signal):
            yield

    def _stop(self) -> None:
        self._armed = False
        if self.job_id is not None:
            print(f"{self.name}: cancelling job {self.job_id}", flush=True)
            slurm.cancel(str((read_json(self.folder / TICKET) or {}).get("job_name")))
        sys.exit(128 + (self._stopped or 0))

    def _attach(self, restart: bool) -> bool:
        """Find an earlier launcher's job, if it is alive; one that was planned differently is cancelled."""
        ticket = read_json(self.folder / TICKET) or {}
        job_name = ticket.get("job_name")
        if ticket.get("cluster") != "slurm" or not slurm.is_job_name(job_name):
            return False
        if restart or ticket.get("digest") != self.digest:
            print(f"{self.name}: cancelling job {ticket.get('job_id')} of an earlier plan", flush=True)
            slurm.cancel(str(job_name))
            return False
        # The launcher may have died between submitting and learning the job's id.
        job_id = ticket.get("job_id") or self._found(str(job_name))
        if not job_id or slurm.alive(str(job_id)) is False:
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

    def outcome(self, since: float = 0.0) -> dict[str, Any] | None:
        """The outcome of the work, if known, and not one that a job of another plan has left."""
        outcome = read_json(self.folder / OUTCOME) or {}
        mine = outcome.get("digest") == self.digest and outcome.get("finished", -1) >= since
        return outcome if mine else None

    def _failed(self, error: str) -> dict[str, Any]:
        """Write the outcome of a job that could not do so itself."""
        outcome = {"state": "failed", "digest": self.digest, "finished": time.time(), "error": error}
        write_json(self.folder / OUTCOME, outcome)
        return outcome

    def _submit(self) -> None:
        """Hand the job over; its ticket is written before (without its id) and after."""
        (self.folder / OUTCOME).unlink(missing_ok=True)
        job_name = f"{slurm.job_name(self.name)}.{self.digest[:8]}.{os.getpid()}"
        ticket: dict[str, Any] = {"run": self.name, "digest": self.digest, "cluster": "slurm"}
        ticket |= {"job_name": job_name, "submitted": time.time()}
        self._armed = False
        write_json(self.folder / TICKET, ticket)
        self.job_id, log = self._handed_over(job_name)
        write_json(self.folder / TICKET, ticket | {"job_id": self.job_id})
        print(f"{self.name}: job {self.job_id}; log: {log}", flush=True)
        self._armed = True
        if self._stopped is not None:
            self._stop()

    def _handed_over(self, job_name: str) -> tuple[str, Path]:
        """Id and log of the submitted job; a full or silent queue is asked again for as long as it takes."""
        import submitit
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = submitit.SlurmExecutor(folder=self.folder / "%j")
        executor.update_parameters(job_name=job_name, **self.settings.parameters())
        pause, began, notices = RETRY_S, time.monotonic(), list[str]()
        while True:
            try:
                with clean_environment():
                    job = executor.submit(SlurmJob(self.work, self.folder, self.digest))
                return job.job_id, job.paths.stdout
            except (FailedJobError, FailedSubmissionError) as error:
                reason = " ".join((str(error) or str(error.__cause__)).split())
                silent = slurm.silent(reason) and time.monotonic() - began < SILENCE_S
                if not (silent or slurm.full(reason)):
                    outcome = self._failed(f"the job was not taken: {reason}")
                    raise JobFailed(f"{self.name}: {outcome['error']}") from None
            if not notices:
                notices.append(f"{self.name}: not taken yet, asking again: {reason}")
                print(notices[0], flush=True)
            # A request without an answer may still have been carried out.
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

    def _wait(self) -> None:
        """Wait until the outcome is there, or the job is gone without one.

        Hundreds of launchers wait side by side, so each asks the queue less and less often: all it can learn
        there is that the job ended without an outcome.
        """
        pause, every = 0.5, ASK_S
        gone: float | None = None
        ask = time.monotonic() + every
        while True:
            state = (self.outcome() or {}).get("state")
            if state in ("done", "failed"):
                return
            time.sleep(pause)
            pause = min(pause * 1.3, 5.0)
            now = time.monotonic()
            if now < ask and state != "interrupted":
                continue
            if slurm.alive(str(self.job_id)) is not False:
                gone, every = None, min(every * 1.5, SELDOM_S)
            elif gone is None:
                gone, every = now, LATE_S / 4
            elif now - gone >= LATE_S or state == "interrupted":
                return
            os.listdir(self.folder)  # lets a network file system look again
            ask = now + every
