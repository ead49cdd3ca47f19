"""SLURM's commands: whether a job lives, why it ended, queueing it again and cancelling it."""

import contextlib
import getpass
import os
import re
import shutil
import subprocess
from pathlib import Path

from specseq.environment import without_leaks
from specseq.errors import InputError

# States in which SLURM ended a job for reasons that are not the job's; the run may go on in a new one.
_NOT_ITS_FAULT = ("TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL")


def check(folder: Path) -> None:
    """Refuse a machine or a folder from which no job can be submitted.

    Raises:
        InputError: this machine has no ``sbatch``, or SLURM would rewrite the folder's name: it replaces
            ``%`` in the paths of logs, and a line break would end the line it is on.
    """
    if shutil.which("sbatch") is None:
        fault = "there is no sbatch on this machine"
        raise InputError("launcher", fault, "use local, or log in to a cluster")
    if re.search(r"[%\n\r]", str(folder)):
        raise InputError(folder, "holds '%' or a line break", "choose another folder for jobs")


def job_name(run: str) -> str:
    """A run id as a job name: letters, digits and ``._-`` only."""
    return re.sub(r"[^\w.-]+", ".", run, flags=re.ASCII).strip(".")[:120] or "job"


def is_job_name(name: object) -> bool:
    """Whether a ticket's word can be a job's name, rather than an option or a list of names."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name, flags=re.ASCII) is not None


def alive(job_id: str) -> bool | None:
    """Whether the queue holds the job, waiting or running; None where the queue does not answer."""
    done = _run("squeue", "--noheader", "--jobs", job_id, "--format", "%T")
    if done is None:
        return None
    if done.returncode != 0:
        return False if "Invalid job id" in done.stderr else None
    return bool(done.stdout.strip())


def find(name: str) -> str | None:
    """The id of a waiting or running job of this name and user, or ""; None for a silent queue."""
    done = _run("squeue", "--noheader", "--me", "--name", name, "--format", "%A")
    if done is None or done.returncode != 0:
        return None
    return next(iter(done.stdout.split()), "")


def queue() -> dict[str, tuple[str, str]] | None:
    """This user's jobs, ``{id: (state, reason)}``, in one call; None without a queue."""
    done = _run("squeue", "--noheader", "--me", "--format", "%A|%T|%r", seconds=20)
    if done is None or done.returncode != 0:
        return None
    rows = (line.split("|", 2) for line in done.stdout.splitlines() if line.count("|") >= 2)
    return {job: (state, reason) for job, state, reason in rows}


def ending(job_id: str) -> str:
    """The state in which a job ended, in SLURM's words, such as ``OUT_OF_MEMORY``; "" where it does not say.

    The controller forgets jobs after some minutes; the accounting, where there is one, does not.
    """
    done = _run("scontrol", "show", "job", "--oneliner", job_id)
    if done is not None and (found := re.search(r"\bJobState=(\w+)", done.stdout)):
        return found[1]
    done = _run("sacct", "--noheader", "--allocations", "--parsable2", "--format", "State", "--jobs", job_id)
    states = done.stdout.split() if done is not None else []
    return states[0] if states else ""


def may_go_on(state: str) -> bool:
    """Whether a run whose job ended in this state may go on in another job."""
    return state in _NOT_ITS_FAULT


def requeue(job_id: str) -> str:
    """Have a running job queued again; returns why SLURM refuses, or ""."""
    done = _run("scontrol", "requeue", job_id)
    if done is None:
        return "scontrol does not answer"
    return "" if done.returncode == 0 else " ".join(done.stderr.split()) or "scontrol gives no reason"


def full(reason: str) -> bool:
    """Whether a refusal says that the user or the cluster has as many jobs as are allowed, for now."""
    return re.search(r"SubmitJob|temporarily un", reason) is not None


def silent(reason: str) -> bool:
    """Whether a refusal says that nobody answered."""
    return re.search(r"timed out|Unable to contact|Zero Bytes|standby", reason, re.IGNORECASE) is not None


def cancel(name: str) -> None:
    """Cancel this user's jobs of this name; a missing job or a silent queue is not an error."""
    _run("scancel", "--user", getpass.getuser(), "--name", name)


def _run(*command: str, seconds: float = 60) -> subprocess.CompletedProcess[str] | None:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        environment = without_leaks(os.environ)
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    return None
