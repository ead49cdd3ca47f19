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


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, cwd=Path(__file__).parent, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


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

    def record(self) -> dict[str, Any]:
        """Everything known now, as plain JSON values."""
        return {
            "stage": self.stage,
            "run": self.run,
            "seed": self.seed,
            "parameters": dict(self.parameters),
            "parameters_digest": digest(self.parameters),
            "git": _git("rev-parse", "HEAD"),
            "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
            "command": sys.argv,
            "python": platform.python_version(),
            "host": platform.node(),
            "device": self.device,
            "versions": {name: _version(name) for name in _LIBRARIES},
            "slurm_job": os.environ.get("SLURM_JOB_ID"),
            "restarts": int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "wall_seconds": round(time.time() - self.started, 3),
            **self.facts,
        }
