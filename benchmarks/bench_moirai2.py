"""Optimiser step and forecast of Moirai2, side by side with uni2ts on the same batch and one thread.

A step is forward pass, pinball loss, backward pass, clipping and AdamW on 16 rows of 512 tokens; uni2ts comes
without training code and gets this package's loss. A forecast is 8 windows of 1,024 points at several
horizons. The sides take turns in this process; times are CPU-seconds, the median of the rounds.

uni2ts is not a dependency: ``--peer DIR`` names the site-packages that hold it; ``tests/referee/install.py``
makes one, which is found by itself. Without it only this package is measured.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from specseq.models.moirai2.batch import Moirai2Stream, RawBatch
from specseq.models.moirai2.config import Moirai2Config
from specseq.models.moirai2.forecaster import Moirai2Forecaster
from specseq.models.moirai2.model import PreconditionedMoirai2, pinball
from specseq.models.moirai2.training import model_of
from specseq.models.protocol import Query
from specseq.models.upstream import moirai2_to_upstream
from specseq.series.anomaly import context_tokens
from specseq.series.config import EmbeddedSizes
from specseq.series.embedded import embedded_sets, write_corpus
from specseq.series.prepare import prepare_store
from specseq.series.store import open_store
from specseq.series.stream import moirai2_stream

ROWS, TOKENS = 16, 512
PEER = Path(__file__).parents[1] / ".cache" / "referee"
LYAPUNOV = {"family": "lyapunov", "degree": 4, "lam": 5}
SIDES: dict[str, dict[str, Any]] = {
    "baseline": {},
    "fixed filter": {"filter": LYAPUNOV},
    "finite inverse": {"filter": LYAPUNOV, "preconditioning": {"fir": {}}},
    "loss reversal": {"filter": LYAPUNOV, "preconditioning": {"reversal_loss": {}}},
    "hint, stride 16": {"filter": {**LYAPUNOV, "stride": 16}, "preconditioning": {"hint": {"dropout": 0.1}}},
}
UNI2TS = "uni2ts"
HORIZONS = (48, 192, 720)
Step = Callable[[], float]


def draw_batch(masked: float = 0.5) -> RawBatch:
    """Rows as training sees them: univariate crops of the embedded corpus, packed."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_corpus(folder / "corpus", embedded_sets(0, EmbeddedSizes(series=64, steps=2048, evaluated=1)))
        prepare_store(folder / "corpus", folder / "store")
        packed = moirai2_stream(open_store(folder / "store"), ROWS, tokens=TOKENS)
        return next(Moirai2Stream(packed, Moirai2Config(masked=masked)))


def model(**params: Any) -> PreconditionedMoirai2:
    return model_of({"model": {"kind": "moirai2"}, "seed": 0, **params})


def optimise(module: torch.nn.Module, loss_of: Callable[[], Tensor], fused: bool) -> Step:
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=1e-5, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.1, fused=fused
    )

    def step() -> float:
        loss = loss_of()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())

    return step


def our_step(batch: RawBatch, params: Mapping[str, Any]) -> Step:
    made = model(**params)
    return optimise(made, lambda: made(batch.to(torch.device("cpu")))[0], fused=True)


def upstream(folder: Path) -> Any:
    """uni2ts' module with the weights of our baseline."""
    sys.path.append(str(folder))
    from uni2ts.model.moirai2.module import Moirai2Module

    sizes = {"d_model": 384, "d_ff": 1024, "num_layers": 6, "patch_size": 16, "max_seq_len": TOKENS}
    module = Moirai2Module(**sizes, attn_dropout_p=0.0, dropout_p=0.0, num_predict_token=4)
    module.load_state_dict(moirai2_to_upstream(model().backbone))
    return module


def peer_loss(
    batch: RawBatch, folder: Path, device: torch.device | str = "cpu"
) -> tuple[torch.nn.Module, Callable[[], Tensor]]:
    """Upstream's module, and the same loss over its predictions at every token."""
    module, packed = upstream(folder).to(device), batch.packed.to(device)
    prepared = batch.to(torch.device(device))
    slots = prepared.layout.tokens
    segment_T = prepared.layout.segment_T.cpu()
    context_S = torch.from_numpy(context_tokens(torch.bincount(segment_T).numpy()))
    later_T = prepared.time_T >= context_S[segment_T].to(prepared.time_T)
    later_BL = prepared.layout.unflatten(later_T)

    def loss_of() -> Tensor:
        predicted, scaled = module(
            packed.target, packed.observed, packed.sample_id, packed.time_id, packed.variate_id, later_BL
        )
        predicted_T = predicted.flatten(0, 1)[slots[prepared.query_K]].unflatten(-1, (4, 9, 16))
        target = scaled.flatten(0, 1)[slots][prepared.target_KF]
        return pinball(predicted_T, target, prepared.wanted_KFP, Moirai2Config().quantile_levels)

    return module, loss_of


def forecasts(horizon: int, peer: Path | None) -> dict[str, Callable[[], Any]]:
    contexts = [c.astype(np.float32) for c in np.random.default_rng(0).standard_normal((8, 1024)).cumsum(1)]
    ours = Moirai2Forecaster(model(), device="cpu")
    query = Query(horizon, Moirai2Config().quantile_levels)
    sides: dict[str, Callable[[], Any]] = {"baseline": lambda: ours.forecast(contexts, query)}
    if peer:
        module = upstream(peer)
        from uni2ts.model.moirai2 import Moirai2Forecast

        theirs = Moirai2Forecast(horizon, 1, 0, 0, 1024, module=module)
        sides[UNI2TS] = lambda: theirs.predict([c[:, None] for c in contexts])
    return sides


def timed(sides: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    spent: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, work in sides.items():
            started = time.process_time()
            work()
            if number:
                spent[name].append(time.process_time() - started)
    return {name: median(seconds) for name, seconds in spent.items()}


def show(title: str, seconds: Mapping[str, float]) -> dict[str, dict[str, float]]:
    base = seconds.get(UNI2TS, seconds["baseline"])
    print(f"{title:<24}{'CPU-s':>9}{'speed':>9}")
    for name, value in seconds.items():
        print(f"  {name:<22}{value:>9.3f}{base / value:>8.2f}×")
    return {name: {"cpu_seconds": value, "speed": base / value} for name, value in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    found = next(PEER.glob("lib/python*/site-packages"), None)
    parser.add_argument("--peer", type=Path, default=found, help="site-packages that hold uni2ts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    batch = draw_batch()
    # Upstream hides no patches; for the time of a step it makes no difference.
    steps: dict[str, Callable[[], Any]] = {name: our_step(batch, params) for name, params in SIDES.items()}
    if options.peer:
        steps[UNI2TS] = optimise(*peer_loss(batch, options.peer), fused=False)
    result: dict[str, Any] = {"step": show("step", timed(steps, options.rounds))}
    for horizon in HORIZONS:
        figures = timed(forecasts(horizon, options.peer), options.rounds)
        result[f"forecast_{horizon}"] = show(f"forecast, horizon {horizon}", figures)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
