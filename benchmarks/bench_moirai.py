"""Optimiser step of MOIRAI and its hybrids, side by side with uni2ts on the same batch and one thread.

A step is forward pass, loss, backward pass, clipping and AdamW on 16 rows of 512 tokens. The sides take turns
in this process; times are CPU-seconds, the median of the rounds. Peak memory is that of a process of its own
for each side, above what it holds before its first step. FLOPs are those of matrix products and attention,
counted as executed; the machine's peak is what a large matrix product reaches. A hybrid whose convolutions
return their input is no model, but says what the best convolution could still save.

uni2ts is not a dependency: ``--peer DIR`` names the site-packages that hold it; ``tests/referee/install.py``
makes one, which is found by itself. Without it only this package is measured.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from specseq.models.moirai.config import MoiraiConfig, StuConfig
from specseq.models.moirai.model import Moirai, packed_loss, parameter_groups
from specseq.models.upstream import moirai_to_upstream
from specseq.series.batch import PackedBatch
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store
from specseq.series.stream import moirai_stream

ROWS, TOKENS = 16, 512
PEER = Path(__file__).parents[1] / ".cache" / "referee"
UNI2TS = "uni2ts MOIRAI"
HYBRID, BARE = "hybrid, signed", "hybrid without convolutions"
# Spectral layers, bfloat16, parts in which a step is computed.
SIDES = {
    "MOIRAI": (StuConfig(), False, 1),
    "MOIRAI, 2 micro-batches": (StuConfig(), False, 2),
    "MOIRAI, 4 micro-batches": (StuConfig(), False, 4),
    "MOIRAI, bfloat16": (StuConfig(), True, 1),
    HYBRID: (StuConfig("alternating", "signed"), False, 1),
    "hybrid, shared as published": (StuConfig("alternating", "shared"), False, 1),
}
Step = Callable[[], float]


def draw_batch() -> PackedBatch:
    """Rows as training sees them: the ten transforms on the embedded corpus, packed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_corpus(folder / "corpus", embedded_sets(0, EmbeddedSizes(series=64, steps=2048, evaluated=1)))
        prepare_store(folder / "corpus", folder / "store")
        return next(moirai_stream(open_store(folder / "store"), ROWS, tokens=TOKENS))


def our_step(batch: PackedBatch, stu: StuConfig, bfloat16: bool, parts: int) -> Step:
    torch.manual_seed(0)
    model = Moirai(MoiraiConfig(stu=stu, parity=True))
    optimiser = torch.optim.AdamW(
        parameter_groups(model, 0.1), lr=1e-5, betas=(0.9, 0.98), eps=1e-6, fused=True
    )

    def step() -> float:
        total, groups = 0.0, len(batch.variates.rows)
        for number in range(parts):
            part = batch.shard(number, parts)
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss, metrics = packed_loss(model(part), part)
            loss = loss * (metrics["groups"] / groups)
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return total

    return step


def bare_step(batch: PackedBatch) -> Step:
    """The hybrid's step, of which the convolutions are left out."""
    step = our_step(batch, *SIDES[HYBRID])

    def bare() -> float:
        with mock.patch("specseq.models.stu.layer.segment_convolution", lambda u_NI, *_: u_NI):
            return step()

    return bare


def peer_loss(
    batch: PackedBatch, folder: Path, device: torch.device | str = "cpu"
) -> tuple[torch.nn.Module, Callable[[], Tensor]]:
    """uni2ts' module and its loss with the same weights on a batch that lies on ``device``."""
    sys.path.append(str(folder))
    from uni2ts.distribution import (
        LogNormalOutput,
        MixtureOutput,
        NegativeBinomialOutput,
        NormalFixedScaleOutput,
        StudentTOutput,
    )
    from uni2ts.loss.packed import PackedNLLLoss
    from uni2ts.model.moirai import MoiraiModule

    config = MoiraiConfig(parity=True)
    components = [StudentTOutput(), NormalFixedScaleOutput(), NegativeBinomialOutput(), LogNormalOutput()]
    module = MoiraiModule(MixtureOutput(components), 384, 6, config.patch_sizes, TOKENS, 0.0, 0.0)
    torch.manual_seed(0)
    module.load_state_dict(moirai_to_upstream(Moirai(config)))
    module.to(device)
    names = ("target", "sample_id", "variate_id", "prediction_mask")
    common = {name: getattr(batch, name) for name in names} | {"observed_mask": batch.observed}

    def loss_of() -> Tensor:
        distribution = module(**common, time_id=batch.time_id, patch_size=batch.patch_size)
        loss: Tensor = PackedNLLLoss()(pred=distribution, **common)
        return loss

    return module, loss_of


