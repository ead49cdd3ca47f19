"""Tables over millions of rows: what the stages that make and read them take, each in a process of its own.

    python benchmarks/bench_tables.py [--rows 3000000] [--study equilibrium] [--only TABLE ...] [--keep DIR]

Writes result files of runs of a realistic shape: training metrics of the equilibrium study, of which the long
table and all tables that read it are made and claims are judged by it; or evaluations of the preconditioning
study, most of whose rows are errors by horizon step. Prints of each stage CPU seconds and the most memory it
held. Aim: 2 GB at 14 million rows.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from specseq.filters.table import DesignRequest, design_filters
from specseq.scoring.metrics import step_grid
from specseq.settings import read
from specseq.tables import Provenance, write_parquet

ROOT = Path(__file__).parents[1]
SEEDS = 3
GROUPS = ("wall/euler", "wall/small_step", "wall/tiny_step", "wall/anderson", "wall/adaptive", "width/c16")
LOGGED = (
    *("loss", "grad_norm", "lr", "force_residual", "free_evaluations", "free_step", "free_floor_overshoots"),
    *("free_handed_off", "nudged_evaluations", "nudged_residual", "nudged_step", "penalty/jacobian", "gated"),
)
EVALUATED = (
    *("loss", "force_residual", "bigram_loss", "unigram_loss", "loss_converged", "alpha", "im", "rotation"),
    *("eps_crit", "omega", "gap", "rho", "jacobian_norm", "cos_exact", "limit_re", "limit_im"),
    "damping_ratio",
)
LOGS, EVALUATIONS = 1600, 32
TASKS, STEPS = 97, step_grid(128)
FILTERS = {f"lyapunov_d4_l{lam}": {"family": "lyapunov", "degree": 4, "lam": lam} for lam in range(1, 9)}
REVERSALS = ("self", "plug_in", "hybrid", "fir", "oracle")


def repeated(values: Any, times: int) -> Any:
    return np.tile(np.asarray(values), times)


def training(folder: Path, rows: int) -> list[Path]:
    """Metrics of so many runs that they have this many rows."""
    of_run = LOGS * len(LOGGED) + EVALUATIONS * len(EVALUATED)
    draw, paths = np.random.default_rng(0), []
    for number in range(max(1, round(rows / of_run))):
        group, seed = divmod(number, SEEDS)
        sweep = GROUPS[group] if group < len(GROUPS) else f"grid/point{group}"
        run = f"equilibrium/{sweep}_seed{seed}"
        step = np.concatenate(
            [
                np.repeat(20 * np.arange(1, LOGS + 1), len(LOGGED)),
                np.repeat(1000 * np.arange(1, EVALUATIONS + 1), len(EVALUATED)),
            ]
        )
        logged = LOGS * len(LOGGED)
        metric = [*LOGGED] * LOGS + [f"valid/{name}" for name in EVALUATED] * EVALUATIONS
        table = {
            "study": ["equilibrium"] * of_run,
            "run": [run] * of_run,
            "seed": np.full(of_run, seed),
            "benchmark": ["pretrain"] * of_run,
            "task": ["train"] * logged + ["valid"] * (of_run - logged),
            "step": step,
            "metric": metric,
            "value": draw.random(of_run),
        }
        paths.append(folder / "runs" / f"{run}/pretrain.parquet")
        write_parquet(paths[-1], pa.table(table), Provenance("pretrain", run=run, seed=seed))
    return paths


def evaluations(folder: Path, rows: int) -> list[Path]:
    """Evaluations of runs that have this many rows, a half of them of frozen forecasters under filters."""
    trained = [("trained", "none", "none"), ("trained", "mine", "self"), ("trained", "mine", "oracle")]
    trained += [("seasonal_naive", "none", "none"), ("seasonal_naive", "mine", "oracle")]
    around = [(name, "none", "none") for name in ("trained", "seasonal_naive")]
    around += [(around[0][0], name, reversal) for name in FILTERS for reversal in REVERSALS]
    around += [("seasonal_naive", name, reversal) for name in FILTERS for reversal in ("self", "oracle")]
    of_variant = TASKS * (len(STEPS) + 12)
    half, paths = rows / 2 / of_variant, []
    names = [f"preconditioning/frozen_moirai2/seed{seed}" for seed in range(round(half / len(around)) or 1)]
    for run in names:
        paths.append(evaluation(folder, run, around))
    for number in range(max(2 * SEEDS, round(half / len(trained)))):
        group, seed = divmod(number, SEEDS)
        point = f"baseline/seed{seed}" if group == 0 else f"chebyshev/point{group}_seed{seed}"
        paths.append(evaluation(folder, f"preconditioning/{point}", trained))
    return paths


def evaluation(folder: Path, run: str, variants: list[tuple[str, str, str]]) -> Path:
    """The result file of a run."""
    own, seed = run.rsplit("/", 1)[-1], int(run.rpartition("seed")[2])
    whole = ("MASE", "CRPS", *(f"metric{number}" for number in range(10)))
    steps = [-1] * len(whole) + STEPS
    of_variant, columns = len(steps), zip(*variants, strict=True)
    times, count = TASKS * len(variants), TASKS * len(variants) * len(steps)
    forecaster, filter, reversal = (repeated(np.repeat(column, of_variant), TASKS) for column in columns)
    table = {
        "study": np.full(count, "preconditioning"),
        "run": np.full(count, run),
        "seed": np.full(count, seed),
        "benchmark": np.full(count, "gift_eval"),
        "task": np.repeat([f"set{task}/D/short" for task in range(TASKS)], of_variant * len(variants)),
        "step": repeated(steps, times),
        "forecaster": np.where(forecaster == "trained", own, forecaster),
        "filter": filter,
        "reversal": reversal,
        "spectral_radius": np.full(count, 0.9),
        "noise_gain": np.full(count, 1.5),
        "metric": repeated([*whole, *["scaled_absolute_error"] * len(STEPS)], times),
        "value": np.random.default_rng(seed).uniform(0.5, 2, count),
    }
    path = folder / "runs" / run / "gift_eval.parquet"
    write_parquet(path, pa.table(table), Provenance("evaluate", run=run, seed=seed))
    return path


def apart(write: Callable[[Path, int], list[Path]], folder: Path, rows: int) -> list[Path]:
    """Files written in a process of its own: the most memory of a process counts in those that it starts."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(write, folder, rows).result()


