"""Training throughput on an accelerator: tokens a second and share of its peak, side by side with uni2ts.

A step is forward pass, loss, backward pass, clipping and AdamW on rows of 512 tokens that lie on the device
with their index tables, as the training loop's thread has them ready. Times are the median of the rounds. The
share is that of the FLOPs of matrix products and attention, counted as executed, a second, in what a large
matrix product of the same precision reaches on the same device.

uni2ts is not a dependency: ``--peer DIR`` names the site-packages that hold it; ``tests/referee/install.py``
makes one, which is found by itself. Without it only this package is measured.
"""

import argparse
import gc
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

import bench_moirai
import bench_moirai2
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from specseq.models.moirai import training as moirai
from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai
from specseq.models.moirai2.batch import Moirai2Stream, RawBatch
from specseq.models.moirai2.config import Moirai2Config
from specseq.series.batch import PackedBatch
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store
from specseq.series.stream import moirai2_stream, moirai_stream

TOKENS = 512
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
Loss = Callable[[], Tensor]


def draw(rows: int) -> tuple[PackedBatch, RawBatch]:
    """A batch of MOIRAI and one of Moirai2 from the embedded corpus."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_corpus(folder / "corpus", embedded_sets(0, EmbeddedSizes(series=64, steps=2048, evaluated=1)))
        prepare_store(folder / "corpus", folder / "store")
        store = open_store(folder / "store")
        multivariate = next(moirai_stream(store, rows, tokens=TOKENS))
        univariate = next(Moirai2Stream(moirai2_stream(store, rows, tokens=TOKENS), Moirai2Config()))
    return multivariate, univariate


def moirai_loss(batch: PackedBatch, stu: StuConfig, device: torch.device) -> tuple[nn.Module, Loss]:
    config = MoiraiConfig(stu=stu)
    model, prepared = Moirai(config).to(device), moirai.RawBatch(batch, config).to(device)
    return model, lambda: moirai.loss(model, prepared)[0]


def moirai2_loss(batch: RawBatch, device: torch.device) -> tuple[nn.Module, Loss]:
    model, prepared = bench_moirai2.model().to(device), batch.to(device)
    return model, lambda: model(prepared)[0]


def sides(rows: int, device: torch.device, peer: Path | None) -> dict[str, tuple[Callable[[], Any], int]]:
    """How each model and its loss are made, and the tokens of its batch."""
    batch, univariate = draw(rows)
    tokens, tokens2 = (int((one.sample_id > 0).sum()) for one in (batch, univariate.packed))
    made: dict[str, tuple[Callable[[], Any], int]] = {
        "MOIRAI": (lambda: moirai_loss(batch, StuConfig(), device), tokens),
        "hybrid, signed": (lambda: moirai_loss(batch, StuConfig("alternating", "signed"), device), tokens),
        "Moirai2": (lambda: moirai2_loss(univariate, device), tokens2),
    }
    if peer:
        made["uni2ts MOIRAI"] = (lambda: bench_moirai.peer_loss(batch.to(device), peer, device), tokens)
        made["uni2ts Moirai2"] = (lambda: bench_moirai2.peer_loss(univariate, peer, device), tokens2)
    return made


def training_step(model: nn.Module, loss_of: Loss, device: torch.device, precision: torch.dtype) -> Loss:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.98), eps=1e-6, fused=True)

    def step() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Wall time of a call until the device is done with it."""
    _wait(device)
    began = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_flops(device: torch.device, precision: torch.dtype) -> float:
    size = 8192 if device.type == "cuda" else 1024
    a, b = torch.randn(2, size, size, device=device).to(precision)
    return 2 * size**3 / min(seconds(lambda: a @ b, device) for _ in range(5))


def measure(
    make: Callable[[], Any], tokens: int, device: torch.device, precision: str, rounds: int
) -> dict[str, float]:
    """Figures of one side in one precision."""
    model, loss_of = make()
    step = training_step(model, loss_of, device, PRECISIONS[precision])
    with FlopCounterMode(display=False) as counter:
        loss = float(step())
    step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    taken = median(seconds(step, device) for _ in range(rounds))
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else float("nan")
    flops = counter.get_total_flops()
    return {"loss": loss, "seconds": taken, "tokens_per_second": tokens / taken, "flops": flops, "mib": peak}


def report(rows: int, options: argparse.Namespace, peaks: dict[str, float]) -> dict[str, Any]:
    device, figures = torch.device(options.device), dict[str, dict[str, float]]()
    chosen = {
        name: side for name, side in sides(rows, device, options.peer).items() if _wanted(name, options.sides)
    }
    print(f"{rows} rows{'':<26}{'loss':>9}{'ms':>9}{'tokens/s':>12}{'of peak':>9}{'MiB':>9}{'speed':>8}")
    for precision in options.precisions:
        for name, (make, tokens) in chosen.items():
            found = measure(make, tokens, device, precision, options.rounds)
            gc.collect()
            found["utilisation"] = found["flops"] / found["seconds"] / peaks[precision]
            figures[f"{name}, {precision}"] = found
    for label, found in figures.items():
        # Upstream at its best: it trains in float32, but need not.
        peers = [value["seconds"] for key, value in figures.items() if key.startswith(_peer_of(label))]
        found["speed"] = min(peers) / found["seconds"] if peers else float("nan")
        rate, milliseconds = found["tokens_per_second"], 1000 * found["seconds"]
        print(
            f"{label:<32}{found['loss']:>9.4f}{milliseconds:>9.1f}{rate:>12,.0f}"
            f"{found['utilisation']:>9.0%}{found['mib']:>9.0f}{found['speed']:>7.2f}×"
        )
    return figures


def _wanted(name: str, chosen: Iterable[str] | None) -> bool:
    return chosen is None or name in chosen


def _peer_of(label: str) -> str:
    return "uni2ts Moirai2" if "Moirai2" in label else "uni2ts MOIRAI"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    found = next(bench_moirai.PEER.glob("lib/python*/site-packages"), None)
    parser.add_argument("--peer", type=Path, default=found, help="site-packages that hold uni2ts")
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the script out")
    parser.add_argument("--rows", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument("--sides", nargs="*", help="by name; all where left out")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    device = torch.device(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    peaks = {precision: peak_flops(device, PRECISIONS[precision]) for precision in options.precisions}
    print(f"{name}: " + ", ".join(f"{peak / 1e12:.3g} TFLOP/s in {one}" for one, peak in peaks.items()))
    figures = {f"{rows} rows": report(rows, options, peaks) for rows in options.rows}
    if options.json:
        made = {"device": name, "peak_flop_per_second": peaks, **figures}
        options.json.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