def peer_step(batch: PackedBatch, folder: Path) -> Step:
    """uni2ts' step; Lightning's bookkeeping is left out."""
    module, loss_of = peer_loss(batch, folder)
    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1)

    def step() -> float:
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def steps(batch: PackedBatch, peer: Path | None) -> dict[str, Callable[[], Step]]:
    """The sides, to be built when they are wanted."""
    made: dict[str, Callable[[], Step]] = {
        name: lambda side=side: our_step(batch, *side)  # type: ignore[misc]
        for name, side in SIDES.items()
    }
    made[BARE] = lambda: bare_step(batch)
    if peer:
        made[UNI2TS] = lambda: peer_step(batch, peer)
    return made


def peak_gflops() -> float:
    a, b = torch.randn(2, 2048, 2048)
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        torch.mm(a, b)
        best = min(best, time.process_time() - started)
    return 2 * 2048**3 / best / 1e9


def peak_memory(name: str, options: argparse.Namespace) -> float:
    """MiB that one step needs above the process before it; measured in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name, "--batch", str(options.batch)]
    command += ["--peer", str(options.peer)] if options.peer else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def memory_of(name: str, options: argparse.Namespace) -> None:
    step = steps(pickle.loads(options.batch.read_bytes()), options.peer)[name]()
    before = resident("VmRSS")
    step()
    print(resident("VmHWM") - before)


def resident(field: str) -> float:
    """MiB of resident memory, now (``VmRSS``) or at most so far (``VmHWM``); Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


def measure(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    batch = draw_batch()
    options.batch.write_bytes(pickle.dumps(batch))
    tokens, predicted = int((batch.sample_id > 0).sum()), int(batch.prediction_mask.sum())
    print(f"{ROWS} rows of {TOKENS} tokens: {tokens} real, {predicted} to predict")
    chosen = options.sides or [*SIDES, BARE, *([UNI2TS] if options.peer else [])]
    sides = {name: make() for name, make in steps(batch, options.peer).items() if name in chosen}
    figures: dict[str, dict[str, float]] = {}
    for name, step in sides.items():
        with FlopCounterMode(display=False) as counter:
            loss = step()
        figures[name] = {"loss": loss, "gflop": counter.get_total_flops() / 1e9}
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, step in sides.items():
            started = time.process_time()
            step()
            spent[name].append(time.process_time() - started)
    for name, seconds in spent.items():
        figures[name]["cpu_seconds"] = median(seconds)
        figures[name]["gflop_per_second"] = figures[name]["gflop"] / median(seconds)
        figures[name]["peak_mib"] = peak_memory(name, options)
    return figures


def table(figures: dict[str, dict[str, float]], peak: float) -> dict[str, Any]:
    """Print the figures; returns them with the ratios."""
    base = figures.get(UNI2TS, figures["MOIRAI"])
    print(f"{'':<29}{'loss':>9}{'CPU-s':>8}{'GFLOP':>8}{'GFLOP/s':>9}{'MiB':>8}{'speed':>8}{'memory':>8}")
    for name, one in figures.items():
        one["speed"], one["memory"] = (
            base["cpu_seconds"] / one["cpu_seconds"],
            one["peak_mib"] / base["peak_mib"],
        )
        print(
            f"{name:<29}{one['loss']:>9.4f}{one['cpu_seconds']:>8.2f}{one['gflop']:>8.0f}"
            f"{one['gflop_per_second']:>9.0f}{one['peak_mib']:>8.0f}{one['speed']:>7.2f}×{one['memory']:>7.2f}×"
        )
    print(f"a large float32 product reaches {peak:.0f} GFLOP/s")
    result = {"sides": figures, "peak_gflop_per_second": peak}
    for name in [name for name in (HYBRID, BARE) if name in figures]:
        ratio = figures[name]["cpu_seconds"] / figures["MOIRAI"]["cpu_seconds"]
        print(f"{name}: step / MOIRAI step {ratio:.3f}")
        result[f"{name} over MOIRAI"] = ratio
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    found = next(PEER.glob("lib/python*/site-packages"), None)
    parser.add_argument("--peer", type=Path, default=found, help="site-packages that hold uni2ts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", nargs="*", help="MOIRAI and others, by name; all where left out")
    parser.add_argument("--memory-of", metavar="SIDE", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if options.memory_of:
        memory_of(options.memory_of, options)
        return
    with tempfile.TemporaryDirectory() as scratch:
        options.batch = Path(scratch) / "batch.pickle"
        result = table(measure(options), peak_gflops())
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
