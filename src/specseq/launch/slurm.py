"""The SLURM side: settings that are safe to put into a batch script, and whether a job still lives."""

import contextlib
import getpass
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from submitit.helpers import clean_env
from submitit.slurm.slurm import SlurmExecutor

from specseq.errors import InputError

_PLAIN = re.compile(r"[\w.,:=@+*/()\[\]% -]*")


def settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """SLURM settings as submitit takes them.

    Args:
        given: submitit's own names without a prefix (``partition``, ``gpus_per_node``, ``mem``, ``time`` in
            minutes, ``signal_delay_s``, ``additional_parameters`` ...); values are words, numbers, booleans
            or, for ``additional_parameters``, a mapping and, for ``setup``, a list of shell commands.

    Raises:
        InputError: a name is unknown, or a value could break out of its line in the batch script.
    """
    known = SlurmExecutor._valid_parameters()
    for name, value in given.items():
        where = f"slurm.{name}"
        if name not in known:
            raise InputError(where, "no such setting", f"known: {', '.join(sorted(known))}")
        if name == "setup":
            if not (isinstance(value, list) and all(isinstance(line, str) for line in value)):
                raise InputError(where, f"{value!r} is not a list of shell commands")
        elif isinstance(value, Mapping):
            for key, part in value.items():
                _check(f"{where}.{key}", key)
                _check(f"{where}.{key}", part)
        else:
            _check(where, value)
    return dict(given)


def _check(where: str, value: Any) -> None:
    if isinstance(value, bool | int | float) or value is None:
        return
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise InputError(where, f"{value!r} is not a plain word or number")


def check_folder(folder: Path) -> None:
    """SLURM replaces ``%`` in the paths of logs, and a line break would end the line it stands in."""
    if re.search(r"[%\n\r]", str(folder)):
        raise InputError(folder, "holds '%' or a line break", "choose another folder for jobs")


def job_name(run: str) -> str:
    """A run id as a job name: letters, digits and ``._-`` only."""
    return re.sub(r"[^\w.-]+", ".", run, flags=re.ASCII).strip(".")[:120] or "job"


def is_job_name(name: object) -> bool:
    """Whether a ticket's word can be a job's name, and no option or list of names."""
    return isinstance(name, str) and re.fullmatch(r"\w[\w.-]*", name, flags=re.ASCII) is not None


def alive(job_id: str) -> bool | None:
    """Whether the queue holds the job, waiting or running; None where the queue does not answer."""
    done = _squeue("--jobs", job_id, "--format", "%T")
    if done is None:
        return None
    if done.returncode != 0:
        return False if "Invalid job id" in done.stderr else None
    return bool(done.stdout.strip())


def find(name: str) -> str | None:
    """The id of a waiting or running job of this name and user, or ""; None for a silent queue."""
    done = _squeue("--me", "--name", name, "--format", "%A")
    if done is None or done.returncode != 0:
        return None
    return next(iter(done.stdout.split()), "")


def full(reason: str) -> bool:
    """Whether a refusal says that the user or the cluster has as many jobs as are allowed, for now."""
    return re.search(r"SubmitJob|temporarily un", reason) is not None


def silent(reason: str) -> bool:
    """Whether a refusal says that nobody answered."""
    return re.search(r"timed out|Unable to contact|Zero Bytes|standby", reason, re.IGNORECASE) is not None


def cancel(name: str) -> None:
    """Cancel this user's jobs of this name; one that is nowhere, or a silent queue, is no error."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        command = ["scancel", "--user", getpass.getuser(), "--name", name]
        subprocess.run(command, capture_output=True, timeout=60)


def _squeue(*arguments: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(
            ["squeue", "--noheader", *arguments], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


@contextmanager
def clean_environment() -> Iterator[None]:
    """Submit as if from no job: without the variables of a surrounding job, but to the same cluster."""
    kept = {name: os.environ[name] for name in ("SLURM_CONF",) if name in os.environ}
    with clean_env():
        os.environ.update(kept)
        yield
