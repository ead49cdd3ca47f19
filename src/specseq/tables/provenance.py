"""What produced a result: carried in the footer of every Parquet file."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

_LIBRARIES = ("numpy", "scipy", "pyarrow", "torch", "snakemake", "submitit")


def digest(parameters: Mapping[str, Any]) -> str:
    """A short digest of resolved parameters, the same for any order of keys."""
    text = json.dumps(parameters, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _git() -> tuple[str | None, bool]:
    """Commit of this checkout and whether tracked files differ from it; (None, False) outside of one.

    A repository that merely encloses the folder the package is installed in says nothing about its code.
    """
    head = _git_output("rev-parse", "HEAD", "--show-toplevel")
    if head is None or Path(head.splitlines()[-1]) != Path(__file__).resolve().parents[3]:
        return None, False
    return head.splitlines()[0], bool(_git_output("status", "--porcelain", "--untracked-files=no"))


def _git_output(*arguments: str) -> str | None:
    # A hook or a surrounding git command sets variables that point to its own repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=folder, env=environment, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@dataclass
class Provenance:
    """Collects what a stage's result came from. Create it when the stage starts.

    Attributes:
        stage: name of the stage (and of its rule).
        parameters: the resolved parameters that decided the result.
        run: run id, where the result belongs to one.
        seed: the run's seed, where it has one.
        device: ``cpu`` or the accelerator's name.
        facts: anything else worth keeping (input manifests, restarts, convergence).
    """

    stage: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    run: str | None = None
    seed: int | None = None
    device: str = "cpu"
    facts: dict[str, Any] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    cpu_started: float = field(default_factory=_cpu_seconds)

    def record(self) -> dict[str, Any]:
        """Everything known now, as plain JSON values."""
        commit, dirty = _git()
        return {
            "stage": self.stage,
            "run": self.run,
            "seed": self.seed,
            "parameters": dict(self.parameters),
            "parameters_digest": digest(self.parameters),
            "git": commit,
            "dirty": dirty,
            "command": sys.argv,
            "python": platform.python_version(),
            "host": platform.node(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "device": self.device,
            "versions": {name: _version(name) for name in _LIBRARIES},
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "restarts": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "wall_seconds": round(time.time() - self.started, 3),
            "cpu_seconds": round(_cpu_seconds() - self.cpu_started, 3),
            **self.facts,
        }