def requests(folder: Path, study: str, rows: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Stage, name and request of everything that is made, in order."""
    tables = folder / "tables"

    def table(name: str, **inputs: list[Path]) -> tuple[str, str, dict[str, Any]]:
        files = {kind: str(tables / f"{name}.{kind}") for kind in ("parquet", "csv")}
        named = {key: [str(path) for path in paths] for key, paths in inputs.items()}
        return "table", name, {"name": name, "inputs": named, "params": {"scale": "paper"}, **files}

    if study == "equilibrium":
        long = tables / "equilibrium_long.parquet"
        yield table(long.stem, training=apart(training, folder, rows))
        for name in ("", "_walls", "_signals", "_controllers", "_steps", "_widths"):
            yield table(f"equilibrium{name}", long=[long])
        drawn = {kind: str(folder / f"figures/equilibrium_walls.{kind}") for kind in ("svg", "png", "pdf")}
        yield (
            "figure",
            "equilibrium_walls",
            {"name": "equilibrium_walls", "inputs": {"long": [str(long)]}, **drawn},
        )
        files = {kind: str(folder / f"claims.{kind}") for kind in ("parquet", "csv")}
        judged = {"studies": str(ROOT / "workflow" / "studies"), "folder": str(folder), "scale": "paper"}
        yield "claims", "claims", {**judged, **files}
        return
    runs, designed = apart(evaluations, folder, rows), folder / "filters.parquet"
    fields = {"filters": FILTERS, "horizons": [1], "out": str(designed)}
    design_filters(read(DesignRequest, fields, "request"))
    for name in ("", "_best", "_steps", "_theory", "_theory_steps"):
        more = {"filters": [designed]} if name.startswith("_theory") else {}
        yield table(f"preconditioning{name}", runs=runs, **more)


def measured(stage: str, request: dict[str, Any], folder: Path) -> tuple[float, float]:
    """CPU seconds of a stage in a process of its own, and the most memory that it held in GB."""
    path = folder / "request.json"
    path.write_text(json.dumps(request), encoding="utf-8")
    command = [sys.executable, "-m", "specseq.stages", stage, "--request", str(path)]
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{stage} {request.get('name', '')} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--study", choices=("equilibrium", "preconditioning"), default="equilibrium")
    parser.add_argument("--only", nargs="*", help="tables to make; all that they are made of must be there")
    parser.add_argument("--keep", type=Path, help="folder for the results, in place of a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for stage, name, request in requests(folder, options.study, options.rows):
            if not options.only or name in options.only:
                seconds, memory = measured(stage, request, folder)
                print(f"{stage:8s} {name:30s} {seconds:7.1f} CPU-s {memory:6.2f} GB", flush=True)


if __name__ == "__main__":
    main()
