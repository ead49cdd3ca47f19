"""One training step of each study at a small scale on one thread: time, least time of its FLOPs, ratio.

A step is drawing the batch, loss or gradients, clipping and the optimiser's step, as the training loop takes
them; the least is the FLOPs of matrix products in it at the rate of a large product on this machine. What is
above it is overhead: small operators, data, memory. Times are CPU-seconds, the median of the rounds. The data
must be there: ``snakemake results/laptop/data/...`` or a run of the scale.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from specseq.settings import read
from specseq.studies import studies
from specseq.studies.config import load_plan
from specseq.training.batches import move
from specseq.training.optimiser import Optimiser
from specseq.training.settings import TrainingSettings
from specseq.training.task import Task

RUNS = (
    "preconditioning/baseline/seed0",
    "stu/layout/attention_seed0",
    "stu/layout/alternating_seed0",
    "equilibrium/wall/euler_seed0",
    "zeta/models/baseline_seed0",
)


def task_of(run: str, scale: str, root: Path) -> tuple[Task, TrainingSettings]:
    """The training task of a declared run, on the data of its scale."""
    params = load_plan(root).runs(scale)[run]
    study = studies()[run.partition("/")[0]]
    inputs = {name: root / "results" / scale / path for name, path in study.data.items()}
    task: Task = study.load(study.build)(params, inputs)
    return task, read(TrainingSettings, params["training"], "training")


def step_of(task: Task, settings: TrainingSettings) -> Callable[[], None]:
    """One step of the training loop, without checkpoints and records."""
    optimiser, cpu = Optimiser(task, settings), torch.device("cpu")

    def step() -> None:
        batch = move(next(task.batches), cpu)
        if task.gradients is not None:
            task.gradients(task.model, batch)
        elif task.loss is not None:
            task.loss(task.model, batch)[0].backward()
        optimiser.clip()
        optimiser.step(0)

    return step


def flops_of(step: Callable[[], None]) -> int:
    """FLOPs of the matrix products and attention of a step."""
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def peak_flops() -> float:
    """FLOP/s of a large float32 matrix product on one thread."""
    a, b = torch.randn(2, 2048, 2048)
    return 2 * 2048**3 / min(seconds(lambda: torch.mm(a, b)) for _ in range(3))


def seconds(call: Callable[[], object]) -> float:
    """CPU-seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="*", default=RUNS, help="run ids; by default one or two of each study")
    parser.add_argument("--scale", default="laptop")
    parser.add_argument("--root", type=Path, default=Path(), help="checkout whose results hold the data")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    torch.set_num_threads(1)
    peak = peak_flops()
    print(
        f"{peak / 1e9:.0f} GFLOP/s in a large product\n{'run':40} {'step ms':>8} {'least ms':>9} {'ratio':>6}"
    )
    for run in options.runs:
        step = step_of(*task_of(run, options.scale, options.root))
        least = flops_of(step) / peak
        taken = median(seconds(step) for _ in range(options.rounds))
        print(f"{run:40} {1e3 * taken:8.1f} {1e3 * least:9.2f} {taken / least:6.1f}", flush=True)


if __name__ == "__main__":
    main()
