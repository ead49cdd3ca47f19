"""Planning and looking: ``snakemake --dry-run`` and ``specseq status`` over thousands of runs.

Beside the dry run stands that of a workflow with as many empty jobs: what Snakemake itself costs.
Both are given in CPU seconds, which other load on the machine disturbs least, and run in turn.

    python benchmarks/bench_dag.py [--runs 1000 5000] [--scales paper] [--repeats 1] [--json FILE]
"""

import argparse
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import yaml

from specseq.launch.files import locked
from specseq.launch.job import JOB_LOCK
from specseq.launch.launcher import TICKET

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
EMPTY = """
rule all:
    input: expand("out/{{i}}.b", i=range({runs}))
rule first:
    output: "out/{{i}}.a"
    message: "first {{wildcards.i}}"
    shell: "touch {{output}}"
rule second:
    input: "out/{{i}}.a"
    output: "out/{{i}}.b"
    message: "second {{wildcards.i}}"
    shell: "touch {{output}}"
"""


def cpu_seconds(command: list[str], folder: Path) -> float:
    """CPU seconds of a command and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def workflow(folder: Path, runs: int) -> None:
    """The workflow with one sweep of so many training runs, each of which is evaluated."""
    own = shutil.ignore_patterns("sweeps.yaml", "scales")
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=own)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    shutil.copy(ROOT / "Snakefile", folder)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    base = {"model": {"kind": "moirai2"}, "training": {"steps": 10}, "evaluation": {"terms": ["short"]}}
    sweep = {"base": base, "over": {"seed": list(range(runs))}}
    config["scale"] = "smoke"
    config["scales"] = {"smoke": {}}
    config["studies"] = {"preconditioning": {"sweeps": {"bench": sweep}}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))


def begin(folder: Path, runs: int, locks: ExitStack) -> None:
    """Of every three runs one is done and one runs; this process holds its lock."""
    results = folder / "results/smoke"
    for seed in range(runs):
        run = f"preconditioning/bench/seed{seed}"
        if seed % 3 == 0:
            (results / "runs" / run).mkdir(parents=True)
            (results / "runs" / run / "pretrain.parquet").write_bytes(b"PAR1")
        elif seed % 3 == 1:
            job = results / "jobs" / run
            job.mkdir(parents=True)
            (job / TICKET).write_text(json.dumps({"run": run, "cluster": "local"}))
            locks.enter_context(locked(job / JOB_LOCK, lambda: None))
            stamp = "2026-09-21T14:13:20+0000"
            lines = (f"{stamp} step {step}/1000 eta 1:00:00 loss 0.5\n" for step in range(100))
            log = folder / f"logs/smoke/pretrain/{run}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("".join(lines))


PLAN = [str(BIN / "snakemake"), "--dry-run", "--quiet", "rules", "--scheduler", "greedy"]


def side_by_side(command: list[str], ours: Path, jobs: int, repeats: int) -> dict[str, float]:
    """Least CPU seconds of a dry run of so many jobs, and of an empty workflow's."""
    least = {"jobs": jobs, "dry_run": float("inf"), "empty_dry_run": float("inf")}
    with tempfile.TemporaryDirectory() as empty:
        (Path(empty) / "Snakefile").write_text(EMPTY.format(runs=jobs // 2))
        for _ in range(repeats):
            least["dry_run"] = min(least["dry_run"], cpu_seconds(command, ours))
            least["empty_dry_run"] = min(least["empty_dry_run"], cpu_seconds(PLAN, Path(empty)))
    return {**least, "ratio": least["dry_run"] / least["empty_dry_run"]}


def sweep(runs: int, repeats: int) -> dict[str, float]:
    """Dry runs of so many runs, and the least CPU seconds of their status."""
    target = "results/smoke/tables/preconditioning.parquet"
    with tempfile.TemporaryDirectory() as name:
        ours = Path(name)
        workflow(ours, runs)
        found = side_by_side([*PLAN, "--", target], ours, 2 * runs, repeats)
        with ExitStack() as locks:
            begin(ours, runs, locks)
            command = [str(BIN / "specseq"), "status"]
            return {**found, "status": min(cpu_seconds(command, ours) for _ in range(repeats))}


def whole(scale: str, repeats: int) -> dict[str, float]:
    """Dry runs of a whole scale as it is declared."""
    with tempfile.TemporaryDirectory() as name:
        ours = Path(name)
        for part in ("workflow", "src"):
            shutil.copytree(
                ROOT / part, ours / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        for part in ("Snakefile", "config.yaml"):
            shutil.copy(ROOT / part, ours)
        command = [*PLAN, "--config", f"scale={scale}"]
        shown = subprocess.run(command, cwd=ours, check=True, capture_output=True, text=True).stdout
        jobs = re.search(r"^total +(\d+)$", shown, re.M)
        assert jobs, shown
        return side_by_side(command, ours, int(jobs[1]), repeats)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 5000], help="numbers of training runs")
    parser.add_argument("--scales", nargs="+", default=["paper"], help="scales to plan as they are declared")
    parser.add_argument("--repeats", type=int, default=1, help="the best of so many counts")
    parser.add_argument("--json", type=Path, help="write the numbers there, too")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    rows = []
    print(f"{'runs':>8} {'jobs':>6} {'dry run':>9} {'empty':>9} {'ratio':>6} {'status':>7}   CPU seconds")
    planned = [(str(runs), partial(sweep, runs)) for runs in options.runs]
    planned += [(scale, partial(whole, scale)) for scale in options.scales]
    for name, measure in planned:
        found = measure(options.repeats)
        rows.append({"runs": name, **found})
        print(
            f"{name:>8} {found['jobs']:6d} {found['dry_run']:9.1f} {found['empty_dry_run']:9.1f}"
            f" {found['ratio']:6.2f} {found.get('status', float('nan')):7.2f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
