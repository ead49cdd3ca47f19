"""Zeros a second on one core, beside python-flint at the same place, in one process.

python benchmarks/bench_zeros.py [--json FILE]
"""

import argparse
import json
import time
from itertools import islice
from pathlib import Path

import flint

from specseq.zeros.blocks import find, plan
from specseq.zeros.counts import smooth_count

HEIGHTS = (1e5, 1e6, 1e7, 1e8, 1e9, 1e10)
FLINT_BELOW = 1e9


def ours(height: float, blocks: int, repeats: int) -> float:
    """Best zeros per CPU second over some repeats, once tables are warm."""
    find(next(plan(height)))
    best = 0.0
    for _ in range(repeats):
        began, found = time.process_time(), 0
        for stretch in islice(plan(height), blocks):
            found += len(find(stretch).delta)
        best = max(best, found / (time.process_time() - began))
    return best


def peer(height: float, count: int) -> float:
    """Zeros per CPU second of certified isolation from the index at this height on."""
    began = time.process_time()
    flint.acb.zeta_zeros(int(smooth_count(height)), count)
    return count / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    print(f"{'height':>8} {'zeros/s/core':>13} {'flint/s':>9} {'ratio':>8}")
    for height in HEIGHTS:
        rate = ours(height, options.blocks, options.repeats)
        other = peer(height, 40) if height < FLINT_BELOW else None
        rows.append({"height": height, "zeros_per_second": rate, "flint_per_second": other})
        ratio = f"{other:9.1f} {rate / other:8.0f}" if other else f"{'-':>9} {'-':>8}"
        print(f"{height:8.0e} {rate:13.0f} {ratio}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({"benchmark": "zeros", "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
