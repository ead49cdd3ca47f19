"""One training step of each study at a small scale on one thread, beside the least time for its FLOPs.

A step is drawing the batch, loss or gradients, clipping and the optimiser's step, as the training loop takes
them. Its FLOPs are those of matrix products and attention. They take the least time at the rate that this
machine reaches for the very sizes of the step: each product is repeated on the spot, and its fastest time
counts. The rate of one large product, which small ones do not reach, gives a second, lower floor. What is
above is overhead: small operators, data, memory. Times are CPU-seconds, the median of the rounds. The data
must be there: ``snakemake results/laptop/data/...`` or a run of the scale.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

from specseq.settings import read
from specseq.studies import studies
from specseq.studies.config import load_plan
from specseq.training.batches import move
from specseq.training.memory import keep_freed_memory
from specseq.training.metering import FLOPS
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
    keep_freed_memory()
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


def _attention(query: Any, key: Any, value: Any, *others: Any, **named: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *others: Any, **named: Any) -> int:
    return int(sdpa_backward_flop_count(grad.shape, query.shape, key.shape, value.shape))


# torch counts attention on accelerators only.
_FUSED = torch.ops.aten
FORMULAS = {
    **FLOPS,
    _FUSED._scaled_dot_product_flash_attention_for_cpu: _attention,
    _FUSED._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class Products(TorchDispatchMode):
    """Counts the FLOPs of what runs in it and times each product alone, repeated on the spot."""

    def __init__(self) -> None:
        super().__init__()
        self.flops, self.seconds = 0.0, 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if formula := FORMULAS.get(func.overloadpacket):
            self.flops += formula(*args, **(kwargs or {}), out_val=made)
            self.seconds += min(seconds(lambda: func(*args, **(kwargs or {}))) for _ in range(5))
        return made


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
    print(f"{peak / 1e9:.0f} GFLOP/s in a large product; in brackets: at that rate")
    print(f"{'run':36} {'step ms':>8} {'least ms':>14} {'ratio':>12} {'GFLOP/s':>8}")
    for run in options.runs:
        step = step_of(*task_of(run, options.scale, options.root))
        for _ in range(3):
            step()
        taken = median(seconds(step) for _ in range(options.rounds))
        products = []
        for _ in range(5):
            with Products() as counted:
                step()
            products.append(counted)
        least, flops = (median(getattr(one, name) for one in products) for name in ("seconds", "flops"))
        large = flops / peak
        print(
            f"{run:36} {1e3 * taken:8.1f} {1e3 * least:7.2f} ({1e3 * large:4.2f})"
            f" {taken / least:5.1f} ({taken / large:3.1f}) {flops / least / 1e9:8.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
