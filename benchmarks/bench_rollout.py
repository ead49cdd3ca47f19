"""Rollouts with a key-value cache beside the loop that reads the whole window at each step.

python benchmarks/bench_rollout.py [--json FILE]
"""

import argparse
import json
import time
from pathlib import Path

import torch

from specseq.spacings.config import SpacingModelConfig
from specseq.spacings.model import SpacingModel
from specseq.spacings.rollout import rollout, rollout_without_cache

CASES = {
    "published size": SpacingModelConfig(length=512),
    "memory, causal": SpacingModelConfig(length=512, slots=8),
    "width 64": SpacingModelConfig(length=512, width=64, blocks=3, heads=4),
    "arithmetic": SpacingModelConfig(
        length=512, width=128, blocks=1, heads=4, windows=(256, 64), highest=(0.35, 0.85), lines=30, taps=64
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--windows", type=int, default=8)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--horizon", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    s = torch.rand(options.windows, options.context) + 0.5
    height = torch.full((options.windows,), 7.5e7)
    rows = []
    print(f"{'model':>16} {'cached s':>9} {'loop s':>8} {'ratio':>7}")
    for name, config in CASES.items():
        torch.manual_seed(0)
        model = SpacingModel(config).eval()
        times: dict[str, float] = {"cached": float("inf"), "loop": float("inf")}
        made = {}
        for _ in range(options.repeats):
            for side, roll in (("cached", rollout), ("loop", rollout_without_cache)):
                began = time.process_time()
                made[side] = roll(model, s, height, options.horizon)
                times[side] = min(times[side], time.process_time() - began)
        difference = float((made["cached"] - made["loop"]).abs().max())
        rows.append(
            {"model": name, **times, "ratio": times["loop"] / times["cached"], "difference": difference}
        )
        print(f"{name:>16} {times['cached']:9.2f} {times['loop']:8.2f} {rows[-1]['ratio']:7.1f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"benchmark": "rollout", "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
