"""A small study that trains long enough to be disturbed, on a cluster that the tests may disturb."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from specseq.launch.files import read_json
from specseq.tables import read_parquet, read_provenance
from specseq.training.checkpoint import load_weights
from tests.workflow.workspace import BIN, Workspace, copy_workflow

# Steps of each run; the loss of one is soon a NaN.
RUNS = {"short": 60, "long": 400, "nan": 60}
SWEEP = "preconditioning/toy"
PROFILE = (
    "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "2",
    "--default-resources", "slurm_partition=cpu", "mem_mb=700", "runtime=30", "--latency-wait", "5",
    "--keep-going",
)  # fmt: skip


def cluster_answers() -> bool:
    """Whether a cluster with the partitions of ``tests/slurm/cluster.py`` takes jobs."""
    if shutil.which("sbatch") is None:
        return False
    found = subprocess.run(["sinfo", "-h", "-o", "%R"], capture_output=True, text=True, timeout=30)
    return found.returncode == 0 and {"cpu", "gpu", "urgent"} <= set(found.stdout.split())


needs_cluster = [
    pytest.mark.slurm,
    pytest.mark.slow,
    pytest.mark.skipif(
        not cluster_answers(),
        reason="no SLURM cluster with partitions cpu, gpu and urgent answers; "
        "python tests/slurm/cluster.py up starts one",
    ),
]


def shrink(workspace: Workspace, **sweeps: Any) -> None:
    """Leave one sweep of toy runs, or those given; they train on SLURM as any other run does."""
    model = {"kind": "moirai2", "d_model": 16, "layers": 1, "heads": 2, "d_ff": 32, "tokens": 32}
    training = {"batch": 2, "warmup": 0.1, "checkpoint_every": 20, "tensorboard": False}
    points = {
        name: {"training": {**training, "steps": steps, "lr": 1e30 if name == "nan" else 1e-3}}
        for name, steps in RUNS.items()
    }
    small = {"frequencies": ["H", "M"], "series": 12, "steps": 256, "evaluated": 2}
    base = {"seed": 0, "model": model, "evaluation": {"terms": ["short"]}}
    slurm = {"partition": "gpu", "gpus_per_node": 1, "cpus_per_task": 1, "mem": "1GB", "time": 30}
    workspace.declare(
        {"preconditioning": {"base": base, "sweeps": sweeps or {"toy": {"runs": points}}}},
        data={"embedded": small},
    )
    workspace.edit(
        lambda config: config.update(scale="smoke", launcher="auto", slurm={**slurm, "signal_delay_s": 20})
    )


def until(condition: Callable[[], Any], seconds: float = 900) -> Any:
    """What the condition says once it says anything."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
    return found


def jobs(folder: Path, *states: str) -> list[str]:
    """Ids of the jobs in the queue that were submitted from this folder."""
    chosen = ["--states", ",".join(states)] if states else []
    done = subprocess.run(
        ["squeue", "--me", "-h", "-o", "%A|%Z", *chosen], check=True, capture_output=True, text=True
    )
    found = (line.partition("|") for line in done.stdout.splitlines())
    return [job for job, _, where in found if where == str(folder)]


def cancel(folder: Path) -> None:
    """Cancel the jobs that were submitted from this folder."""
    left = jobs(folder)
    if left:
        subprocess.run(["scancel", *left], check=True)


