"""What surrounds the code: variables that leak in, packages that differ from the lock, another checkout."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

# Prefixes of options of SLURM's commands, and of what distributed launchers pass to their processes.
_OPTIONS = ("SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SCANCEL_", "SACCT_", "SINFO_", "SUBMITIT_")
_LAUNCHERS = ("TORCHELASTIC_", "GROUP_", "ROLE_", "LOCAL_WORLD_", "OMPI_", "PMI_", "PMIX_")
_NAMES = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
# Prefixes of a surrounding job's variables; those that say which cluster to talk to are kept.
_JOB = ("SLURM_", "SLURMD_")
_CLUSTER = {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"}


def leaked(environment: Mapping[str, str], job: bool = False) -> list[str]:
    """Names of variables that would change what SLURM's commands or torch do.

    Args:
        job: also count the variables of a surrounding SLURM job.
    """
    prefixes = (*_OPTIONS, *_LAUNCHERS, *(_JOB if job else ()))
    names = (name for name in environment if name.startswith(prefixes) or name in _NAMES)
    return sorted(name for name in names if name not in _CLUSTER)


def without_leaks(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a SLURM command, as if called outside any job and without options."""
    names = set(leaked(environment, job=True))
    return {name: value for name, value in environment.items() if name not in names}


@contextmanager
def clean_environment() -> Iterator[None]:
    """Within the block, this process lacks the variables that :func:`without_leaks` drops."""
    kept = {name: os.environ.pop(name) for name in leaked(os.environ, job=True)}
    try:
        yield
    finally:
        os.environ.update(kept)


def other_checkout(folder: Path) -> str:
    """A warning if ``folder`` is a checkout of this package other than the one that runs; else ""."""
    there, running = folder.resolve() / "src" / "specseq", Path(__file__).resolve().parent
    if there == running or not (there / "__init__.py").is_file():
        return ""
    return f"the code that runs is that of {running}, not of this folder; set PYTHONPATH=src to run this one"


def search_first(folder: str) -> None:
    """Make processes that this one starts look for modules in a folder before all others."""
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *filter(None, path)])


def pinned(lock: Path) -> dict[str, str]:
    """The versions that a lock file names, by package."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def lock_warnings(lock: Path, kept: Path) -> list[str]:
    """Warnings about package versions, to print before work begins.

    Args:
        lock: the versions that the workflow is meant to run with.
        kept: a copy of the lock that earlier results were made with; written where there is none.
    """
    wanted, warnings = pinned(lock), []
    installed = {package: _version(package) for package in wanted}
    if differing := [f"{name} {installed[name]}" for name in wanted if installed[name] != wanted[name]]:
        warnings.append(f"installed packages differ from {lock.name} ({_some(differing)}): run make setup")
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(lock.read_text(encoding="utf-8"), encoding="utf-8")
    before = pinned(kept)
    if changed := [name for name in {**before, **wanted} if before.get(name) != wanted.get(name)]:
        warnings.append(
            f"results in {kept.parent} were made with other versions of {_some(changed)}; to remake them, "
            f"delete {kept} and run snakemake --forceall"
        )
    return warnings


def _version(package: str) -> str | None:
    try:
        return metadata.version(package).partition("+")[0]
    except metadata.PackageNotFoundError:
        return None


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
