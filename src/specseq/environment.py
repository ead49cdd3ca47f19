"""Environment variables: those that options of commands leak in by, and how to do without them."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

# Options of SLURM's commands, and what launchers of distributed programs leave to their processes.
_OPTIONS = ("SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SCANCEL_", "SACCT_", "SINFO_", "SUBMITIT_")
_LAUNCHERS = ("TORCHELASTIC_", "GROUP_", "ROLE_", "LOCAL_WORLD_", "OMPI_", "PMI_", "PMIX_")
_NAMES = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
# A surrounding job's own variables; the cluster to talk to is no part of the job.
_JOB = ("SLURM_", "SLURMD_")
_CLUSTER = {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"}


def leaked(environment: Mapping[str, str], job: bool = False) -> list[str]:
    """Names of variables that would change what SLURM's commands or torch do.

    Args:
        environment: names and values.
        job: count the variables of a surrounding SLURM job, too.
    """
    prefixes = (*_OPTIONS, *_LAUNCHERS, *(_JOB if job else ()))
    names = (name for name in environment if name.startswith(prefixes) or name in _NAMES)
    return sorted(name for name in names if name not in _CLUSTER)


def without_leaks(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a SLURM command: as if from no job and without options."""
    names = set(leaked(environment, job=True))
    return {name: value for name, value in environment.items() if name not in names}


@contextmanager
def clean_environment() -> Iterator[None]:
    """Within the block this process has :func:`without_leaks`."""
    kept = {name: os.environ.pop(name) for name in leaked(os.environ, job=True)}
    try:
        yield
    finally:
        os.environ.update(kept)