@dataclass(frozen=True)
class Disturbed:
    """A copy of the workflow whose training is disturbed, and results of one that was left in peace."""

    workspace: Workspace
    peace: Path

    def results(self, run: str = "long") -> Path:
        return self.workspace.folder / "results/smoke/runs" / SWEEP / run

    def target(self, run: str = "long", name: str = "pretrain") -> str:
        return f"results/smoke/runs/{SWEEP}/{run}/{name}.parquet"

    def folder(self, run: str = "long") -> Path:
        return self.workspace.folder / "results/smoke/jobs" / SWEEP / run

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start snakemake in a process group of its own; its output goes to ``snakemake.log``."""
        log = (self.workspace.folder / "snakemake.log").open("a")
        command = [str(BIN / "snakemake"), *PROFILE, "--", *arguments]
        return subprocess.Popen(
            command, cwd=self.workspace.folder, stdout=log, stderr=log, text=True, start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        )  # fmt: skip

    def said(self) -> str:
        return (self.workspace.folder / "snakemake.log").read_text()

    def jobs(self, *states: str) -> list[str]:
        return jobs(self.workspace.folder, *states)

    def job(self, run: str = "long") -> str:
        """The id of the run's job, once it is known."""
        return str(until(lambda: (read_json(self.folder(run) / "ticket.json") or {}).get("job_id")))

    def newest(self, run: str = "long") -> int:
        """The step of the run's newest checkpoint; 0 before the first."""
        folder = self.workspace.folder / "results/smoke/checkpoints" / SWEEP / run
        return max((int(path.stem.split("_")[-1]) for path in folder.glob("checkpoint_*")), default=0)

    @contextmanager
    def held(self, run: str = "long") -> Iterator[int]:
        """Stop the run's process after its first checkpoint, so that no disturbance comes too late."""
        until(lambda: self.newest(run))
        (pid,) = self.processes(run)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            if pid in self.processes(run):
                os.kill(pid, signal.SIGCONT)

    def processes(self, run: str = "long") -> list[int]:
        """Numbers of the processes that train the run."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                words = path.read_bytes().decode(errors="replace").split("\0")
                if "submitit.core._submit" in words and words[0] != "srun":
                    found += [int(path.parent.name)] * any(str(self.folder(run)) in word for word in words)
        return found

    def log(self, run: str = "long") -> str:
        return "".join(path.read_text() for path in self.folder(run).glob("*/*_log.out"))

    def submissions(self, run: str = "long") -> int:
        return len(list(self.folder(run).glob("*/*_submitted.pkl")))

    def same_as_in_peace(self, run: str = "long") -> dict[str, Any]:
        """Data columns and weights are equal bit for bit, no job is left; returns the provenance."""
        peaceful = self.peace / "results/smoke/runs" / SWEEP / run
        tables = [read_parquet(folder / "pretrain.parquet") for folder in (self.results(run), peaceful)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
        (tensors, params), (others, same) = (
            load_weights(folder / "weights.safetensors") for folder in (self.results(run), peaceful)
        )
        assert params == same
        assert tensors.keys() == others.keys()
        assert all(tensors[name].equal(others[name]) for name in tensors)
        assert until(lambda: not self.jobs(), 300), "no job may be left behind"
        return read_provenance(self.results(run) / "pretrain.parquet")

    def end(self, process: "subprocess.Popen[str]") -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def disturbed(folder: Path, peace: Path) -> Disturbed:
    """A copy of the workflow with the data already prepared."""
    workspace = copy_workflow(folder)
    shrink(workspace)
    shutil.copytree(peace / "results/smoke/data", folder / "results/smoke/data", copy_function=shutil.copy2)
    shutil.copytree(peace / ".snakemake", folder / ".snakemake", ignore=shutil.ignore_patterns("locks"))
    return Disturbed(workspace, peace)


def left_in_peace(folder: Path) -> Path:
    """Prepare the data and train every run undisturbed, without SLURM."""
    workspace = copy_workflow(folder)
    shrink(workspace)
    targets = [f"results/smoke/runs/{SWEEP}/{run}/pretrain.parquet" for run in RUNS]
    workspace.snakemake("--", *targets)
    return workspace.folder


def state(run: str, root: Path) -> str:
    """What ``specseq status`` says of a run."""
    done = subprocess.run(
        [str(BIN / "specseq"), "status", "--json", "--root", str(root)], capture_output=True, text=True
    )
    lines = map(json.loads, done.stdout.splitlines())
    return next(line["state"] for line in lines if line["run"] == f"{SWEEP}/{run}")
